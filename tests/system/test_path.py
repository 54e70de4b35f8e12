"""The whole path on few spectra and epochs: every entry point runs and logs what it promises."""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partialmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run as MlflowRun

from entrypoints import (
    baselines,
    cv_train,
    main,
    noise_eval,
    preprocess,
    promote,
    reference_test,
    shift_eval,
    simulate,
    tsne,
    verify,
)
from mnflow.errors import InputError
from mnflow.pipeline import grid, presets
from mnflow.promote import gate, registration, registry
from mnflow.report.summary import figures
from mnflow.runtime import parallel
from mnflow.track import cross_validation, names, tracking
from mnflow.track.datasets import load_dataset
from mnflow.track.query import _experiment_id, artifact, children, finished_run, finished_runs
from tests.helpers import promotions

SMALL = presets.Preset(
    (presets.Grid(("10x",)),), shown=20, tsne_iterations=250, degraded_copies=1, size="quick", n_folds=2,
    baselines=("least_squares",),
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(module_store: Path) -> Iterator[MlflowRun]:
    """One run of `main` with a small preset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "quick", SMALL)
        promotions.shorten(patch)
        patch.setattr(parallel, "usable_cores", lambda: 1)  # every worker imports and compiles for itself
        yield tracking.connect().get_run(main.run(main.Options()))


STEPS = ("simulate", "preprocess", "cv_train", "shift_eval", "noise_eval", "reference_test", "tsne")


def newest(step: str, **tags: str) -> MlflowRun:
    return finished_run(step, **tags)


@pytest.mark.usefixtures("finished")
class TestAfterMain:
    """What is in the store after the main job."""

    @pytest.mark.parametrize("step", STEPS)
    def test_every_step_has_a_finished_run_with_the_four_tags(self, step: str) -> None:
        tags = newest(step).data.tags
        assert {"mnflow.step", "arch", "augmentation", "folds"} <= set(tags)
        assert "mlflow.note.content" in tags

    @pytest.mark.parametrize("arch", ["dense", "conv_dense", "fcn"])
    def test_a_cv_run_carries_all_the_numbers_of_its_evaluations(self, arch: str) -> None:
        run = newest("cv_train", arch=arch)
        assert set(names.COLUMNS) <= set(run.data.metrics)
        fold_runs = children(run.info.run_id)
        assert sorted(c.info.run_name for c in fold_runs) == [f"fold {k}" for k in range(SMALL.n_folds)]
        folds = np.array([c.data.metrics["cv/accuracy"] for c in fold_runs])
        assert run.data.metrics["cv/accuracy_mean"] == pytest.approx(folds.mean())
        assert run.data.metrics["cv/accuracy_std"] == pytest.approx(folds.std(ddof=1))

    def test_curves_have_integer_steps_in_mev_and_percent(self) -> None:
        run_id = newest("cv_train", arch="fcn").info.run_id
        shift = tracking.connect().get_metric_history(run_id, "shift/accuracy")
        assert sorted(m.step for m in shift) == list(range(-5000, 5001, 100))
        noise = tracking.connect().get_metric_history(run_id, "noise/accuracy")
        assert sorted(m.step for m in noise) == list(range(0, 501, 25))
        at_5x = next(m.value for m in noise if m.step == 500)
        assert newest("cv_train", arch="fcn").data.metrics["noise/accuracy_at_5x"] == at_5x

    def test_a_cv_run_can_be_read_again_with_models_folds_and_data(self) -> None:
        record = newest("cv_train", arch="fcn")
        loaded = cross_validation.load_cv(record)
        assert sorted(np.concatenate([f.test for f in loaded.folds]).tolist()) == list(
            range(len(loaded.spectra))
        )
        with artifact(record.info.run_id, "tables/predictions.csv") as path:
            table = pd.read_csv(path)
        accuracy = (table["truth"] == table["predicted"]).groupby(table["fold"]).mean().mean()
        assert accuracy == pytest.approx(record.data.metrics["cv/accuracy_mean"])

    def test_main_sums_the_three_nets_up(self, finished: MlflowRun) -> None:
        with artifact(finished.info.run_id, "tables/summary.csv") as path:
            summary = pd.read_csv(path)
        compared = ["dense", "conv_dense", "fcn", "least_squares_aligned"]
        assert [name.split()[0] for name in summary["run"]] == compared
        numbers = finished.data.metrics
        assert numbers["least_squares_aligned/worst_shift"] == pytest.approx(summary["worst shift"].iloc[3])
        assert "mlflow.note.content" in finished.data.tags
        steps = {run.data.tags["mnflow.step"] for run in children(finished.info.run_id)}
        assert steps == {*STEPS, "baselines", "promote"}
        logged = {f.path for f in tracking.connect().list_artifacts(finished.info.run_id, "figures")}
        assert {"figures/shift.png", "figures/shift.csv", "figures/noise.png"} <= logged

    def test_a_grid_is_drawn_by_net_and_kind_of_training(self) -> None:
        runs = finished_runs("cv_train", augmentation="10x")
        other = tracking.Run(runs[0].info.run_id)
        other.tags({"augmentation": "5x"})
        try:
            drawn = figures(finished_runs("cv_train"))
        finally:
            other.tags({"augmentation": "10x"})
        assert set(drawn) == {"shift_stratified", "noise_stratified"}
        assert len(drawn["shift_stratified"].axes) == 3

    def test_a_cell_that_was_trained_before_is_taken_as_it_is_and_evaluated_where_it_was_not(self) -> None:
        record = newest("cv_train", arch="fcn")
        (cell,) = [c for c in SMALL.cells([0]) if c.arch == "fcn"]
        assert cell.epochs == 2
        digest = newest("preprocess").data.tags["dataset_digest"]
        found = grid.finished_cell(cell, digest, {})
        assert found is not None
        assert found.info.run_id == record.info.run_id
        assert grid.finished_cell(cell, digest, {"mnflow.code": "another"}) is None
        assert grid.finished_cell(replace(cell, seed=1), digest, {}) is None
        assert grid.finished_cell(replace(cell, folds="grouped"), digest, {}) is None
        evaluated: list[tuple[str, str]] = []

        def again() -> list[str]:
            return grid.train_and_evaluate(
                [cell],
                lambda cell: pytest.fail("trained again"),
                lambda step, run_id: evaluated.append((step, run_id)),
                lambda cell: grid.finished_cell(cell, digest, {}),
            )

        assert again() == [record.info.run_id]
        assert evaluated == []

        tags = {k: v for k, v in record.data.tags.items() if not k.startswith("mlflow.")}
        with tracking.step(tags, "a run that was stopped before its evaluations", record.data.params) as bare:
            pass
        assert again() == [bare.id]
        steps = ("shift_eval", "noise_eval", "reference_test")
        assert evaluated == [(step, bare.id) for step in steps]
        tracking.connect().delete_run(bare.id)

    def test_baselines_go_through_the_same_evaluations(self) -> None:
        options = baselines.Options(methods="least_squares,white_lines", n_folds=2)
        record = finished_run("baselines", baselines.run(options))
        methods = children(record.info.run_id, status="FINISHED")
        expected = ["least_squares", "least_squares_aligned", "white_lines", "white_lines_aligned"]
        assert [run.data.tags["arch"] for run in methods] == expected
        for run in methods:
            assert set(names.COLUMNS) <= set(run.data.metrics)
        as_is, aligned = (run.data.metrics["shift/integrated_accuracy"] for run in methods[:2])
        assert as_is + 0.2 < aligned

    def test_a_registered_version_is_verified_by_its_own_artifacts(self) -> None:
        record = newest("cv_train", arch="fcn")
        open_gate = {f.name: float(f.name.startswith("max")) for f in fields(gate.Gate)}
        promote.run(promote.Options(run=record.info.run_id, **open_gate))
        verified = tracking.connect().get_run(verify.run(verify.Options()))
        assert "holds: all" in verified.data.tags["mlflow.note.content"]
        with artifact(verified.info.run_id, "tables/verification.csv") as path:
            checks = pd.read_csv(path)
        assert {*gate.MEASURED_BEFORE, gate.CALIBRATION_ERROR, "held_out/accuracy"} <= set(checks["number"])
        champion = registry.aliased(registry.CHAMPION)
        assert champion is not None
        known = registration.registration(champion)
        other = replace(known, metrics={**known.metrics, "shift/worst_accuracy": 0.99})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registration, "registration", lambda version: other)
            with pytest.raises(
                InputError, match=r"does not hold: shift/worst_accuracy was 0\.99 and is 0\.\d+\."
            ):
                verify.run(verify.Options(str(champion.version)))
        forged = tracking.connect().create_model_version(
            registration.MODEL, champion.source, champion.run_id, tags={**champion.tags, "arch": "dense"}
        )
        with pytest.raises(InputError, match=r"tagged arch=dense, and fold_0\.keras holds another network"):
            verify.run(verify.Options(str(forged.version)))
        tracking.connect().delete_model_version(registration.MODEL, forged.version)
        with pytest.raises(InputError, match="has no version '77' in the experiment test of sqlite:"):
            verify.run(verify.Options("77"))

    def test_evaluations_refuse_a_run_of_another_step(self) -> None:
        other = newest("preprocess").info.run_id
        for entry in (shift_eval, noise_eval, reference_test, tsne):
            with pytest.raises(InputError, match="is of the step preprocess, a cv_train run is needed"):
                entry.run(entry.Options(run=other))

    def test_a_failed_step_is_a_failed_run_that_says_why(self) -> None:
        with pytest.raises(InputError, match="Unknown net 'resnet'"):
            cv_train.run(cv_train.Options(arch="resnet"))
        runs = tracking.connect().search_runs([_experiment_id()], "tags.arch = 'resnet'")
        assert [r.info.status for r in runs] == ["FAILED"]
        assert "expected one of dense, conv_dense, fcn" in runs[0].data.tags["mnflow.error"]

    def test_one_class_cannot_be_trained_on(self, tmp_path: Path) -> None:
        spectra = load_dataset(newest("cv_train").data.tags["dataset_uri"])
        path = spectra.select(spectra.valence == 0).save(tmp_path / "one.npz")
        with pytest.raises(InputError, match="Training needs spectra of two classes or more"):
            cv_train.run(cv_train.Options(data=str(path)))

    def test_a_dataset_that_changed_since_is_refused(self, tmp_path: Path) -> None:
        record = newest("cv_train", arch="dense")
        changed, digest = tracking.Run(record.info.run_id), record.data.tags["dataset_digest"]
        changed.tags({"dataset_digest": "0" * 16})
        try:
            with pytest.raises(InputError, match="has changed since run"):
                shift_eval.run(shift_eval.Options(run=record.info.run_id))
        finally:
            changed.tags({"dataset_digest": digest})


def test_without_any_data_a_dataset_is_simulated_first(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate.Options, "__init__", partialmethod(simulate.Options.__init__, size="quick"))
    with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
        spectra, uri = preprocess.find_or_make_dataset("newest", run)
    assert uri == f"runs:/{newest('preprocess').info.run_id}"
    assert spectra.digest() == newest("preprocess").data.tags["dataset_digest"]
    assert (store / "data" / "simulated" / "manifest.csv").is_file()


def test_seeds_have_to_be_positive(store: Path) -> None:
    with pytest.raises(InputError, match="Option seeds: expected at least 1, got 0"):
        main.run(main.Options(seeds=0))
    assert not tracking.connect().search_runs([_experiment_id()], "tags.`mnflow.step` = 'main'")


def test_main_simulates_what_its_settings_say(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def stop(options: object) -> str:
        made.append(options)
        raise InputError("far enough")

    monkeypatch.setattr(simulate, "run", made.append)
    monkeypatch.setattr(preprocess, "run", stop)
    with pytest.raises(InputError, match="far enough"):
        main.run(main.Options(preset="claims", settings="mn-oxides", seed=3))
    folder = "data/simulated-mn-oxides-3"
    assert made == [
        simulate.Options(out=folder, seed=3, settings="mn-oxides"),
        preprocess.Options(source=folder, settings="mn-oxides"),
    ]
