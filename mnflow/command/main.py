"""Which subcommand is called, and its module."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from mnflow import __version__
from mnflow.errors import InputError
from mnflow.runtime.cli import open_streams

COMMANDS = {
    "predict": ("mnflow.command.predict", "oxidation states of files: one line per spectrum or image"),
    "view": ("mnflow.command.view", "a page in the browser: drop a file, see the valence map"),
    "fit": ("mnflow.command.fit", "the simulator fitted to one spectrum: fields, thickness, what is left"),
    "serve": ("mnflow.command.serve", "an HTTP server that answers spectra (needs mnflow[train])"),
    "selftest": ("mnflow.command.selftest", "checks the installed model against stored answers"),
    "doctor": ("mnflow.doctor", "diagnoses a broken installation or project"),
}
"""Subcommands for users: the module whose `main(argv)` runs, and a line of help."""

STEPS = {
    "main": "everything below in order, on simulated spectra",
    "simulate": "labelled spectrum images as .hspy files",
    "preprocess": "spectrum images or spectra -> one dataset",
    "cv_train": "cross-validation of one network at one augmentation",
    "tune": "a search for better parameters",
    "shift_eval": "accuracy against energy shift",
    "noise_eval": "accuracy against noise",
    "reference_test": "accuracy on spectra of other laboratories",
    "tsne": "inputs and features in two dimensions",
    "promote": "registers the best run; the best version becomes champion",
    "verify": "recomputes a registered version's numbers",
    "baselines": "what is used instead of a network, through the same folds",
    "watch": "what was served per day: classes, flags, drift",
    "report": "one HTML page that compares runs",
    "reproduce": "every claim of the paper beside ours",
}
"""Steps of the training path: each is `entrypoints.NAME`, as in MLproject, and a run in MLflow."""

_MISSING_EXTRA = {
    "mlflow": "train", "keras": "train", "jax": "train", "optuna": "train", "distributed": "train",
    "sklearn": "train", "entrypoints": "train", "uvicorn": "train",
    "panel": "view", "bokeh": "view",
}  # fmt: skip


def usage() -> str:
    """The help of the bare command."""
    lines = [
        f"mnflow {__version__}: oxidation states of transition metals from EELS.",
        "",
        "usage: mnflow COMMAND [options]; `mnflow COMMAND --help` lists a command's options.",
        "",
        *(f"  {name:15} {text}" for name, (_, text) in COMMANDS.items()),
        "",
        "Steps of training, each a run in MLflow (`mnflow cv_train --arch fcn` is `mlflow run . -e cv_train"
        " -P arch=fcn`; they need mnflow[train]):",
        "",
        *(f"  {name:15} {text}" for name, text in STEPS.items()),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a subcommand and exit: 0 when all went well, 1 for bad input, 2 for an unknown command."""
    open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0)
    if name in ("-V", "--version"):
        print(f"mnflow {__version__}")
        sys.exit(0)
    try:
        run = _command(name)
        sys.exit(run(rest))
    except InputError as error:
        print(f"mnflow: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = _MISSING_EXTRA.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"mnflow: `mnflow {name}` needs the package {error.name}, which is not installed: "
            f"run `pip install 'mnflow[{extra}]'`.",
            file=sys.stderr,
        )
        sys.exit(1)


def _command(name: str) -> Callable[[Sequence[str]], int | None]:
    """The function behind a name; an unknown one ends the program with the nearest names."""
    if name in COMMANDS:
        return import_module(COMMANDS[name][0]).main
    if name in STEPS:
        return lambda rest: _step(name, rest)
    from difflib import get_close_matches

    near = get_close_matches(name, [*COMMANDS, *STEPS], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mnflow --help` lists the commands."
    print(f"mnflow: unknown command {name!r}: {hint}", file=sys.stderr)
    sys.exit(2)


def _step(name: str, argv: Sequence[str]) -> NoReturn:
    """The same function as `mlflow run . -e NAME`."""
    from mnflow.pipeline.execution import execute

    step = import_module(f"entrypoints.{name}")
    execute(step.Options, step.run, argv)
