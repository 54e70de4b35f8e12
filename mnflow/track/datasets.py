"""Datasets as artifacts and MLflow inputs."""

from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlparse

from mnflow.spectra import SpectrumSet
from mnflow.track import tracking
from mnflow.track.query import artifact

DATASET = "dataset/spectra.npz"
"""Artifact of a preprocess run, and of a CV run whose data came from elsewhere."""


def log_dataset(run: tracking.Run, spectra: SpectrumSet) -> str:
    """Keep a dataset as artifact of `run`; returns its address, `runs:/RUN_ID`."""
    with TemporaryDirectory() as folder:
        run.file(spectra.save(Path(folder) / Path(DATASET).name), str(Path(DATASET).parent))
    return f"runs:/{run.id}"


def load_dataset(uri: str) -> SpectrumSet:
    """The dataset at `runs:/RUN_ID` (what `log_dataset` kept) or at a path of an .npz file."""
    if uri.startswith("runs:/"):
        with artifact(urlparse(uri).path.strip("/"), DATASET) as path:
            return SpectrumSet.load(path)
    return SpectrumSet.load(uri)
