"""The tutorial that trains runs as it stands, but for fewer folds and epochs."""

import runpy
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT


@pytest.mark.slow
def test_train_on_spectra_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    text = (ROOT / "docs" / "examples" / "own_spectra.py").read_text()
    for tutorial, quick in (("EPOCHS = 20", "EPOCHS = 1"), ('"--n_folds", 5', '"--n_folds", 2')):
        assert tutorial in text
        text = text.replace(tutorial, quick)
    (tmp_path / "quick.py").write_text(text)
    found = runpy.run_path(str(tmp_path / "quick.py"))
    (numbers,) = found["runs"][found["columns"]].dropna().to_numpy()
    assert numbers[0] > 0.4, "chance is a third"
    assert ((numbers > 0.2) & (numbers <= 1)).all()
