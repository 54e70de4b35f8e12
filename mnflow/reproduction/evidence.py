"""Results of finished runs: one number per quantity, fold and cross-validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from scipy import stats

from mnflow.report.gather import evaluations
from mnflow.report.tables import read_table
from mnflow.reproduction.swing import STRIDES, by_fold, swing
from mnflow.track import names, tracking
from mnflow.track.query import children, finished_run, finished_runs

FAR_EV = 3.0
"""From this shift on, in either direction, a spectrum counts as far shifted."""

_METRICS = (
    names.REFERENCE_FOLD_ACCURACY,
    names.REFERENCE_VOTE_ACCURACY,
    *(names.TSNE_AGREEMENT.format(space) for space in ("input", "features")),
    *(names.ACTIVATION_CORRELATION.format(which) for which in ("same", "other")),
)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval (Student's t over folds and seeds), as shares of 1."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        within = f"{self.low:.1%} to {self.high:.1%}, " if self.n > 1 else ""
        return f"{self.mean:.1%} ({within}n = {self.n})"

    def signed(self, decimals: int = 1) -> str:
        """The same of a difference, with signs."""
        mean, low, high = (f"{value:+.{decimals}%}" for value in (self.mean, self.low, self.high))
        return f"{mean} ({low} to {high}, n = {self.n})"


def interval(values: "pd.Series[float]") -> Interval:
    """Mean and 95 % interval; folds of one seed share training spectra, so true intervals are wider."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Interval(mean, mean, mean, n)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


@dataclass(frozen=True)
class Evidence:
    """All numbers: a row for every quantity of every fold.

    Attributes
    ----------
    values : DataFrame
        Columns `quantity`, `arch`, `augmentation`, `noise_augmentation`, `folds`, `seed`, `fold`, `value`.
    counts : dict of str to int
        Spectra of every class in the newest dataset.
    simulated : bool
        Whether all training data were simulated.
    digest : str
        Of the dataset; runs on other data are left out.
    settings : str
        Name of the settings file that the dataset was simulated or preprocessed with.
    runs : sequence of Run
        The cross-validations and baselines that the numbers come from.
    """

    values: pd.DataFrame
    counts: dict[str, int]
    simulated: bool
    digest: str = "unknown"
    settings: str = "unknown"
    runs: Sequence[MlflowRun] = ()

    def pick(
        self,
        quantity: str,
        arch: str,
        augmentation: str = "none",
        noise: bool = False,
        folds: str = "stratified",
    ) -> "pd.Series[float]":
        """The numbers of one setting by (seed, fold); empty if it was not run."""
        v = self.values
        setting = (
            (v["arch"] == arch) & (v["augmentation"] == augmentation) & (v["noise_augmentation"] == noise)
        )
        chosen = v[(v["quantity"] == quantity) & setting & (v["folds"] == folds)]
        return chosen.set_index(["seed", "fold"])["value"].sort_index()

    def difference(
        self, quantity: str, first: tuple[str, str], second: tuple[str, str]
    ) -> "pd.Series[float]":
        """First less second setting (arch, augmentation), fold by fold where both were run."""
        return (self.pick(quantity, *first) - self.pick(quantity, *second)).dropna()

    def in_place_of_fcn(self, arch: str) -> "Evidence":
        """The same with net `arch` under the name `fcn`, to judge of it what the paper claims of its FCN."""
        values = self.values[self.values["arch"] != "fcn"].replace({"arch": {arch: "fcn"}})
        return replace(self, values=values)


def collect(data: str = "newest") -> Evidence:
    """Read the finished cross-validations and baselines on one dataset, with their evaluations.

    Of every setting and seed the newest counts.

    Parameters
    ----------
    data : str
        newest: the dataset of the newest cross-validation. Else the id of a preprocess run.
    """
    rows, counts = [], {}
    runs = _newest_runs(data)
    digest = runs[0].data.tags.get(names.DATASET_DIGEST, "unknown") if runs else "unknown"
    for run in runs:
        known = {k: run.data.tags.get(k, "") for k in names.SETTING} | {
            "seed": int(run.data.params.get("seed", "0"))
        }
        known["noise_augmentation"] = known["noise_augmentation"] == "true"
        rows += [{**known, "quantity": q, "fold": fold, "value": value} for q, fold, value in _numbers(run)]
        table = read_table(run, "predictions")
        if table is not None:
            counts = {str(name): int(n) for name, n in table["truth"].value_counts().items()}
    columns = ["quantity", *names.SETTING, "seed", "fold", "value"]
    made = [
        _preprocess_params(uri)
        for uri in dict.fromkeys(run.data.tags.get(names.DATASET_URI, "") for run in runs)
    ]
    simulated = all("simulated" in params.get("source", "") for params in made)
    settings = made[0].get("settings", "unknown") if made else "unknown"
    # What an evaluation found stands on its run and on the cross-validation's, there once for every time it
    # was run.
    values = pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:-1], keep="last", ignore_index=True)
    return Evidence(values, counts, simulated, digest, settings, runs)


def _preprocess_params(uri: str) -> dict[str, str]:
    """What the dataset at `uri` was preprocessed with; empty if that was not a run."""
    if not uri.startswith("runs:/"):
        return {}
    return dict(tracking.connect().get_run(uri.removeprefix("runs:/")).data.params)


def _newest_runs(data: str) -> list[MlflowRun]:
    """The newest finished run of every setting and seed on a dataset (see `collect`)."""
    runs = [run for step in ("cv_train", "baseline") for run in finished_runs(step)]
    if data != "newest":
        digest = finished_run("preprocess", data).data.tags[names.DATASET_DIGEST]
    else:
        digest = runs[0].data.tags.get(names.DATASET_DIGEST, "unknown") if runs else "unknown"
    found: dict[tuple[str, ...], MlflowRun] = {}
    for run in runs:
        if run.data.tags.get(names.DATASET_DIGEST, "unknown") == digest:
            key = tuple(run.data.tags.get(k, "") for k in names.SETTING)
            found.setdefault((*key, run.data.params.get("seed", "0")), run)
    return list(found.values())


def _numbers(run: MlflowRun) -> Iterator[tuple[str, int, float]]:
    """(quantity, fold, value) of a cross-validation and its evaluations."""
    predictions = read_table(run, "predictions")
    if predictions is not None:
        right = (predictions["truth"] == predictions["predicted"]).groupby(predictions["fold"]).mean()
        yield from _rows("accuracy", right)
        yield from _training(run, predictions["fold"].value_counts())
    for found in (
        run,
        *evaluations(run, references="simulated"),
    ):  # a baseline's run holds its evaluations itself
        yield from _evaluation(found)


def _training(run: MlflowRun, tested: "pd.Series[int]") -> Iterator[tuple[str, int, float]]:
    """Seconds for 100,000 spectra, and by how much the best epoch on the test fold beats the last.

    `tested` holds the number of test spectra by fold: all others trained, each as often as augmentation says.
    """
    crops = max(1, int(run.data.tags.get(names.AUGMENTATION, "none").removesuffix("x").replace("none", "1")))
    client = tracking.connect()
    for child in children(run.info.run_id, status="FINISHED"):
        fold, metrics = int(child.data.tags[names.FOLD]), child.data.metrics
        if "test/accuracy" in metrics:
            curve = [
                m.value
                for m in sorted(
                    client.get_metric_history(child.info.run_id, "test/accuracy"), key=lambda m: m.step
                )
            ]
            yield "best_epoch_gain", fold, max(curve) - curve[-1]
        if names.FOLD_SECONDS in metrics and "epochs" in run.data.params:
            trained = int(run.data.params["epochs"]) * crops * (tested.sum() - tested[fold])
            yield "seconds_per_100k", fold, 1e5 * metrics[names.FOLD_SECONDS] / trained


def _evaluation(run: MlflowRun) -> Iterator[tuple[str, int, float]]:
    shift, noise = read_table(run, "shift"), read_table(run, "noise")
    if shift is not None:
        yield from _shift_numbers(shift)
    if noise is not None:
        for scale in (1, 5):
            at = noise[np.isclose(noise["scale"], scale)]
            yield from _rows(f"noise/{scale}x", at.set_index("fold")["accuracy"])
    for metric in _METRICS:
        if metric in run.data.metrics:
            for m in tracking.connect().get_metric_history(run.info.run_id, metric):
                yield metric, m.step, m.value


def _shift_numbers(table: pd.DataFrame) -> Iterator[tuple[str, int, float]]:
    """From accuracy by shift and fold: on average, far off, at the worst channel, and how much it swings."""
    far = table[table["shift_ev"].abs() >= FAR_EV]
    worst = table.groupby("shift_ev")["accuracy"].mean().idxmin()
    yield from _rows("shift/integrated", table.groupby("fold")["accuracy"].mean())
    yield from _rows("shift/far", far.groupby("fold")["accuracy"].mean())
    yield from _rows("shift/worst", table[table["shift_ev"] == worst].set_index("fold")["accuracy"])
    curves = by_fold(table)
    for period in STRIDES:
        yield from _rows(f"shift/swing_{period}", pd.Series(swing(curves.to_numpy(), period), curves.index))


def _rows(quantity: str, values: "pd.Series[Any]") -> Iterator[tuple[str, int, float]]:
    for fold, value in values.items():
        yield quantity, int(str(fold)), float(value)
