"""Numbers of baselines, held: what each makes of few spectra."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow import folds
from mnflow.models import baselines
from mnflow.models.baselines import METHODS, AlignEdge, WhiteLineRatio, non_negative_weights
from mnflow.models.minirocket import MiniRocket
from mnflow.preprocess import crop
from mnflow.spectra import MN
from tests.helpers.kept_numbers import check, keep
from tests.helpers.spectra import spectra

KEPT = Path(__file__).parent / "kept_numbers.json"
TOLERANCE = 2e-3
DATA = spectra(48, noise=0.4)
FOLD = folds.split(DATA, n_folds=3)[1]


def _of_fold(method: str, align: bool, n_crops: int) -> Any:
    fitted = baselines.fit_fold(DATA, FOLD, method, align, n_crops, seed=3)
    shifted = crop(DATA, np.random.default_rng(1).integers(-30, 31, len(DATA)))
    found = fitted.predict(shifted)
    return {
        "probabilities": found,
        "of each": found[:, 0],
        "classes": found.argmax(axis=1),
        "sum": found.sum(),
    }


def _transformed() -> dict[str, Any]:
    crops = crop(spectra(300, noise=0.05), np.random.default_rng(0).integers(-50, 51, 300))
    aligned = AlignEdge().fit(crops[:20]).transform(crops)
    ratio = WhiteLineRatio(MN).fit(crops).transform(crops)
    rocket = MiniRocket(3, seed=2).fit(crops[:30])
    features = rocket.transform(crops[:290])
    weights = non_negative_weights(crops[:20].astype(float), crops[[30, 31, 32]].astype(float))
    return {
        "aligned": aligned, "places": aligned.argmax(axis=1), "ratio": ratio, "weights": weights,
        "thresholds": rocket.thresholds_, "features": features, "of spectra": features.mean(axis=1),
        "of kernels": features.mean(axis=0),
    }  # fmt: skip


CASES: dict[str, Callable[[], Any]] = {
    "transformed": _transformed,
    **{
        f"{method}, {'aligned' if align else 'as it is'}, {n_crops} crops": partial(
            _of_fold, method, align, n_crops
        )
        for method in METHODS
        for align, n_crops in ((True, 0), (False, 2))
    },
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_what_they_were_when_they_were_looked_at(name: str) -> None:
    check(CASES, name, KEPT, TOLERANCE)


if __name__ == "__main__":
    keep(CASES, KEPT)
