"""Accuracy of a finished cross-validation against the energy shift, at every channel from -5 to +5 eV (the paper's Fig. 3)."""

from dataclasses import dataclass

from mnflow.options import execute, option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to evaluate."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("any", "with run=newest: the newest of this net")


def run(options: Options) -> str:
    """Shift every fold's test spectra past its model; log the curve here and on the CV run."""
    from mnflow import cv, evaluate, plots

    with cv.evaluation("shift_eval", options.run, arch=options.arch) as (own, finished):
        shift_bins, accuracy = evaluate.shift_accuracy(finished.models, finished.spectra, finished.folds)
        shift_ev = shift_bins * finished.spectra.edge.dispersion_ev
        mean = accuracy.mean(axis=0)  # (folds, shifts) -> (shifts,)
        metrics = {
            "shift/integrated_accuracy": evaluate.integrated_accuracy(shift_bins, accuracy),
            "shift/worst_accuracy": mean.min(),
        }
        own.table(cv.curve_table(finished.folds, "shift_ev", shift_ev.round(6), accuracy), "shift")
        figure = plots.shift_curves({finished.label: (shift_ev, accuracy)})
        for target in (own, finished.run):
            target.curve("shift/accuracy", (1000 * shift_ev).round().astype(int), mean)
            target.metrics(metrics)
            target.figure(figure, "shift")
        own.note(
            f"{finished.label}: {metrics['shift/integrated_accuracy']:.4f} of all spectra right on average over shifts of "
            f"{shift_ev.min():.0f} to {shift_ev.max():+.0f} eV, {metrics['shift/worst_accuracy']:.4f} at the worst channel."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
