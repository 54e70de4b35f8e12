"""Command lines become options, and mistakes give clear errors."""

import errno
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnflow.errors import InputError
from mnflow.runtime import cli
from mnflow.runtime.cli import execute, option, parse
from mnflow.runtime.project import ROOT


@dataclass(frozen=True)
class Options:
    """For the test."""

    arch: str = option("fcn", "the net", ("dense", "fcn"))
    epochs: int = option(3, "passes")
    noise: bool = option(False, "with noise")
    rate: float = option(0.5, "rate")


def test_defaults_and_given_words_are_converted() -> None:
    assert parse(Options, []) == Options()
    assert parse(Options, ["--arch", "dense", "--epochs", "7", "--noise", "True", "--rate", "1"]) == Options(
        "dense", 7, True, 1.0
    )


def test_help_shows_what_may_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Options, ["--help"], "mnflow step")
    said = capsys.readouterr().out
    assert said.startswith("usage: mnflow step ")
    assert "For the test." in said
    assert "the net (default: fcn)" in said
    assert "--arch {dense,fcn}" in said
    assert "--noise {true,false}" in said
    assert "--epochs EPOCHS" in said


def test_words_for_true_and_false() -> None:
    words = {True: ("true", "True", "1", "yes", "YES"), False: ("false", "0", "no")}
    for value, spelt in words.items():
        assert [parse(Options, ["--noise", word]).noise for word in spelt] == [value] * len(spelt)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--arch", "resnet"], "Option arch: expected one of dense, fcn, got 'resnet'"),
        (["--epochs", "many"], "Option epochs: expected int, got 'many'"),
        (["--noise", "perhaps"], "Option noise: expected bool, got 'perhaps'"),
        (["--epoch_count", "3"], "unrecognized arguments: --epoch_count 3"),
    ],
)
def test_a_wrong_word_gets_a_clear_error(argv: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        parse(Options, argv)


def _fail(error: BaseException) -> None:
    raise error


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("No such folder."), 1, "mnflow: No such folder."),
        (
            OSError(errno.ENOSPC, "h5py says it in its own words", "a.hspy"),
            1,
            "No space left on device (a.hspy): make room",
        ),
        (
            PermissionError(errno.EACCES, "no", "/data"),
            1,
            "Permission denied (/data): check its permissions, or name another",
        ),
        (OSError(errno.EFBIG, "big"), 1, "mnflow: File too large: allow larger files"),
        (OSError(errno.ELOOP, "links", "a.lock"), 1, "(a.lock): remove this link, which leads elsewhere"),
        (KeyboardInterrupt("SIGTERM"), 130, "stopped by SIGTERM"),
    ],
)
def test_execute_ends_with_a_message_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: list[str] = []
    with pytest.raises(SystemExit) as stop:
        execute(Options, lambda options: _fail(error), [], refused.append)
    assert stop.value.code == code
    assert said in capsys.readouterr().err
    assert refused == ([str(error)] if isinstance(error, InputError) else [])
    assert os.environ["MPLBACKEND"] == "Agg"


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(("own", "found"), [(None, "true"), ("false", "false")])
def test_mlflow_reports_nothing_to_its_makers(
    own: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default; whoever wants its telemetry says so."""
    name = "MLFLOW_DISABLE_TELEMETRY"
    monkeypatch.setenv(name, own) if own else monkeypatch.delenv(name)
    seen: list[str | None] = []
    with pytest.raises(SystemExit):
        execute(Options, lambda options: seen.append(os.environ.get(name)), [])
    assert seen == [found]


@pytest.mark.usefixtures("_own_handlers")
def test_execute_does_not_hide_other_errors() -> None:
    with pytest.raises(FileNotFoundError):
        execute(Options, lambda options: _fail(FileNotFoundError(errno.ENOENT, "no such file", "a.npz")), [])


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--share", "nan"], ["--share", "inf"]])
def test_a_seed_below_zero_and_what_is_no_number_are_refused(words: list[str]) -> None:
    @dataclass(frozen=True)
    class Options:
        """..."""

        seed: int = option(0, "a seed")
        share: float = option(0.5, "a share")

    with pytest.raises(InputError, match=r"Option \w+: expected a (seed of 0 or more|finite number), got"):
        parse(Options, words)
    assert parse(Options, ["--seed", "0"]).seed == 0


def test_streams_that_are_not_there_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    for out, err in ((None, strict), (strict, None)):
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        cli.open_streams()
        print("Mn²⁺")
        cli.say("Mn²⁺")
        for stream in (sys.stdout, sys.stderr):
            if stream is not strict:
                assert stream.name == os.devnull
                stream.close()
    assert strict.errors == "backslashreplace"


def _closed(streams: str) -> subprocess.CompletedProcess[str]:
    code = (
        "from dataclasses import dataclass\n"
        "from mnflow.runtime.cli import execute, option, say\n"
        "@dataclass\nclass Options:\n    'x'\n    seed: int = option(0, 'x')\n"
        "def run(options):\n"
        "    f = open('data', 'w'); print('printed'); say('said'); f.write('kept'); f.close()\n"
        "run.__module__ = 'entrypoints.x'\n"
        "execute(Options, run, [])\n"
    )
    return subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0" {streams}', code], capture_output=True, text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_get_nothing_and_stop_nothing(
    streams: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = _closed(streams)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data").read_text() == "kept"


def test_a_full_temporary_folder_and_a_long_name_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    full = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "set TMPDIR to another folder" in str(cli._outside(full))
    assert "a shorter name" in str(cli._outside(OSError(errno.ENAMETOOLONG, "x", "a" * 300)))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert "is full: make room there" in str(cli._outside(OSError(errno.ENOSPC, "x")))
    assert cli._outside(OSError(errno.ENOTDIR, "x")) is None


def test_code_of_another_project_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli.check_place()
    for name in ("MLproject", "requirements.in"):
        (tmp_path / name).touch()
    cli.check_place()  # a project that has no code of its own
    (tmp_path / "mnflow").mkdir()
    (tmp_path / "mnflow" / "__init__.py").touch()
    with pytest.raises(InputError, match=r"is a project of its own: run `python -m mnflow\.setup` here"):
        cli.check_place()
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    cli.check_place()


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_nobody_needs_to_listen(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise error

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=fail, flush=lambda: None))
    cli.say("a line")


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("utf-8:strict", "\u00e9\\udcff"), ("ascii:strict", "\\xe9\\udcff"), ("utf-8:replace", "\u00e9?")],
)
def test_a_name_that_is_no_text_is_printed_nevertheless(kind: str, shown: str) -> None:
    code = "from mnflow.runtime.cli import open_streams; open_streams(); print('\\xe9\\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": kind},
    )  # fmt: skip
    assert done.stdout.decode().strip() == shown
