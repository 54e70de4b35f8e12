"""An entry point as a program: options, exit code, and no run for a command that is refused."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from mnflow.runtime import cli

T = TypeVar("T")


def execute(options: type[T], run: Callable[[T], Any], argv: Sequence[str] | None = None) -> NoReturn:
    """`mnflow.runtime.cli.execute`, which leaves no run in MLflow if the options are refused."""
    cli.execute(options, run, argv, refused=_refuse_run)


def _refuse_run(message: str) -> None:
    if "MLFLOW_RUN_ID" in os.environ:  # else there is no run, and MLflow takes seconds to import
        from mnflow.track.tracking import refuse_run

        refuse_run(message)
