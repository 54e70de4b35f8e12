"""Images and datasets are found or made, and a dataset's run says what became of all pixels."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnflow import plots
from mnflow.errors import InputError
from mnflow.pipeline import datasets
from mnflow.track import names, tracking
from mnflow.track.datasets import log_dataset
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra


def simulated(folder: Path, settings: str) -> None:
    tags = {**tracking.tags_of("simulate"), "mnflow.folder": str(folder)}
    with tracking.step(tags, "simulate", {"settings": settings}):
        pass


def test_images_of_the_same_settings_are_taken_or_made(
    memory: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def make() -> str:
        made.append("images")
        return "run"

    for name in ("old", "mn", "fe", "removed"):
        (tmp_path / name).mkdir()
        simulated(tmp_path / name, "fe" if name == "fe" else "mn")
        if name != "removed":
            (tmp_path / name / "manifest.csv").touch()
    assert datasets.find_or_make_images("mn", tmp_path / "new", make) == tmp_path / "mn"
    assert datasets.find_or_make_images("fe", tmp_path / "new", make) == tmp_path / "fe"
    assert (made, capsys.readouterr().err) == ([], "")
    assert datasets.find_or_make_images("v", tmp_path / "new", make) == tmp_path / "new"
    assert made == ["images"]
    said = "There are no simulated images of the settings v yet: simulating them first.\n"
    assert capsys.readouterr().err == said


def preprocessed(seed: int) -> str:
    with tracking.step(tracking.tags_of("preprocess"), "preprocess", {}) as run:
        log_dataset(run, spectra(6, seed=seed, edge=COARSE))
    return run.id


def refuse() -> str:
    raise AssertionError("a dataset was made")


def test_a_dataset_is_that_of_a_run_or_a_file(memory: MemoryStore, tmp_path: Path) -> None:
    user = tracking.Run(memory.create_run("7").info.run_id)
    first, second = (preprocessed(seed) for seed in range(2))
    for word, run_id, seed in (("newest", second, 1), (first, first, 0)):
        found, uri = datasets.find_or_make(word, user, refuse)
        assert uri == f"runs:/{run_id}"
        assert found.digest() == spectra(6, seed=seed, edge=COARSE).digest()
    assert memory.files(user) == []
    own = spectra(7, edge=COARSE).select(np.array([0, 1, 3, 4, 6]))  # of two classes
    path = own.save(tmp_path / "own.npz")
    found, uri = datasets.find_or_make(str(path), user, refuse)
    assert uri == f"runs:/{user.id}"
    assert found.edge.classes == ("Mn2+", "Mn3+")
    assert memory.files(user) == ["dataset/spectra.npz"]
    with pytest.raises(InputError, match="No run 'abc'"):
        datasets.find_or_make("abc", user, refuse)


def test_a_first_dataset_is_made(memory: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    user = tracking.Run(memory.create_run("7").info.run_id)
    found, uri = datasets.find_or_make("newest", user, lambda: preprocessed(3))
    assert capsys.readouterr().err == "There is no dataset yet: simulating one first.\n"
    assert found.digest() == spectra(6, seed=3, edge=COARSE).digest()
    assert uri.startswith("runs:/")


def image(group: str, background: str, fate: list[list[int]], spikes: int = 0, *notes: str) -> Any:
    counts = {"kept": 2, "mended": spikes // 2}
    position = SimpleNamespace(background=background)
    return SimpleNamespace(
        group=group, valence="Mn2+", fate=np.array(fate, np.uint8), counts=counts, position=position,
        spikes=spikes, notes=notes,
    )  # fmt: skip


def test_a_preprocess_run_says_what_became_of_every_pixel(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "cluster_rounds", lambda rounds: Figure())
    data = spectra(7, edge=COARSE).select(np.array([0, 1, 3, 4, 6])).present()
    images = [
        image("a", "fitted", [[0, 1], [2, 0]], 0, "energies are in keV"),
        image("b", "removed", [[0, 4]], 6, "energies are in keV", "one more"),
        image("c", "fitted", [[0, 4]]),
    ]
    done: Any = SimpleNamespace(spectra=data, images=images, clusters={"Mn2+": [1], "Mn3+": []})
    with tracking.step(tracking.tags_of("preprocess"), "preprocess", {}) as run:
        datasets.log_preprocessed(run, done, "simulated", COARSE)
    record = memory.get_run(run.id)
    assert record.data.metrics == {"preprocess/kept_Mn2": 3.0, "preprocess/kept_Mn3": 2.0}
    assert record.data.tags[names.DATASET_DIGEST] == data.digest()
    (dataset,) = memory.inputs[run.id]
    assert [t.value for t in dataset.tags] == ["preprocessed"]
    pictures = [f for f in memory.files(run) if f.endswith("png")]
    assert pictures == [f"figures/{name}.png" for name in ("clusters_Mn2", "kept_pixels", "spectra")]
    assert "dataset/spectra.npz" in memory.files(run)
    assert memory.table(run, "tables/pixels.csv").to_dict("list") == {
        "group": ["a", "b", "c"], "valence": ["Mn2+"] * 3, "kept": [2] * 3, "mended": [0, 3, 0],
    }  # fmt: skip
    drawn = memory.table(run, "figures/kept_pixels.csv")
    assert drawn["panel"].nunique() == 3
    assert record.data.tags[names.NOTE].startswith(
        "5 spectra kept of 8 pixels in 3 files (simulated): 3 Mn2+, 2 Mn3+. Background: fitted in 2 files, "
        "removed in 1 files. 6 spikes, dead or hot channels were bridged in 3 of the pixels. Energies are in "
        "keV (2 files). One more (1 files). "
    )
    assert "Mn4+" in record.data.tags[names.NOTE]  # is missing
    whole: Any = SimpleNamespace(spectra=spectra(6, edge=COARSE), images=images[2:], clusters={})
    with tracking.step(tracking.tags_of("preprocess"), "preprocess", {}) as run:
        datasets.log_preprocessed(run, whole, "a/folder", COARSE)
    assert memory.get_run(run.id).data.tags[names.NOTE] == (
        "6 spectra kept of 2 pixels in 1 files (a/folder): 2 Mn2+, 2 Mn3+, 2 Mn4+. Background: fitted in 1 "
        "files."
    )
