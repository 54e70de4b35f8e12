"""The tutorial that trains runs as it stands, but for fewer images, folds and epochs."""

import runpy
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT
from mnflow.simulate.image import simulate_images


@pytest.mark.slow
def test_train_on_spectra_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    simulate_images(tmp_path / "spectra", seed=1, size="quick")
    for folder in (path for path in (tmp_path / "spectra").iterdir() if path.is_dir()):
        for file in sorted(folder.iterdir())[2:]:
            file.unlink()
    (tmp_path / "spectra" / "manifest.csv").unlink()
    text = (ROOT / "docs" / "examples" / "own_spectra.py").read_text()
    for tutorial, quick in (("EPOCHS = 20", "EPOCHS = 1"), ('"--n_folds", 5', '"--n_folds", 2')):
        assert tutorial in text
        text = text.replace(tutorial, quick)
    (tmp_path / "quick.py").write_text(text)
    found = runpy.run_path(str(tmp_path / "quick.py"))
    (numbers,) = found["runs"][found["columns"]].dropna().to_numpy()
    assert numbers[0] > 0.35, "chance is a third"
    assert ((numbers > 0.2) & (numbers <= 1)).all()
