"""Evidence as the paper has it, for tests of what is judged by it."""

import numpy as np
import pandas as pd

from mnflow.reproduction.evidence import Evidence

NETS = ("dense", "conv_dense", "fcn")

GOOD = {
    ("accuracy", "none"): (0.995, 0.995, 0.995),
    ("shift/integrated", "none"): (0.45, 0.5, 0.98),
    ("shift/integrated", "1x"): (0.8, 0.85, 0.985),
    ("shift/integrated", "10x"): (0.9, 0.95, 0.99),
    ("shift/far", "none"): (0.33, 0.34, 0.9),
    ("noise/5x", "10x"): (0.5, 0.6, 0.78),
    ("reference/accuracy_fold", "none"): (0.4, 0.5, 1.0),
    ("reference/accuracy_vote", "none"): (0.3, 0.6, 1.0),
    ("shift/swing_16", "none"): (0.0, 0.0, 0.0),
    ("shift/swing_8", "none"): (0.0, 0.0, 0.0),
}


def evidence(simulated: bool = True, **changed: float) -> Evidence:
    """Evidence as the paper has it, with the FCN's value of some quantities changed."""
    rng = np.random.default_rng(0)
    rows = []
    for (quantity, augmentation), values in GOOD.items():
        for net, value in zip(NETS, values, strict=True):
            mean = changed.get(quantity.replace("/", "_"), value) if net == "fcn" else value
            for fold in range(10):
                rows.append(
                    (quantity, net, augmentation, False, "stratified", 0, fold, mean + rng.normal(0, 0.001))
                )
    columns = ["quantity", "arch", "augmentation", "noise_augmentation", "folds", "seed", "fold", "value"]
    return Evidence(pd.DataFrame(rows, columns=columns), {"Mn2+": 448, "Mn3+": 765, "Mn4+": 788}, simulated)
