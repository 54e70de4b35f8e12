"""Points of both spaces are logged with the share of references whose neighbours agree."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnflow.pipeline import embedding
from mnflow.spectra import SpectrumSet
from mnflow.track import tracking
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra


def test_both_spaces_are_embedded_and_judged(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = spectra(9, edge=COARSE)
    crop = spectra(2, edge=COARSE)
    labs = SpectrumSet(
        crop.energy_ev[: COARSE.n_crop], crop.intensity[:, : COARSE.n_crop], np.array([1, -1]), crop.group,
        COARSE, "labs", np.array(["lab 1", "lab 2"]),
    )  # fmt: skip
    run, cv = (tracking.Run(memory.create_run("7").info.run_id) for _ in range(2))
    seen: list[Any] = []

    def features(model: str, inputs: Any) -> Any:
        assert (model, inputs.shape) == ("first", (11, COARSE.n_crop))
        assert np.ptp(inputs, axis=1) == pytest.approx(1.0)  # normalised
        return inputs[:, :5]

    def tsne(space: Any, *words: Any) -> Any:
        seen.append((space.shape, *words))
        return np.arange(22.0).reshape(11, 2) * space.shape[1]

    def agreement(acquired: Any, valence: Any, other: Any, truth: Any) -> float:
        assert (len(acquired), len(other)) == (9, 2)
        assert (valence.tolist(), truth.tolist()) == (data.valence.tolist(), [1, -1])
        return 0.5 if acquired.shape[1] == 5 else 0.25

    monkeypatch.setattr(embedding, "embedding", features)
    monkeypatch.setattr(embedding, "tsne", tsne)
    monkeypatch.setattr(embedding, "neighbour_agreement", agreement)
    finished: Any = SimpleNamespace(spectra=data, models=["first", "second"], run=cv)
    found = embedding.log_embedding(run, finished, labs, 30.0, 500, 4)
    assert found == {"input": 0.25, "features": 0.5}
    assert seen == [((11, COARSE.n_crop), 30.0, 500, 4), ((11, 5), 30.0, 500, 4)]
    assert capsys.readouterr().err.splitlines() == [
        f"t-SNE of 11 spectra, input: {COARSE.n_crop} dimensions",
        "t-SNE of 11 spectra, features: 5 dimensions",
    ]
    metrics = {"tsne/reference_agreement_input": 0.25, "tsne/reference_agreement_features": 0.5}
    figures = ["figures/tsne.csv", "figures/tsne.png"]
    for own, files in ((run, [*figures, "tables/tsne.csv"]), (cv, figures)):
        assert memory.get_run(own.id).data.metrics == metrics
        assert memory.files(own) == files
    table = memory.table(run, "tables/tsne.csv")
    assert list(table.columns) == ["name", "set", "valence", "input_x", "input_y", "features_x", "features_y"]
    assert table["name"].tolist() == [*data.name, "lab 1", "lab 2"]
    assert table["set"].tolist() == ["acquired"] * 9 + ["reference"] * 2
    assert table["valence"].tolist() == [*(COARSE.classes[v] for v in data.valence), "Mn3+", "mixed"]
    assert table["features_x"].tolist() == [10.0 * k for k in range(11)]
    assert table["features_y"].tolist() == [10.0 * k + 5 for k in range(11)]
    drawn = memory.table(run, figures[0])
    titles = {
        f"input ({COARSE.n_crop} numbers): 25% of references agree",
        "features (5 numbers): 50% of references agree",
    }
    assert set(drawn["panel"]) == titles
    assert len(drawn) == 2 * 11
