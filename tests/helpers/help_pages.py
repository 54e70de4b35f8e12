"""What `--help` shows, kept in tests/command/help: a change of an option or of its words is seen there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

KEPT = Path(__file__).parents[1] / "command" / "help"


def check_help(name: str, main: Callable[[Sequence[str]], Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The help of `mnflow NAME` is as kept, wherever lines are broken."""
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said, kept = capsys.readouterr(), (KEPT / f"{name}.txt").read_text(encoding="utf-8")
    assert (said.out.split(), said.err) == (kept.split(), "")
