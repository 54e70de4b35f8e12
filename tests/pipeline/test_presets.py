"""The presets' cross-validations: each once, equally long, and enough to judge every claim."""

from dataclasses import replace

import pandas as pd
import pytest

from mnflow.pipeline import presets
from mnflow.reproduction.claims import CLAIMS, QUESTIONS
from mnflow.reproduction.evidence import Evidence


def test_the_papers_grid_has_every_cell_once_and_shows_each_spectrum_equally_often() -> None:
    cells = presets.PRESETS["paper"].cells([0])
    assert len(cells) == len(set(cells)) == 3 * 11 * 2 * 2
    for cell in cells:
        crops = 1 if cell.augmentation == "none" else int(cell.augmentation.removesuffix("x"))
        assert cell.epochs * crops == pytest.approx(100, rel=0.06)
    assert {c.augmentation for c in cells[:36]} == {"none", "1x", "10x"}


def test_the_claims_cells_are_those_of_the_grid_and_of_our_own_nets_for_every_seed() -> None:
    cells = presets.PRESETS["claims"].cells([0, 1])
    assert len(cells) == len(set(cells)) == 2 * 20
    assert [replace(cell, seed=1) for cell in cells[:20]] == cells[20:]
    more = {c for c in cells[:20] if c.arch not in presets.PAPER_NETS}
    assert len(more) == 7
    assert set(cells[:20]) - more < set(presets.PRESETS["paper"].cells([0]))


def test_a_quick_run_trains_four_nets_once() -> None:
    quick = presets.PRESETS["quick"]
    nets = ("dense", "conv_dense", "fcn", "fcn_wide")
    assert quick.cells([4]) == [presets.Cell(net, "10x", True, 1, "stratified", 10, 20, 4) for net in nets]
    assert quick.folds == ("stratified",)
    assert quick.cells([]) == []


def test_cells_run_in_the_order_in_which_they_are_of_use() -> None:
    paper = presets.PRESETS["paper"]
    assert paper.folds == presets.PRESETS["claims"].folds == ("stratified", "grouped")
    cells = [(c.folds, c.noise_augmentation, c.augmentation, c.arch) for c in paper.cells([0])]
    assert cells[:4] == [("stratified", False, "none", net) for net in presets.PAPER_NETS] + [
        ("stratified", False, "1x", "dense")
    ]
    assert cells[9] == ("stratified", True, "none", "dense")
    assert cells[18] == ("grouped", False, "none", "dense")
    assert cells[36] == ("stratified", False, "2x", "dense")
    assert [c.seed for c in paper.cells([5, 2])][:: len(cells)] == [5, 2]
    assert {(c.degraded_copies, c.n_folds) for c in paper.cells([0])} == {(0, 10)}
    epochs = {c.augmentation: c.epochs for c in paper.cells([0])}
    assert (epochs["none"], epochs["1x"], epochs["3x"], epochs["10x"]) == (100, 100, 33, 10)


QUANTITIES = (
    "accuracy", "best_epoch_gain", "seconds_per_100k", "shift/integrated", "shift/far", "shift/swing_16",
    "shift/swing_8",
    "noise/5x", "reference/accuracy_fold", "reference/accuracy_vote", "activations/correlation_same",
    "activations/correlation_other", "tsne/reference_agreement_input", "tsne/reference_agreement_features",
)  # fmt: skip


def test_every_claim_is_judged_by_the_claims_cells() -> None:
    rows = []
    for cell in presets.PRESETS["claims"].cells([0]):
        setting = (cell.arch, cell.augmentation, cell.noise_augmentation, cell.folds)
        rows += [(quantity, *setting, 0, fold, 0.5) for quantity in QUANTITIES for fold in range(2)]
    columns = ["quantity", "arch", "augmentation", "noise_augmentation", "folds", "seed", "fold", "value"]
    evidence = Evidence(pd.DataFrame(rows, columns=columns), {"Mn2+": 2}, True)
    assert all(claim.check(evidence) for claim in (*CLAIMS, *QUESTIONS))
