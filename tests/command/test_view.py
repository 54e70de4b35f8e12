"""`mnflow view` hands its options to the page's server."""

import sys
from types import SimpleNamespace

import pytest

from mnflow.command import view
from tests.helpers.help_pages import check_help


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("view", view.main, capsys)


@pytest.mark.parametrize(
    ("words", "served"),
    [
        ([], (None, 0, "default", True)),
        (["a.dm4", "--port", "5007", "--model", "b.npz", "--no-browser"], ("a.dm4", 5007, "b.npz", False)),
    ],
)
def test_options_reach_the_page(
    words: list[str], served: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def serve(file: str | None, port: int, model: str, show: bool) -> None:
        found.append((file, port, model, show))

    monkeypatch.setitem(sys.modules, "mnflow.view.server", SimpleNamespace(serve=serve))  # type: ignore[arg-type]
    assert view.main(words) == 0
    assert found == [served]
