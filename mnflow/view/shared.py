"""What the open pages share."""

import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnflow.serve.predictor import Predictor


class Shared:
    """What the page's sessions share: model, token, a folder for files, and the sessions by number."""

    def __init__(self, load: "Callable[[], Predictor]", file: Path | None) -> None:
        self.load, self.file = load, file
        self.token = secrets.token_urlsafe(16)
        self.folder = Path(tempfile.mkdtemp(prefix="mnflow-view-"))
        self.sessions: dict[str, Any] = {}

    def close(self) -> None:
        """Remove the files that were dropped on the page."""
        shutil.rmtree(self.folder, ignore_errors=True)
