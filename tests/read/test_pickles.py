import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import read_file
from mnflow.read.pickles import load_table


def _array(values: np.ndarray) -> bytes:
    return pickle.dumps(values, protocol=4)


def test_the_published_spectra(real_data: Path) -> None:
    raw = read_file(real_data / "published" / "Mn2_615-685eV_thinnest_448.pkl")
    assert raw.counts.shape == (448, 700)
    assert abs(raw.counts.max() - 1) < 1e-9
    assert raw.energy_ev[0] == 615
    np.testing.assert_allclose(np.diff(raw.energy_ev), 0.1)
    assert (raw.valence, raw.background_removed) == ("Mn2+", True)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays(dtype: str, order: str) -> None:
    values = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)  # type: ignore[call-overload]
    np.testing.assert_array_equal(load_table(_array(values)), np.arange(12).reshape(3, 4))
    assert load_table(_array(values)).dtype == np.float64


def _frame(
    values: np.ndarray, blocks: int = 1, python2: bool = False, index: tuple[str, str, str] | None = None
) -> bytes:
    """A data frame's pickle, written operation by operation, since no installed pandas makes one any more.

    `python2` writes texts and bytes as Python 2 did; `index` names the module of `_new_Index`, and an index'
    module and class.
    """

    def text(s: str) -> bytes:
        kind = pickle.SHORT_BINSTRING if python2 else pickle.SHORT_BINUNICODE
        return kind + struct.pack("B", len(s)) + s.encode()

    def called(module: str, name: str) -> bytes:
        return b"c" + f"{module}\n{name}\n".encode()

    def array(thing: np.ndarray) -> bytes:
        out = called("numpy.core.multiarray", "_reconstruct") + called("numpy", "ndarray")
        out += pickle.BININT1 + b"\0" + pickle.TUPLE1
        out += text("b") + pickle.TUPLE3 + pickle.REDUCE + pickle.MARK + pickle.BININT1 + b"\1"
        for n in thing.shape:
            out += pickle.BININT + struct.pack("<i", n)
        out += (pickle.TUPLE1, pickle.TUPLE2)[thing.ndim - 1]
        out += called("numpy", "dtype") + text("f8") + pickle.BININT1 + b"\0" + pickle.BININT1 + b"\1"
        out += (
            pickle.TUPLE3 + pickle.REDUCE + pickle.MARK + pickle.BININT1 + b"\3" + text("<") + 3 * pickle.NONE
        )
        out += (
            2 * (pickle.BININT + struct.pack("<i", -1)) + pickle.BININT1 + b"\0" + pickle.TUPLE + pickle.BUILD
        )
        raw = thing.astype("<f8").tobytes()
        kind = pickle.BINSTRING if python2 else pickle.BINBYTES
        return out + pickle.NEWFALSE + kind + struct.pack("<I", len(raw)) + raw + pickle.TUPLE + pickle.BUILD

    new = pickle.EMPTY_TUPLE + pickle.NEWOBJ
    out = pickle.PROTO + b"\2" + called("pandas.core.frame", "DataFrame") + new + pickle.EMPTY_DICT
    out += text("_data") + called("pandas.core.internals", "BlockManager") + new
    out += pickle.MARK + pickle.EMPTY_LIST
    if index:
        out += called(index[0], "_new_Index") + called(*index[1:])
        out += pickle.EMPTY_DICT + pickle.TUPLE2 + pickle.REDUCE
        out += called("__builtin__" if python2 else "builtins", "slice") + 3 * pickle.NONE
        out += pickle.TUPLE3 + pickle.REDUCE + pickle.TUPLE2 + pickle.APPEND
    out += pickle.EMPTY_LIST
    for _ in range(blocks):
        out += array(values.T) + pickle.APPEND
    return out + pickle.EMPTY_LIST + pickle.TUPLE + pickle.BUILD + pickle.SETITEM + pickle.BUILD + pickle.STOP


@pytest.mark.parametrize("python2", [False, True])
def test_old_data_frames(tmp_path: Path, python2: bool) -> None:
    values = np.random.default_rng(0).normal(size=(5, 700))
    np.testing.assert_array_equal(load_table(_frame(values, python2=python2)), values)
    path = tmp_path / "Mn4_600-670eV_some.pkl"
    path.write_bytes(_frame(values, python2=python2))
    raw = read_file(path)
    assert (raw.valence, raw.energy_ev[0], raw.nav_shape, raw.background_removed) == ("Mn4+", 600, (5,), True)
    np.testing.assert_allclose(raw.energy_ev, 600 + 0.1 * np.arange(700))


BASES = ("pandas.core.index", "pandas.core.indexes.base", "pandas.indexes.base")
NUMERIC = [f"pandas.{place}.{kind}" for kind in ("numeric", "range") for place in ("core.indexes", "indexes")]


@pytest.mark.parametrize("python2", [False, True])
def test_every_index_that_pandas_had(python2: bool) -> None:
    values = np.arange(6.0).reshape(2, 3)
    names = ("Int64Index", "Float64Index", "RangeIndex")
    kinds = [(b, b, name) for b in BASES for name in ("Index", *names)] + [
        (BASES[0], n, name) for n in NUMERIC for name in names
    ]
    for index in kinds:
        np.testing.assert_array_equal(load_table(_frame(values, python2=python2, index=index)), values)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pandas.core.index", "MultiIndex"), ("pandas.indexes.range", "Index"), ("pandas.core.frame",
        "Series"),
        ("numpy", "load"), ("numpy.core.multiarray", "scalar"), ("numpy", "_reconstruct"), ("builtins",
        "getattr"),
        ("pandas.io.common", "DataFrame"), ("mnflow", "slice"),
    ],
)  # fmt: skip
def test_other_names_are_refused(module: str, name: str) -> None:
    with pytest.raises(InputError, match=f"^refused: it asks for {module}.{name}; only numpy arrays"):
        load_table(_frame(np.ones((2, 3)), index=("pandas.core.index", module, name)))


def test_operations_are_counted_and_numbers_bounded() -> None:
    few, many = (
        b"\x80\x04]" + b"N0" * n + b"." for n in (49_999, 50_000)
    )  # push and pop, beside three operations
    with pytest.raises(InputError, match="holds no table"):
        load_table(few)
    with pytest.raises(InputError, match="needs no operation POP, and not 100001 of them"):
        load_table(many)
    for number, sentence in (
        (2**63 - 1, "holds no table"),
        (2**63, "more than 64 bits"),
        (-(2**63), "more than 64 bits"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_table(pickle.dumps(number, protocol=2))
    for index, sentence in ((0, "holds no table"), (999_999, "holds no table"), (1_000_000, "memo index")):
        with pytest.raises(InputError, match=sentence):
            load_table(b"\x80\x02]r" + struct.pack("<I", index) + b".")
    for data, sentence in (
        (b"]p1000000\n.", "memo index"),
        (b"]p0\n.", "holds no table"),
        (b"]p-1\n.", "memo index|damaged"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_table(data)
    for data in (b"I%d\n.", b"L%dL\n."):
        for number, sentence in ((2**63 - 1, "holds no table"), (-(2**63), "more than 64 bits")):
            with pytest.raises(InputError, match=sentence):
                load_table(data % number)


@pytest.mark.parametrize(
    ("name", "start_ev", "valence"),
    [
        ("Mn2_615-685eV_x.pkl", 615, "Mn2+"), ("Mn3_600.5-670.5 eV.pkl", 600.5, "Mn3+"),
        ("Mn24_615-685eV.pkl", 615, None),
        ("Mn7_615-685eV.pkl", 615, None), ("all.pkl", 615, None), ("a Mn2.pkl", 615, None),
    ],
)  # fmt: skip
def test_the_name_tells_window_and_valence(
    tmp_path: Path, name: str, start_ev: float, valence: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(_array(np.ones((2, 700))))
    raw = read_file(path)
    np.testing.assert_allclose(raw.energy_ev, start_ev + 0.1 * np.arange(700))
    assert (raw.valence, raw.group, raw.path) == (valence, path.stem, path)


@pytest.mark.parametrize("window", ["615-615eV", "685-615eV"])
def test_a_window_that_is_none(tmp_path: Path, window: str) -> None:
    path = tmp_path / f"Mn2_{window}.pkl"
    path.write_bytes(_array(np.ones((2, 700))))
    said = r"of 700 channels .*, or a name with the window, as in 615-685eV; got 700"
    with pytest.raises(InputError, match=said):
        read_file(path)


def test_data_frames_of_several_types() -> None:
    with pytest.raises(InputError, match="holds 2 blocks"):
        load_table(_frame(np.ones((2, 3)), blocks=2))


class _Runs:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "evil",
    [
        lambda mark: _Runs(os.system, f"touch {mark}"),
        lambda mark: _Runs(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: _Runs(exec, f"open({str(mark)!r}, 'w')"),
        lambda mark: _Runs(open, str(mark), "w"),
        lambda mark: [np.ones(3), _Runs(os.mkdir, str(mark))],
        lambda mark: _Runs(getattr, "text", "upper"),
        lambda mark: _Runs(np.load, str(mark)),
    ],
)
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, evil: Any, protocol: int) -> None:
    mark, path = tmp_path / "was here", tmp_path / "Mn2_615-685eV_x.pkl"
    path.write_bytes(pickle.dumps(evil(mark), protocol=protocol))
    with pytest.raises(InputError, match=r"refused|no table"):
        read_file(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (pickle.dumps({"a": 1}), "holds no table"),
        (pickle.dumps("text"), "holds no table"),
        (b"", "damaged"),
        (b"no pickle at all", "damaged|refused"),
        (_array(np.ones((3, 4)))[:-30], "damaged"),
        (_array(np.ones((3, 0))), "the shape"),
        (_array(np.ones(3)), "the shape"),
        (_array(np.ones((2, 2, 2))), "an array of shape"),
        (_array(np.array(["a", "b"])), "numbers are expected"),
        (_array(np.array([{}, {}], dtype=object)), "numbers are expected"),
        (_array(np.ones((3, 4), complex)), "numbers are expected"),
        (pickle.PROTO + b"\4" + pickle.EMPTY_LIST + b"r" + struct.pack("<I", 2**32 - 1) + b".", "memo index"),
        (pickle.PROTO + b"\4" + b"\x8e" + struct.pack("<Q", 2**40) + b"x.", "damaged"),
        (b"\x80\x04" + b"]" * 200_000 + b".", "refused"),
        (b"\x80\x02\x82\x01.", "refused: a table of spectra needs no operation EXT1"),
        (b"P1\n.", "needs no operation PERSID"),
        (b"ios\nsystem\n(S'true'\no.", "needs no operation"),
        (b"\x80\x04\x8a\x09" + b"\xff" * 9 + b".", "damaged|refused|no table"),
    ],
)
def test_what_is_no_table_gives_a_clear_error(data: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_table(data)


def test_shapes_must_fit_the_bytes() -> None:
    data = _array(np.ones((3, 4)))
    forged = data.replace(b"K\x03K\x04\x86", b"K\xffK\xff\x86")
    assert forged != data
    with pytest.raises(InputError, match=r"an array of shape \(255, 255\) with 12 numbers"):
        load_table(forged)


def test_stubs_do_nothing_when_built_upon() -> None:
    buffer = io.BytesIO()
    buffer.write(b"\x80\x04cnumpy\nndarray\n}(X\x05\x00\x00\x00shapeK\x01ub.")
    with pytest.raises(InputError, match="no table"):
        load_table(buffer.getvalue())


def test_channels_without_a_window_in_the_name(tmp_path: Path) -> None:
    path = tmp_path / "some.pkl"
    path.write_bytes(_array(np.ones((3, 40))))
    with pytest.raises(InputError, match="expected spectra of 700 channels"):
        read_file(path)
