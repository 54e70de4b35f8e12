"""Which registered versions may be champion, by their tags; read without MLflow, too."""

from collections.abc import Mapping

from mnflow.models.architectures import FULLY_CONVOLUTIONAL
from mnflow.track import names

DIGEST = "sha256"
"""Tag of a version: the digest of its registration's record, which holds those of all served files."""


def unfit(tags: Mapping[str, str]) -> str | None:
    """Why a version with these tags cannot be champion (not of mnflow, or dense), or None if it can."""
    missing = [k for k in (names.CV_RUN, names.ARCH, DIGEST) if k not in tags]
    if missing:
        return f"it was not registered by promote (it lacks {', '.join(missing)})"
    if (arch := tags[names.ARCH]) not in FULLY_CONVOLUTIONAL:
        return f"{arch} is not fully convolutional and does not survive a shift of the energy axis"
    return None
