"""The view that compares networks is stored where MLflow's UI looks for it, and `make ui` opens it."""

import base64
import json
import zlib

import pytest

from mnflow.report import shared_view
from mnflow.runtime.project import ROOT
from mnflow.track import names
from mnflow.track.connection import connect


@pytest.mark.usefixtures("store")
def test_the_view_is_stored_under_its_key() -> None:
    shared_view.save("0")
    tags = connect().get_experiment("0").tags
    stored = json.loads(tags[f"mlflow.sharedViewState.{shared_view.KEY}"])
    packed = stored["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert f"metrics.`{names.WORST_SHIFT_ACCURACY}`" in state["selectedColumns"]
    assert state["compareRunCharts"]


def test_make_ui_names_the_view() -> None:
    assert f"viewStateShareKey={shared_view.KEY} " in (ROOT / "Makefile").read_text()
