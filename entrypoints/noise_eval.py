"""Accuracy of a finished cross-validation against added noise, 0 to 5 times what was measured (the paper's Fig. 4)."""

from dataclasses import dataclass

from mnflow.options import execute, option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to evaluate, and what counts as signal."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("any", "with run=newest: the newest of this net")
    kept_components: int = option(10, "principal components that count as signal; the others are the noise that is scaled")


def run(options: Options) -> str:
    """Scale the noise of every fold's test spectra; log the curve here and on the CV run."""
    import numpy as np

    from mnflow import cv, evaluate, plots

    with cv.evaluation("noise_eval", options.run, arch=options.arch) as (own, finished):
        own.params({"kept_components": options.kept_components})
        scales = np.linspace(0, 5, 21)
        accuracy = evaluate.noise_accuracy(finished.models, finished.spectra, finished.folds, scales, options.kept_components)
        mean = accuracy.mean(axis=0)  # (folds, scales) -> (scales,)
        own.table(cv.curve_table(finished.folds, "scale", scales, accuracy), "noise")
        examples = evaluate.noise_examples(finished.spectra, options.kept_components)
        figure = plots.noise_curves({finished.label: (scales, accuracy)}, examples)
        for target in (own, finished.run):
            target.curve("noise/accuracy", (100 * scales).round().astype(int), mean)
            target.metrics({"noise/accuracy_at_5x": mean[-1]})
            target.figure(figure, "noise")
        own.note(f"{finished.label}: {mean[-1]:.4f} of all spectra right with five times the noise, {mean[4]:.4f} with 1x.")
    return own.id


if __name__ == "__main__":
    execute(Options, run)
