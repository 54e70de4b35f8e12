"""The shipped files: predictors (`mnflow.serve.pretrained`), an example image, and their digests."""

from mnflow.serve.pretrained import PRETRAINED, digest

EXAMPLE = PRETRAINED / "example.hspy"
"""A simulated spectrum image for the quick start and the self-test (`mnflow.pretrained.example`)."""

DIGEST_FILE = PRETRAINED / "SHA256SUMS"
"""Digests of the shipped files, as `sha256sum` writes them."""


def recorded_digests() -> dict[str, str]:
    """Digests by file name, as recorded when the files were made."""
    lines = (line.split() for line in DIGEST_FILE.read_text().splitlines() if line.strip())
    return {name: value for value, name in lines}


def record_digests() -> None:
    """Write `DIGEST_FILE` anew."""
    lines = [f"{digest(p)}  {p.name}" for p in sorted([*PRETRAINED.glob("*.npz"), EXAMPLE])]
    DIGEST_FILE.write_text("\n".join(lines) + "\n")
