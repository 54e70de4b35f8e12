"""A dataset comes back from the run that keeps it, and from a file."""

from pathlib import Path

import pytest

from mnflow.errors import InputError
from mnflow.track import tracking
from mnflow.track.datasets import load_dataset, log_dataset
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra


def test_a_dataset_comes_back_from_its_run_or_file(memory: MemoryStore, tmp_path: Path) -> None:
    data = spectra(6, edge=COARSE)
    with tracking.step(tracking.tags_of("preprocess"), "a", {}) as run:
        uri = log_dataset(run, data)
    assert uri == f"runs:/{run.id}"
    assert memory.files(run) == ["dataset/spectra.npz"]
    path = data.save(tmp_path / "own.npz")
    for address in (uri, f"{uri}/", str(path)):
        assert load_dataset(address).digest() == data.digest()


def test_a_run_without_a_dataset_gives_a_clear_error(memory: MemoryStore) -> None:
    with tracking.step(tracking.tags_of("preprocess"), "a", {}) as run:
        pass
    with pytest.raises(InputError, match=rf"Run {run.id} has no artifact dataset/spectra\.npz"):
        load_dataset(f"runs:/{run.id}")
