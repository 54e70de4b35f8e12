"""Whatever axis and counts a file has, it gives spectra on an increasing axis in eV, or a clear error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.preprocess.pipeline import PreprocessOptions, preprocess
from mnflow.preprocess.scan import typical_spectrum
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.read import read_file
from mnflow.serve.answer import answer
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN
from tests.helpers.files import counts_image, signal, write

NUMBERS = st.one_of(
    st.floats(-2000, 2000), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e300, -1e-300, 5e-324])
)


@st.composite
def axes(draw: st.DrawFn) -> dict[str, Any]:
    """Changes to the energy axis of `signal`: uniform, or given number by number (irregular, doubled, turning
    back).
    """
    units = draw(st.sampled_from(["eV", "keV", "meV", "nm", "m", "", "MeV", "<undefined>", "eV "]))
    if draw(st.booleans()):
        return {"units": units, "scale": draw(NUMBERS), "offset": draw(NUMBERS)}
    energies = draw(st.lists(NUMBERS, min_size=2, max_size=60))
    return {"units": units, "_type": "DataAxis", "axis": np.array(energies), "size": len(energies)}


@settings(max_examples=30)
@given(change=axes(), rows=st.integers(1, 3), seed=st.integers(0, 99), poison=st.lists(NUMBERS, max_size=4))
def test_any_axis(
    tmp_path_factory: pytest.TempPathFactory,
    change: dict[str, Any],
    rows: int,
    seed: int,
    poison: list[float],
) -> None:
    rng = np.random.default_rng(seed)
    channels = len(change.get("axis", range(40)))
    counts = rng.normal(100, 10, (rows, channels)).astype(np.float32)
    with np.errstate(over="ignore"):
        for value in poison:
            counts[rng.integers(rows), rng.integers(channels)] = value
    made = signal(counts)
    made["axes"][-1] |= change
    path = tmp_path_factory.mktemp("any") / "a.hspy"
    try:
        raw = read_file(write(path, made), "Mn2+")
    except InputError:
        return
    assert (np.diff(raw.energy_ev) > 0).all()
    assert np.isfinite(raw.energy_ev).all()
    assert np.asarray(raw.counts).shape == (rows, len(raw.energy_ev))


@pytest.mark.parametrize("channels", [1, 2, 3, 200_000])
def test_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    counts = np.resize(counts_image(np.random.default_rng(0), (1,), 1000), (1, channels))
    path = write(tmp_path / "a.hspy", signal(counts, scale=120 / channels))
    if channels == 1:
        with pytest.raises(InputError, match="two channels or more"):
            read_file(path)
        return
    raw = read_file(path, "Mn2+")
    assert raw.counts.shape == (1, channels)
    if channels < 4:
        with pytest.raises(InputError, match="eV"):
            preprocess([raw], MN, PreprocessOptions())
        return
    assert np.isfinite(preprocess([raw], MN, PreprocessOptions()).spectra.intensity).all()


def _typical() -> tuple[np.ndarray, np.ndarray]:
    """The shipped example's typical spectrum, counted as 10,000 at the most."""
    raw = read_file(EXAMPLE)
    spectrum = typical_spectrum(raw)
    return raw.energy_ev, 1e4 * spectrum / spectrum.max()


@settings(max_examples=12, deadline=None)
@given(
    step_ev=st.sampled_from([0.03, 0.1, 0.25, 0.5]),
    jitter=st.sampled_from([0.0, 0.3]),
    gap_ev=st.tuples(st.floats(0, 0.9), st.sampled_from([-12.0, 5.5, 15.5])),
    off_ev=st.floats(-28, 28),
    kind=st.sampled_from(["f4", ">f8", "u2", "i4", ">u4"]),
    turned=st.booleans(),
    spike=st.sampled_from([0.0, 3.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_the_answer_is_the_same_on_any_axis(
    tmp_path_factory: pytest.TempPathFactory,
    step_ev: float,
    jitter: float,
    gap_ev: tuple[float, float],
    off_ev: float,
    kind: str,
    turned: bool,
    spike: float,
    seed: int,
) -> None:
    """Steps, gaps, offset, numbers, order and spikes change next to nothing."""
    energy_ev, counts = _typical()
    predictor = pretrained("Mn")
    (plain,) = answer(predictor, [{"energy_ev": energy_ev, "intensity": counts}])
    rng = np.random.default_rng(seed)
    near_ev = 640.0
    axis_ev = np.arange(energy_ev[0] + 1, energy_ev[-1] - 1, step_ev)
    axis_ev = axis_ev + jitter * step_ev * rng.uniform(-0.5, 0.5, len(axis_ev))
    kept = np.abs(axis_ev - near_ev - gap_ev[1]) > gap_ev[0] / 2
    axis_ev = axis_ev[kept]
    made = np.interp(axis_ev, energy_ev, counts)
    if spike and step_ev <= 0.1:
        made[np.searchsorted(axis_ev, near_ev + rng.uniform(-10, 20))] += spike * made.max()
    made = np.minimum(made, 60_000).astype(kind)
    saved = signal(made[None], _type="DataAxis", axis=axis_ev + off_ev, size=len(axis_ev))
    if turned:
        saved["data"], saved["axes"][-1]["axis"] = saved["data"][:, ::-1], saved["axes"][-1]["axis"][::-1]
    raw = read_file(write(tmp_path_factory.mktemp("any") / "a.hspy", saved))
    (found,) = answer(predictor, [{"energy_ev": raw.energy_ev, "intensity": np.asarray(raw.counts)[0]}])
    assert found["error"] is None
    assert "out_of_distribution" not in found["flags"]
    assert found["mean_valence"] == pytest.approx(plain["mean_valence"], abs=0.2)
