"""Numbers of a folder's functions, held since they were looked at: a rewrite may not change them unnoticed.

A folder's `test_FOLDER.py` names its cases and calls `check`; `python -m tests.FOLDER.test_FOLDER` writes
them anew after a change that is meant. What differs is then looked at in the diff. Cases must not hang on
rounding: OPENBLAS_CORETYPE (Nehalem, Sandybridge, Haswell, SkylakeX) shows what other processors make.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Cases = Mapping[str, Callable[[], Any]]

_SHOWN = 14


def _row(values: Any) -> list[Any]:
    """An array as its shape, mean, spread, ends and evenly spaced values; text as it is."""
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        return [str(v) for v in array.ravel().tolist()]
    flat = array.astype(np.float64).ravel()
    some = flat[np.unique(np.linspace(0, len(flat) - 1, _SHOWN).astype(int))] if len(flat) else flat
    finite = flat[np.isfinite(flat)]
    about = [finite.mean(), finite.std(), finite.min(), finite.max()] if len(finite) else []
    return [*array.shape, *(float(f"{x:.8g}") for x in (*about, *some))]


def _numbers(case: Callable[[], Any]) -> dict[str, list[Any]]:
    found = case()
    parts = found if isinstance(found, Mapping) else {"": found}
    return {name: _row(values) for name, values in parts.items()}


def check(cases: Cases, name: str, kept: Path, tolerance: float = 1e-5) -> None:
    """Hold a case's numbers against the file `kept`."""
    looked_at, found = json.loads(kept.read_text())[name], _numbers(cases[name])
    assert found.keys() == looked_at.keys()
    for part, values in found.items():
        old = looked_at[part]
        if any(isinstance(v, str) for v in old):
            assert values == old, f"{name} {part}"
        else:
            scale = max((abs(v) for v in old if np.isfinite(v)), default=0.0)
            np.testing.assert_allclose(
                values, old, rtol=tolerance, atol=1e-4 * tolerance * scale, err_msg=f"{name} {part}"
            )


def keep(cases: Cases, kept: Path) -> None:
    """Write all cases' numbers, a line each."""
    lines = [f"{json.dumps(name)}: {json.dumps(_numbers(case))}" for name, case in cases.items()]
    kept.write_text("{\n" + ",\n".join(lines) + "\n}\n")
