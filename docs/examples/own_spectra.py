"""Train on spectra of your own, cell by cell: from labelled files to a model that reads a new one."""

# %% Labelled files: one folder per valence. Simulated ones stand for yours here
import subprocess
import sys
from pathlib import Path

import mlflow

from mnflow.runtime.project import default_tracking_uri
from mnflow.simulate.image import simulate_images

SPECTRA = Path("spectra")
if not SPECTRA.exists():
    simulate_images(SPECTRA, seed=1, size="quick")
print(sorted(path.name for path in SPECTRA.iterdir()))


# %% Every step is a command, and leaves a run in MLflow
def mnflow(step, *options):
    """`mnflow STEP OPTIONS`, as in a shell."""
    subprocess.run([sys.executable, "-m", "mnflow", step, *map(str, options)], check=True)


# %% Read, place the window, choose the pixels. Look at its figures before you train: `mlflow ui`
mnflow("preprocess", "--source", SPECTRA)

# %% Train on four fifths of the spectrum images, test on the fifth, five times
EPOCHS = 20
mnflow("cv_train", "--arch", "fcn_wide", "--folds", "grouped", "--n_folds", 5, "--epochs", EPOCHS)

# %% What calibration and noise do to it
mnflow("shift_eval")
mnflow("noise_eval")

# %% The numbers, from MLflow
mlflow.set_tracking_uri(default_tracking_uri())
runs = mlflow.search_runs(experiment_names=["mn-valence"]).set_index("tags.mlflow.runName")
columns = ["metrics.cv/accuracy_mean", "metrics.shift/worst_accuracy", "metrics.noise/accuracy_at_5x"]
print(runs[columns].dropna())
