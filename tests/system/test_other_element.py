"""Iron goes the way of manganese: two classes, another window, nothing but another settings file."""

from pathlib import Path

from entrypoints import cv_train, preprocess, reference_test, simulate
from mnflow.track import cross_validation, tracking
from mnflow.track.query import finished_run


def test_iron_from_images_to_references(store: Path) -> None:
    simulate.run(simulate.Options(out=str(store / "iron"), size="quick", settings="fe"))
    # newer, and not what is asked for
    simulate.run(simulate.Options(out=str(store / "manganese"), size="quick"))
    preprocess.run(preprocess.Options(settings="fe"))
    run = cv_train.run(
        cv_train.Options(augmentation="2x", degraded_copies=0, n_folds=2, epochs=20, workers=1)
    )
    finished = cross_validation.load_cv(tracking.connect().get_run(run))
    assert finished.spectra.edge.classes == ("Fe2+", "Fe3+")
    assert finished.spectra.edge.crop_ev[0] > 690
    assert finished.models[0].output_shape == (None, 2)
    assert finished.record.data.metrics["cv/accuracy_mean"] > 0.7  # chance is a half
    reference_test.run(reference_test.Options())
    assert finished_run("reference_test").data.metrics["reference/accuracy_vote"] > 0.5
