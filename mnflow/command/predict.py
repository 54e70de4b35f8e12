"""`mnflow predict`: oxidation states of files, one line per spectrum or image."""

import argparse
import csv
import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from mnflow.serve.predictor import Predictor

_EXAMPLES = """\
examples:
  mnflow predict spectrum.msa
  mnflow predict 'scan_*.dm4' more_spectra/ --csv > valences.csv
  mnflow predict image.hspy --json | jq .mean_valence

An image is summed up over its unflagged pixels: the answer is that of their mean spectrum.
Exit code: 0 if every file was answered, 1 if any failed.
"""

_NUMBER_OF_LETTERS = 36  # of a file's name in the table


def parser() -> argparse.ArgumentParser:
    """The options, without importing anything that reads files."""
    options = argparse.ArgumentParser(
        prog="mnflow predict",
        description="Oxidation states of spectra and spectrum images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "files", nargs="+", metavar="FILE", help="files, folders, or patterns such as '*.dm4'"
    )
    form = options.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per line")
    form.add_argument("--csv", action="store_true", help="comma-separated values with a header")
    options.add_argument(
        "--low-loss",
        metavar="FILE",
        help="the low losses of the same places (dual EELS), to take plural scattering out; one that lies in "
        "the same file is found",
    )
    options.add_argument(
        "--model",
        default="default",
        help="a predictor.npz, a model's folder, `models:/NAME@ALIAS`, or `shipped` "
        "(default: the project's champion if there is one, else the shipped model)",
    )
    options.add_argument(
        "--own-references",
        type=Path,
        metavar="FOLDER",
        help="pure spectra of the same instrument, with a manifest.csv (file, valence): the model is "
        "conditioned on them first, which takes some 15 seconds",
    )
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Answer every file; returns 1 if any failed."""
    options = parser().parse_args(argv)
    paths = expand(options.files)
    from mnflow.maps import load_predictor
    from mnflow.read.source import is_folder, not_read

    predictor = load_predictor(options.model, options.own_references)
    print(f"model: {predictor.facts['model']}", file=sys.stderr)
    for folder in filter(is_folder, paths):
        if others := not_read(folder):
            names = ", ".join(p.relative_to(folder).as_posix() for p in others)
            print(f"not read in {folder}, as they are of no format of spectra: {names}", file=sys.stderr)
    answers = answer_paths(paths, predictor, options.low_loss)
    try:
        if options.json:
            failed = _write_json(answers, sys.stdout)
        elif options.csv:
            failed = _write_csv(answers, predictor.edge.classes, sys.stdout)
        else:
            failed = _write_table(answers, predictor.edge.classes, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(failed > 0)


def expand(words: Sequence[str]) -> list[Path]:
    """Paths given as files, folders or patterns, each once.

    Patterns are expanded here because cmd.exe does not, and quotes prevent it.
    """
    paths: list[Path] = []
    for word in words:
        is_pattern = glob.has_magic(word) and not Path(word).exists()
        paths += map(Path, (is_pattern and sorted(glob.glob(word, recursive=True))) or [word])  # noqa: PTH207
    return list(dict.fromkeys(paths))


def answer_paths(
    paths: Iterable[Path], predictor: "Predictor", low_loss: str | None = None
) -> Iterator[dict[str, Any]]:
    """The answer to every file, and to every file of a folder; a file that cannot be read has an `error`.
    Plural scattering is taken out with the file `low_loss`, or with the low loss that lies in the same file.
    """
    from mnflow.command.summary import failure, summarise
    from mnflow.errors import InputError
    from mnflow.read import read_all

    for given in paths:
        path = given
        try:
            for path, found in read_all([given], predictor.edge, low_loss):
                if isinstance(found, InputError):
                    yield failure(str(path), predictor.edge, str(found))
                    continue
                try:
                    yield summarise(str(path), found, predictor)
                except InputError as error:
                    yield failure(str(path), predictor.edge, str(error))
        except OSError as error:
            yield failure(str(path), predictor.edge, f"{path}: {error.strerror or error}.")


def _write_json(answers: Iterator[dict[str, Any]], out: TextIO) -> int:
    failed = 0
    for answer in answers:
        print(json.dumps(answer), file=out, flush=True)
        failed += answer["error"] is not None
    return failed


def _write_csv(answers: Iterator[dict[str, Any]], classes: Sequence[str], out: TextIO) -> int:
    """Lists and dictionaries become columns of their own: p(Mn2+), x(Mn2+), low, high."""
    from mnflow.runtime.files import plain_cell
    from mnflow.serve.answer import OPINIONS

    failed, rows = 0, csv.writer(out, lineterminator="\n")
    by_class = [f"{letter}({name})" for letter in "px" for name in classes]
    rows.writerow(
        ["file", "element", "n", "n_flagged", "class", *by_class, "mean_valence", "interval_low",
         "interval_high", *OPINIONS, "flags", "moved_ev", "notes", "error"]
    )  # fmt: skip
    for answer in answers:
        numbers = [
            (answer[key] or {}).get(name) for key in ("probabilities", "fractions") for name in classes
        ]
        rows.writerow(
            [*(plain_cell(answer[k]) for k in ("file", "element", "n", "n_flagged", "class")), *numbers,
             answer["mean_valence"], *(answer["interval"] or (None, None)),
             *(((answer["second_opinions"] or {}).get(k) or {}).get("value") for k in OPINIONS),
             " ".join(answer["flags"]),
             answer["moved_ev"], "; ".join(answer["notes"]), plain_cell(answer["error"])]
        )  # fmt: skip
        out.flush()
        failed += answer["error"] is not None
    return failed


def _write_table(answers: Iterator[dict[str, Any]], classes: Sequence[str], out: TextIO) -> int:
    failed = 0
    shares = "  ".join(f"{name:>5}" for name in classes)
    print(
        f"{'file':{_NUMBER_OF_LETTERS}} {'n':>7}  {'class':5} {'mean valence':17} {shares}  remarks", file=out
    )
    for answer in answers:
        file = answer["file"]
        name = file if len(file) <= _NUMBER_OF_LETTERS else f"...{file[3 - _NUMBER_OF_LETTERS :]}"
        if answer["error"] is not None:
            failed += 1
            print(f"{name:{_NUMBER_OF_LETTERS}} error: {answer['error']}", file=out, flush=True)
            continue
        fractions = answer["fractions"] or {}
        columns = "  ".join(f"{fractions[c]:5.2f}" if c in fractions else "    -" for c in classes)
        print(
            f"{name:{_NUMBER_OF_LETTERS}} {answer['n']:7}  {answer['class'] or '-':5} "
            f"{_valence(answer):17} {columns}  {_remarks(answer)}".rstrip(),
            file=out,
            flush=True,
        )
    return failed


def _valence(answer: dict[str, Any]) -> str:
    if answer["mean_valence"] is None:
        return "-"
    interval = answer["interval"]
    beside = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{answer['mean_valence']:.2f}{beside}"


def _remarks(answer: dict[str, Any]) -> str:
    remarks = list(answer["flags"])
    if answer["n"] > 1 and answer["n_flagged"]:
        remarks.append(f"{answer['n_flagged']} of {answer['n']} flagged")
    if answer["moved_ev"]:
        remarks.append(f"window moved by {answer['moved_ev']:+.1f} eV")
    return "; ".join([", ".join(remarks), *answer["notes"]]).removeprefix("; ")
