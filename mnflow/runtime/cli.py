"""Options of an entry point: a dataclass holds names, types, defaults and help."""

import argparse
import errno
import io
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from mnflow.errors import InputError
from mnflow.runtime import signals
from mnflow.runtime.project import ROOT, project_of

T = TypeVar("T")

_TIGHT_BYTES = 1_000_000  # less is free on a disk that is full

_OUTSIDE = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), "make room"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "check its permissions, or name another folder"
    ),
    errno.ELOOP: "remove this link, which leads elsewhere",
    errno.EFBIG: "allow larger files (`ulimit -f`), or name another folder",
    errno.ENAMETOOLONG: "give it a shorter name",
}
"""Errors of the system that are no fault of ours, and what to do."""


def option(default: Any, help: str, choices: Sequence[str] = ()) -> Any:
    """A dataclass field with its help text and, for words, what is allowed."""
    return field(default=default, metadata={"help": help, "choices": tuple(choices)})


def given(word: str) -> str | None:
    """An option's word; None for "none"."""
    return None if word == "none" else word


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}. `{self.prog} --help` lists the options.")


def parse(options: type[T], argv: Sequence[str] | None = None, program: str = "mnflow") -> T:
    """Options from the command line; raises `InputError` for an unknown name or a wrong value."""
    parser = _Parser(prog=program, description=options.__doc__)
    for f in fields(options):  # type: ignore[arg-type]
        assert f.default is not MISSING
        words = ("true", "false") if f.type is bool else f.metadata["choices"]
        parser.add_argument(
            f"--{f.name}",
            default=f.default,
            metavar=f"{{{','.join(words)}}}" if words else None,
            help=f"{f.metadata['help']} (default: {f.default})",
        )
    found = vars(parser.parse_args(argv))
    return options(**{f.name: _convert(f, found[f.name]) for f in fields(options)})  # type: ignore[arg-type]


def _convert(f: Any, word: Any) -> Any:
    convert = _boolean if f.type is bool else f.type
    try:
        value = word if isinstance(word, f.type) else convert(word)
    except ValueError:
        raise InputError(f"Option {f.name}: expected {f.type.__name__}, got {word!r}.") from None
    if (f.type is float and not math.isfinite(value)) or (f.name == "seed" and value < 0):
        kind = "a seed of 0 or more" if f.name == "seed" else "a finite number"
        raise InputError(f"Option {f.name}: expected {kind}, got {word!r}.")
    choices = f.metadata["choices"]
    if choices and value not in choices:
        raise InputError(f"Option {f.name}: expected one of {', '.join(choices)}, got {value!r}.")
    return value


def check_place() -> None:
    """Raise `InputError` if the code that runs is not that of the project in the working directory.

    A copied .venv, or another project's that is still active, would silently use that one's code and store.
    """
    here = project_of(Path.cwd().resolve())
    if here is not None and here != ROOT and (here / "mnflow" / "__init__.py").is_file():
        raise InputError(
            f"The code that runs is that of {ROOT}, and this folder ({here}) is a project of its own: run "
            "`python -m mnflow.setup` here (or `make setup`), then use its own .venv."
        )


def execute(
    options: type[T],
    run: Callable[[T], Any],
    argv: Sequence[str] | None = None,
    refused: Callable[[str], None] = lambda message: None,
) -> NoReturn:
    """Parse, run and exit: 0 for success, 1 with an error message, 130 when interrupted.

    `refused` is called with the message for bad input. SIGTERM is turned into KeyboardInterrupt, so that the
    MLflow run is closed as KILLED and files are left whole.
    """
    open_streams()
    os.environ["MPLBACKEND"] = "Agg"  # to files; a notebook's backend may not even be installed here
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before a step imports MLflow
    signals.listen()
    module = run.__module__
    if module == "__main__":
        module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    program = f"mnflow {module.rpartition('.')[2]}"
    code = 0
    try:
        check_place()
        run(parse(options, argv, program))
    except InputError as error:
        say(f"mnflow: {error}")
        refused(str(error))
        code = 1
    except OSError as error:
        if (what := _outside(error)) is None:
            raise
        say(f"mnflow: {what}, and start the same command again; what was finished is kept.")
        code = 1
    except KeyboardInterrupt as stop:
        say(f"mnflow: stopped by {stop}; what was finished is kept.")
        code = 130
    signals.leave(code)  # outside of the handlers: what they hold of the run is let go first


def _outside(error: OSError) -> str | None:
    """An error of the system that is no fault of ours, in words; None for others."""
    if "No usable temporary directory" in str(error):
        said = f"The temporary folder is full or cannot be written ({error.strerror})"
        return f"{said}: set TMPDIR to another folder"
    if error.errno is None or error.errno not in _OUTSIDE:
        return None
    where = f" ({error.filename})" if error.filename else ""
    what = f"{os.strerror(error.errno)}{where}: {_OUTSIDE[error.errno]}"
    with suppress(OSError):
        folder = tempfile.gettempdir()
        if error.errno == errno.ENOSPC and shutil.disk_usage(folder).free < _TIGHT_BYTES:
            return f"The temporary folder {folder} is full: make room there, or set TMPDIR to another folder"
    return what


def open_streams() -> None:
    """Redirect closed standard streams to the null device, and let the others take any file's name.

    Otherwise the next file that is opened, which may be the database, would get what is printed; and a name
    that is no text in the terminal's encoding would end the command.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A line for the person who waits, on standard error so that output stays clean."""
    with suppress(OSError, ValueError):  # nobody listens any more
        print(text, file=sys.stderr, flush=True)


def relative(path: Path) -> str:
    """A path as a user would write it from the project's root."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
