"""The report as one HTML file: styles, script and data inside, nothing fetched."""

import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mnflow.runtime.files import whole_file


def render(data: dict[str, Any], title: str) -> str:
    """One self-contained page.

    Parameters
    ----------
    data : dict
        What `mnflow.report.gather.gather` returns; any JSON.
    title : str

    Returns
    -------
    str
        HTML. Text from runs is data only: it cannot become markup or script.
    """
    here = files("mnflow.report")
    html, style, script = (
        here.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    return Template(html).substitute(
        title=_escape(title), style=style, script=script, data=_inline_json(data)
    )


def write(text: str, path: Path) -> Path:
    """Write the page, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _inline_json(data: Any) -> str:
    """JSON that cannot close its script element; NaN, which is no JSON, is refused."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
