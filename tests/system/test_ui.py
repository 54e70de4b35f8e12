"""The MLflow UI in a real browser: what pages must show, by their words; pictures stay in tmp_path."""

import os
from pathlib import Path

import numpy as np

from mnflow import plots
from mnflow.track import tracking
from mnflow.track.query import children
from tests.helpers.browser import Page, browse, needs_browser
from tests.helpers.services import free_port, mlflow_server
from tests.helpers.spectra import spectra


def _cross_validation(arch: str, accuracy: float) -> str:
    """A run as cv_train and shift_eval leave it, with numbers made up."""
    shift_mev = np.arange(-5000, 5001, 100)
    tags = tracking.tags_of("cv_train", arch, "10x", "stratified")
    with tracking.step(tags, f"{arch} 10x stratified", {"arch": arch, "epochs": 40}) as run:
        run.note(f"{arch} at 10x: {accuracy:.4f} of the test spectra right.")
        run.dataset(spectra(), "training")
        run.metrics({"cv/accuracy_mean": accuracy, "shift/integrated_accuracy": accuracy - 0.01})
        run.curve("shift/accuracy", shift_mev, accuracy - 0.1 * np.abs(shift_mev / 5000))
        run.figure(plots.shift_curves({arch: (shift_mev / 1000, np.full(101, accuracy))}), "shift")
        for fold in range(3):
            with tracking.child(
                run, {**tags, "mnflow.step": "fold", "fold": str(fold)}, f"fold {fold}"
            ) as child:
                child.curve("test/accuracy", [1, 2, 3], [0.5, 0.9, accuracy])
    return run.id


def _see(tab: Page, url: str, picture: Path, *words: str, plots: int = 0) -> str:
    """Open a page, wait for its words and for so many lines and bars in charts; keep a picture."""
    tab.open("about:blank")
    tab.open(url)
    text = tab.wait_for(*words, seconds=120)
    tab.wait_for_plots(plots, seconds=120)
    tab.screenshot(picture)
    assert picture.stat().st_size > 10_000
    return text


@needs_browser
def test_pages_tell_the_story(store: Path) -> None:
    ids = [
        _cross_validation(arch, accuracy)
        for arch, accuracy in (("dense", 0.89), ("conv_dense", 0.97), ("fcn", 0.99))
    ]
    client = tracking.connect()
    client.create_registered_model("mn-valence")
    version = client.create_model_version(
        "mn-valence", (store / "artifacts").as_uri(), ids[2], description="An FCN."
    )
    client.set_registered_model_alias("mn-valence", "champion", version.version)
    experiment = client.get_experiment_by_name("test")
    assert experiment
    fold = children(ids[2])[0].info.run_id
    backend = ("--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"])
    names = ["dense 10x stratified", "conv_dense 10x stratified", "fcn 10x stratified"]
    with mlflow_server(store, free_port(), *backend) as address, browse(store, (1500, 1000)) as tab:
        here = f"{address}/#/experiments/{experiment.experiment_id}"
        words = (*names, "Mn spectra", "press Compare to see")
        _see(tab, f"{here}/runs?workflowType=machine_learning", store / "experiment.png", *words)
        _see(
            tab,
            f"{here}/runs?workflowType=machine_learning&compareRunsMode=CHART",
            store / "charts.png",
            *names,
            "cv/accuracy_mean",
            plots=4,
        )
        quoted = ",".join(f"%22{run_id}%22" for run_id in ids)
        compare = f"{address}/#/compare-runs?runs=[{quoted}]&experiments=[%22{experiment.experiment_id}%22]"
        _see(
            tab,
            compare,
            store / "compare.png",
            "Comparing 3 Runs",
            *names,
            "shift/integrated_accuracy",
            "epochs",
        )
        words = (
            "fcn 10x stratified",
            "fold 0",
            "fold 2",
            "0.9900 of the test spectra right",
            "Mn spectra",
            "cv_train",
            "Training",
        )
        _see(tab, f"{here}/runs/{ids[2]}", store / "parent.png", *words)
        _see(
            tab,
            f"{here}/runs/{ids[2]}/model-metrics",
            store / "curves.png",
            "shift\n(2)",
            "accuracy_mean",
            plots=2,
        )
        _see(
            tab,
            f"{here}/runs/{fold}",
            store / "fold.png",
            "Parent run",
            "fcn 10x stratified",
            "test/accuracy",
        )
        _see(
            tab,
            f"{here}/runs/{ids[2]}/artifacts/figures/shift.png",
            store / "artifacts.png",
            "shift.png",
            "shift.csv",
        )
        _see(
            tab, f"{address}/#/models/mn-valence", store / "model.png", "mn-valence", "champion", "Version 1"
        )
