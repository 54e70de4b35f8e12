"""A file is summed up by the mean spectrum of its unflagged pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.command.summary import FIELDS, failure, summarise
from mnflow.errors import InputError
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.read import read_file
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN, RawSpectra
from tests.helpers.posterior import made_up_posterior
from tests.helpers.spectra import edge_shape


def test_an_image_without_an_unflagged_pixel_has_flags_and_no_numbers() -> None:
    predictor = pretrained()
    rng = np.random.default_rng(0)
    energy_ev = np.arange(610.0, 690.0, 0.1)
    noise = RawSpectra(energy_ev, rng.normal(100, 30, (6, len(energy_ev))), (2, 3), None, "", Path("noise"))
    row = summarise("noise", noise, predictor)
    assert (row["n"], row["n_flagged"]) == (6, 6)
    assert row["mean_valence"] is None
    assert row["flags"]


@pytest.mark.parametrize("n", [1, 2])
def test_one_spectrum_is_summed_up_as_an_image_is(n: int) -> None:
    """An uncertain class is no flag that counts, and a dispersion that O K shows to be wrong is said."""
    energy_ev = np.arange(470.0, 700.0, 0.25)
    oxygen = 0.5 / (1 + np.exp(-(energy_ev - 518)))
    counts = 1e4 * (edge_shape(energy_ev, 1) + oxygen + 8 * (energy_ev / 640) ** -3)
    raw = RawSpectra(energy_ev, np.repeat(counts[None], n, axis=0), (n,), None, "", Path("it"))
    unsure = made_up_posterior(sure=True)
    unsure.biases[1][:] *= 0.35  # pure or mixed, half and half
    row = summarise("it", raw, Predictor(MN, unsure))
    assert row["class"] is None
    assert "uncertain" in row["flags"]
    assert row["n_flagged"] == 0
    assert row["notes"][1].startswith("O K and L3 are 12")


def _alike(n: int) -> RawSpectra:
    """Pixels (n,) that are the mean of the shipped image, with noise."""
    example = read_file(EXAMPLE)
    mean = np.asarray(example.counts, dtype=np.float64).mean(axis=0)
    noise = 0.002 * mean.max() * np.random.default_rng(0).standard_normal((n, len(mean)))
    return replace(example, counts=mean + noise, nav_shape=(n,) if n > 1 else (), nav_axes=())


@pytest.mark.parametrize("n", [1, 6])
def test_what_is_no_number_outside_of_the_window_costs_nothing(n: int) -> None:
    raw = _alike(n)
    spoilt = raw.counts.copy()
    spoilt[0, :50], spoilt[0, -20:] = np.nan, np.inf
    good, found = (summarise("a", r, pretrained()) for r in (raw, replace(raw, counts=spoilt)))
    assert found["mean_valence"] == pytest.approx(good["mean_valence"], abs=0.01)
    assert (found["flags"], found["n_flagged"]) == (good["flags"], 0)
    spoilt[0, np.searchsorted(raw.energy_ev, 645.0)] = np.nan
    if n == 1:
        with pytest.raises(InputError, match="no number where its edge is"):
            summarise("a", replace(raw, counts=spoilt), pretrained())
    else:
        assert summarise("a", replace(raw, counts=spoilt), pretrained())["n_flagged"] == 1


def test_a_spike_in_one_pixel_is_not_in_the_mean() -> None:
    raw = _alike(12)
    spoilt = raw.counts.copy()
    at = np.searchsorted(raw.energy_ev, 643.0)
    spoilt[5, at : at + 2] += 20 * np.ptp(raw.counts)
    good, found = (summarise("a", r, pretrained()) for r in (raw, replace(raw, counts=spoilt)))
    assert found["mean_valence"] == pytest.approx(good["mean_valence"], abs=0.02)
    assert found["notes"][-1] == "1 spike, dead or hot channel was bridged in 1 of 12 spectra"


def test_a_file_that_cannot_be_read_has_its_error_and_no_numbers() -> None:
    empty = dict.fromkeys(FIELDS) | {"flags": [], "notes": [], "error": "No spectrum."}
    head = {"file": "a.dm4", "element": "Mn", "n": 0, "n_flagged": 0}
    assert failure("a.dm4", MN, "No spectrum.") == head | empty
