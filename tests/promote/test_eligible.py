"""A version may be champion if promote registered it and it survives a shift of the energy axis."""

import pytest

from mnflow.promote.eligible import DIGEST, unfit

TAGS = {"cv_run": "a run", "arch": "fcn", DIGEST: "abc"}


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        (TAGS, None),
        (TAGS | {"arch": "fcn_wide", "other": "x"}, None),
        ({}, "it was not registered by promote (it lacks cv_run, arch, sha256)"),
        ({"arch": "dense", "cv_run": "a run"}, "it was not registered by promote (it lacks sha256)"),
        (
            TAGS | {"arch": "conv_dense"},
            "conv_dense is not fully convolutional and does not survive a shift of the energy axis",
        ),
    ],
)
def test_why_a_version_may_not_be_champion(tags: dict[str, str], why: str | None) -> None:
    assert unfit(tags) == why
