"""The paper authors' published spectra: pandas pickles, read without pandas or running their code.

A pickle is a program. Here its operations are checked against a list first, and then it may only make the
passive stand-ins below: no class or function of any library is ever called from a pickle.
"""

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.read.tables import read_bytes
from mnflow.spectra import Edge, RawSpectra
from mnflow.spectra.arrays import Array, Floats

MAX_PICKLE_BYTES = 2_000_000_000
_MAX_OPERATIONS = 100_000
_MAX_MEMO = 1_000_000
_OPERATIONS = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT LONG LONG1 LONG4 BININT BININT1 BININT2
    FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE
    BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ
    """.split()  # noqa: SIM905
)


class _Stub:
    """A passive stand-in: keeps the arguments it was made of and its state, does nothing."""

    def __new__(cls, *args: Any) -> "_Stub":
        self = object.__new__(cls)
        self.args = args
        self.state = None
        return self

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    args: tuple[Any, ...]
    state: Any


class _Frame(_Stub): ...


class _Manager(_Stub): ...


class _Array(_Stub): ...


_INDEXES = ("Int64Index", "Float64Index", "RangeIndex")
_ALLOWED: dict[tuple[str, str], type[_Stub]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals", "BlockManager"): _Manager,
    **{(module, "slice"): _Stub for module in ("builtins", "__builtin__")},
    **{("numpy", name): _Stub for name in ("ndarray", "dtype")},
    **{
        (f"pandas.{module}", name): _Stub
        for module in ("core.index", "core.indexes.base", "indexes.base")
        for name in ("_new_Index", "Index", *_INDEXES)
    },
    **{
        (f"pandas.{module}", name): _Stub
        for module in ("core.indexes.numeric", "indexes.numeric", "core.indexes.range", "indexes.range")
        for name in _INDEXES
    },
}
"""What a pickle may name, and the stand-in for it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stub = _ALLOWED.get((module, name))
        if stub is None:
            raise InputError(
                f"refused: it asks for {module[:60]}.{name[:60]}; only numpy arrays and pandas' old "
                f"containers are read"
            )
        return stub

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("refused: it refers to objects outside of the file")


def _check_operations(data: bytes) -> None:
    argument: Any
    for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
        if operation.name not in _OPERATIONS or count > _MAX_OPERATIONS:
            raise InputError(
                f"refused: a table of spectra needs no operation {operation.name}, and not {count} of them"
            )
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument) < _MAX_MEMO:
            raise InputError("refused: a memo index beyond all need")
        if operation.name in ("INT", "LONG", "LONG1", "LONG4") and abs(argument) >= 2**63:
            raise InputError("refused: an integer of more than 64 bits")


def _array(stub: Any) -> Array:
    """A numeric array from a stand-in of `numpy.ndarray`; its bytes must match shape and type."""
    _version, shape, dtype, fortran, raw = stub.state
    code, order = dtype.args[0], dtype.state[1]
    if code not in ("f8", "f4", "i8", "i4") or order not in ("<", ">", "="):
        raise InputError(f"refused: an array of type {code!r}; numbers are expected")
    out = np.frombuffer(raw.encode("latin-1") if isinstance(raw, str) else raw, dtype=order + code)
    if (
        not 1 <= len(shape) <= 2
        or any(not isinstance(n, int) or n < 0 for n in shape)
        or int(np.prod(shape)) != out.size
    ):
        raise InputError(f"refused: an array of shape {str(shape)[:60]} with {out.size} numbers")
    return out.reshape(shape, order="F" if fortran else "C")


def _table(stub: Any) -> Floats:
    """Values (rows, columns) of an array, or of a data frame as pandas 0.14 ... 0.25 pickled it."""
    if isinstance(stub, _Array):
        return _array(stub)
    manager = stub.state["_data"] if isinstance(stub, _Frame) else stub
    if not isinstance(manager, _Manager):
        raise InputError("refused: it holds no table of numbers")
    blocks = [_array(block) for block in manager.state[1]]  # each (columns of the block, rows)
    if len(blocks) != 1 or blocks[0].ndim != 2:
        raise InputError(f"refused: a table of one type of number is expected, it holds {len(blocks)} blocks")
    return np.asarray(blocks[0].T, dtype=np.float64)


def load_table(data: bytes) -> Floats:
    """The table of numbers (rows, columns) in a pickle; raises `InputError` for anything else."""
    try:
        _check_operations(data)
        table = _table(_Unpickler(io.BytesIO(data), encoding="latin-1").load())
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"it is damaged or no table of spectra ({type(error).__name__}: {str(error)[:80]})"
        ) from error
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"a table of spectra is expected, it has the shape {table.shape}")
    return np.asarray(table, dtype=np.float64)


def read_published(path: Path, edge: Edge) -> RawSpectra:
    """Read a published pickle: spectra in rows, background removed, scaled to a maximum of 1.

    The energy window and the class come from the name, as in Mn2_615-685eV_thinnest_448.pkl; without them the
    window is the edge's wide window and the valence stays unknown.

    Raises
    ------
    InputError
        If there is no file, or it holds or asks for anything but a table of numbers.
    """
    content = read_bytes(path, MAX_PICKLE_BYTES, "a pickle")
    try:
        table = load_table(content)
    except InputError as error:
        raise InputError(f"{path}: {error}.") from error
    window = re.search(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)\s?eV", path.name)
    start_ev, stop_ev = (float(window[1]), float(window[2])) if window else edge.wide_ev
    channels = table.shape[1]
    step_ev = (stop_ev - start_ev) / channels
    if step_ev <= 0 or (window is None and channels != edge.n_wide):
        raise InputError(
            f"{path}: expected spectra of {edge.n_wide} channels ({edge.wide_ev} eV), or a name with the "
            f"window, as in 615-685eV; got {channels} channels."
        )
    energy_ev = start_ev + step_ev * np.arange(channels)
    return RawSpectra(
        energy_ev, table, (len(table),), _valence(path, edge), path.stem, path, background_removed=True
    )


def _valence(path: Path, edge: Edge) -> str | None:
    match = re.match(rf"{re.escape(edge.element)}(\d)(?!\d)", path.name)
    name = f"{edge.element}{match[1]}+" if match else None
    return name if name in edge.classes else None
