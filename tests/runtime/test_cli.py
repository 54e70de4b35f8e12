"""Command lines become options, and mistakes give clear errors."""

import errno
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
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


@dataclass(frozen=True)
class SeededOptions(Options):
    """With a seed."""

    seed: int = option(1, "a seed")


def test_defaults_and_given_words_are_converted() -> None:
    assert parse(Options, []) == Options()
    assert parse(Options, ["--arch", "dense", "--epochs", "7", "--noise", "True", "--rate", "1"]) == Options(
        "dense", 7, True, 1.0
    )


def test_help_shows_what_may_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Options, ["--help"], "mnflow step")
    said = capsys.readouterr().out
    assert said.startswith("usage: mnflow step [-h] ")
    assert " ".join(said.split("For the test.")[1].split()) == (
        "options: -h, --help show this help message and exit --arch {dense,fcn} the net (default: fcn) "
        "--epochs EPOCHS passes (default: 3) --noise {true,false} with noise (default: False) "
        "--rate RATE rate (default: 0.5)"
    )
    with pytest.raises(SystemExit):
        parse(Options, ["--help"])
    assert capsys.readouterr().out.startswith("usage: mnflow [-h] ")


def test_words_for_true_and_false() -> None:
    words = {True: ("true", "True", "1", "yes", "YES"), False: ("false", "0", "no")}
    for value, spelt in words.items():
        assert [parse(Options, ["--noise", word]).noise for word in spelt] == [value] * len(spelt)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--arch", "resnet"], "Option arch: expected one of dense, fcn, got 'resnet'."),
        (["--epochs", "many"], "Option epochs: expected int, got 'many'."),
        (["--epochs", "1.5"], "Option epochs: expected int, got '1.5'."),
        (["--rate", "nan"], "Option rate: expected a finite number, got 'nan'."),
        (["--rate", "inf"], "Option rate: expected a finite number, got 'inf'."),
        (["--seed", "-1"], "Option seed: expected a seed of 0 or more, got '-1'."),
        (["--noise", "perhaps"], "Option noise: expected bool, got 'perhaps'."),
        (
            ["--epoch_count", "3"],
            "unrecognized arguments: --epoch_count 3. `mnflow --help` lists the options.",
        ),
    ],
)
def test_a_wrong_word_gets_a_clear_error(argv: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        parse(SeededOptions, argv)
    words = ["--seed", "0", "--rate", "-2.5", "--epochs", "-1"]  # only a seed may not be below zero
    assert parse(SeededOptions, words) == SeededOptions(epochs=-1, rate=-2.5, seed=0)


AGAIN = ", and start the same command again; what was finished is kept."


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("No such folder."), 1, "No such folder."),
        (OSError(errno.ENOSPC, "h5py's words", "a"), 1, f"No space left on device (a): make room{AGAIN}"),
        (
            PermissionError(errno.EACCES, "no", "/data"),
            1,
            f"Permission denied (/data): check its permissions, or name another folder{AGAIN}",
        ),
        (KeyboardInterrupt("SIGTERM"), 130, "stopped by SIGTERM; what was finished is kept."),
        (None, 0, None),
    ],
)
def test_execute_ends_with_a_message_and_an_exit_code(
    error: BaseException | None, code: int, said: str | None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    refused: list[str] = []
    given: list[Options] = []

    def run(options: Options) -> None:
        given.append(options)
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as stop:
        execute(Options, run, ["--epochs", "4"], refused.append)
    assert stop.value.code == code
    assert given == [Options(epochs=4)]
    assert capsys.readouterr().err == (f"mnflow: {said}\n" if said else "")
    assert refused == ([str(error)] if isinstance(error, InputError) else [])
    assert os.environ["MPLBACKEND"] == "Agg"


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize("module", ["entrypoints.tune", "__main__"])
def test_a_typo_gets_the_help_of_its_own_step(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: Options) -> None:
        raise AssertionError("a typo comes first")

    run.__module__ = module
    started = SimpleNamespace(__spec__=SimpleNamespace(name="entrypoints.tune"))  # python -m entrypoints.tune
    monkeypatch.setitem(sys.modules, "__main__", started)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as stop:
        execute(Options, run, ["--arhc", "fcn"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == (
        "mnflow: unrecognized arguments: --arhc fcn. `mnflow tune --help` lists the options.\n"
    )


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
    def run(options: Options) -> None:
        raise FileNotFoundError(errno.ENOENT, "no such file", "a.npz")

    with pytest.raises(FileNotFoundError, match="no such file"):
        execute(Options, run, [])


def test_streams_that_are_not_there_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    for out, err in ((None, strict), (strict, None)):
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        cli.open_streams()
        print("Mn²⁺", flush=True)
        cli.say("Mn³⁺")
        for stream in (sys.stdout, sys.stderr):
            if stream is not strict:
                assert (stream.name, stream.writable()) == (os.devnull, True)
                stream.close()
        assert strict.buffer.getvalue() == (  # type: ignore[attr-defined]
            b"Mn\\xb3\\u207a\n" if out is None else b"Mn\\xb3\\u207a\nMn\\xb2\\u207a\n"
        )


def test_a_closed_standard_stream_is_the_null_device() -> None:
    before = os.dup(0)
    try:
        os.close(0)
        cli.open_streams()
        assert os.path.samestat(os.fstat(0), Path(os.devnull).stat())
        assert (os.write(0, b"x"), os.read(0, 1)) == (1, b"")
    finally:
        os.dup2(before, 0)
        os.close(before)


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


def test_what_the_system_refuses_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    full = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert cli._outside(full) == (
        "The temporary folder is full or cannot be written (No usable temporary directory found in "
        "['/tmp']): set TMPDIR to another folder"
    )
    for number, said in (
        (errno.ENAMETOOLONG, "File name too long (a): give it a shorter name"),
        (errno.EFBIG, "File too large (a): allow larger files (`ulimit -f`), or name another folder"),
        (errno.ELOOP, "Too many levels of symbolic links (a): remove this link, which leads elsewhere"),
    ):
        assert cli._outside(OSError(number, "x", "a")) == said
    folders: list[str] = []
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: folders.append(folder) or SimpleNamespace(free=999_999)
    )
    said = f"The temporary folder {tempfile.gettempdir()} is full: make room there, or set TMPDIR to another"
    assert cli._outside(OSError(errno.ENOSPC, "x")) == f"{said} folder"
    assert folders == [tempfile.gettempdir()]
    for error in (OSError(errno.ENOTDIR, "x"), OSError("x")):
        assert cli._outside(error) is None

    def fail(folder: str) -> None:
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert cli._outside(OSError(errno.ENOSPC, "x")) == "No space left on device: make room"


def test_paths_are_shown_as_seen_from_the_project() -> None:
    assert cli.relative(ROOT / "docs" / "index.md") == str(Path("docs", "index.md"))
    assert cli.relative(ROOT.parent / "elsewhere") == str(ROOT.parent / "elsewhere")


def test_code_of_another_project_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli.check_place()
    for name in ("MLproject", "requirements.in"):
        (tmp_path / name).touch()
    cli.check_place()  # a project that has no code of its own
    (tmp_path / "mnflow").mkdir()
    (tmp_path / "mnflow" / "__init__.py").touch()
    said = (
        f"The code that runs is that of {ROOT}, and this folder ({tmp_path}) is a project of its own: run "
        "`python -m mnflow.setup` here (or `make setup`), then use its own .venv."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
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
