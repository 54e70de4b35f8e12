"""Every spectrum of a request gets its answer or its own error, whatever its neighbours are."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.serve.answer import FLAGS, OPINIONS, answer, flagged, in_words, notes
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape
from tests.opinions.test_oxygen import spectrum as with_oxygen

ENERGY_EV = 600 + 0.25 * np.arange(400)


def raw(energy_ev: Any = ENERGY_EV, background: float = 20.0, l3_ev: float = 642.0) -> dict[str, list[float]]:
    """A spectrum as an instrument gives it: counts on a power law."""
    energy_ev = np.asarray(energy_ev)
    counts = 1000 * (edge_shape(energy_ev, 1, l3_ev) + background * (energy_ev / 640) ** -3.0)
    return {"energy_ev": energy_ev.tolist(), "intensity": counts.tolist()}


def test_background_gain_order_and_dispersion_change_next_to_nothing(predictor: Predictor) -> None:
    fine = raw(600 + 0.1 * np.arange(1000))
    turned = {k: v[::-1] for k, v in fine.items()}
    louder = {**fine, "intensity": (1e6 * np.array(fine["intensity"])).tolist()}
    answers = answer(predictor, [fine, turned, louder, raw(background=0.0), raw()])
    found = [list(a["probabilities"].values()) for a in answers]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.02)


def test_a_batch_says_what_single_requests_say(predictor: Predictor) -> None:
    spectra = [raw(), raw(620 + 0.1 * np.arange(450)), raw(background=0.0), raw(l3_ev=636.0)]
    together = answer(predictor, spectra)
    for spectrum, one in zip(spectra, together, strict=True):
        alone = answer(predictor, [spectrum])[0]
        assert alone["class"] == one["class"]
        np.testing.assert_allclose(
            list(alone["probabilities"].values()), list(one["probabilities"].values()), atol=2e-6
        )


def test_an_axis_off_by_eight_ev_is_found_and_said(predictor: Predictor) -> None:
    nominal, off = answer(predictor, [raw(), raw(ENERGY_EV + 12, l3_ev=654.0)])
    assert nominal["moved_ev"] == 0
    assert off["error"] is None
    assert off["moved_ev"] == pytest.approx(12 - 8, abs=0.5), "the edge may lie 8 eV off within the window"


def test_no_visible_edge_is_flagged(predictor: Predictor) -> None:
    falling = {**raw(), "intensity": (1e4 * (ENERGY_EV / 640) ** -3.0).tolist()}
    noise = np.random.default_rng(0).normal(0, 30, len(ENERGY_EV))
    falling["intensity"] = (np.array(falling["intensity"]) + noise).tolist()
    good, bad = answer(predictor, [raw(), falling])
    assert "no_edge" not in good["flags"]
    assert bad["flags"][0] == "out_of_distribution"
    assert "no_edge" in bad["flags"]


def test_notes_name_what_was_done(predictor: Predictor) -> None:
    short = raw(639.0 + 0.1 * np.arange(250))
    spike = raw()
    spike["intensity"][168] += 1e6
    step = {**raw(), "intensity": np.where(ENERGY_EV < 634, 0.9, 1.0) * raw()["intensity"]}
    found = [a["notes"] for a in answer(predictor, [raw(), raw(background=0.0), short, spike, step])]
    assert found[0] == ["background: power law"]
    assert found[1] == ["background: removed before"]
    assert found[2] == ["background: level, since too little lies before the edge for a power law"]
    assert found[3] == ["background: power law", "1 spike, dead or hot channel was bridged"]
    assert found[4] == ["background: power law", "a step of the detector's gain was repaired"]


def test_notes_of_many_say_in_how_many_spectra() -> None:
    level = "background: level, since too little lies before the edge for a power law"
    bridged = "spikes, dead or hot channels were bridged"
    assert notes("level", np.array([0, 0]), False) == [level]
    assert notes("removed", np.array([0, 2, 1]), True) == [
        "background: removed before",
        f"3 {bridged} in 2 of 3 spectra",
        "a step of the detector's gain was repaired",
    ]
    assert notes("power law", np.array([2]), False) == ["background: power law", f"2 {bridged}"]


def test_white_lines_of_another_element_have_values_alone(predictor: Predictor) -> None:
    """None of its table's charges: there is no range of valences, and nothing that contradicts."""
    other = replace(predictor, edge=replace(MN, charges=(1.0, 3.0, 4.0)))
    (found,), (known,) = (answer(one, [raw()]) for one in (other, predictor))
    for name in ("l3_l2_ratio", "l2_l3_distance_ev"):
        opinion = known["second_opinions"][name]
        assert found["second_opinions"][name] == {"value": opinion["value"], "mean_valence": None}
        numbers = (opinion["value"], *opinion["mean_valence"])
        assert numbers == tuple(round(x, 3) for x in numbers)
        assert opinion["value"] % 1 > 0


def test_numbers_have_six_decimals(predictor: Predictor) -> None:
    both = answer(predictor, [raw(ENERGY_EV + 12, l3_ev=654.0)]) + answer(pretrained(), [raw()])
    for found in both:
        numbers = [found["mean_valence"], found["moved_ev"], *found["interval"]]
        numbers += [
            *(found["t_over_lambda"] or ()),
            *found["probabilities"].values(),
            *found["fractions"].values(),
        ]
        assert numbers == [round(x, 6) for x in numbers]
        assert found["mean_valence"] != round(found["mean_valence"], 4)


def test_thickness_and_the_ranges_of_the_white_lines_are_said(predictor: Predictor) -> None:
    """Of a posterior's element; nets alone know no thickness."""
    (found,) = answer(pretrained(), [raw()])
    mean, low, high = found["t_over_lambda"]
    assert 0 <= low < mean < high <= 1.5
    for name in ("l3_l2_ratio", "l2_l3_distance_ev"):
        lowest, highest = found["second_opinions"][name]["mean_valence"]
        assert 2 <= lowest < highest <= 4
    assert answer(predictor, [raw()])[0]["t_over_lambda"] is None


def test_what_oxygen_says_of_the_dispersion_is_said(predictor: Predictor) -> None:
    """O K 111 eV before L3, on axes whose steps are right and a tenth too large."""
    energy_ev = np.arange(480, 700, 0.2)
    counts = 1000 * with_oxygen(energy_ev, 531.0)
    axes = (energy_ev, 642 + 1.1 * (energy_ev - 642))
    found = answer(predictor, [{"energy_ev": e.tolist(), "intensity": counts.tolist()} for e in axes])
    right, wrong = (a["second_opinions"]["o_k_distance_ev"]["value"] for a in found)
    assert 1.08 * right < wrong < 1.12 * right
    assert right % 1 > 0
    assert right == round(right, 3)
    assert [a["second_opinions"]["o_k_distance_ev"]["mean_valence"] for a in found] == [None, None]
    assert [any("O K and L3" in note for note in a["notes"]) for a in found] == [False, True]


def test_a_plateau_at_the_top_is_saturation(predictor: Predictor) -> None:
    whole = raw(background=0.0)
    cut_off = {**whole, "intensity": np.minimum(whole["intensity"], 600.0).tolist()}
    good, bad = answer(predictor, [whole, cut_off])
    assert good["flags"][:1] != ["out_of_distribution"]
    assert bad["flags"][:2] == ["out_of_distribution", "saturated"]


BAD: list[Any] = [
    None,
    "words",
    [1, 2],
    {},
    {"energy_ev": [1, 2]},
    {**raw(), "intensity": [None] * 400},
    {**raw(), "intensity": ["1.0"] * 400},
    {**raw(), "intensity": [True] * 400},
    {**raw(), "intensity": [10**400] * 400},
    {**raw(), "intensity": [float("nan")] * 400},
    {**raw(), "intensity": [[1.0]] * 400},
    {**raw(), "intensity": [1.0] * 399},
    {**raw(), "intensity": [0.0] * 400},
    {**raw(), "intensity": [7.0] * 400},
    {**raw(), "intensity": 3.0},
    {**raw(), "energy_ev": [640.0] * 400},
    {**raw(), "energy_ev": (200 + ENERGY_EV).tolist()},
    {"energy_ev": [], "intensity": []},
    {"energy_ev": [640.0], "intensity": [1.0]},
    raw(600 + 1.5 * np.arange(70)),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_spectrum_gets_its_error_and_its_neighbours_their_answers(
    predictor: Predictor, bad: Any
) -> None:
    first, middle, last = answer(predictor, [raw(), bad, raw()])
    assert first["error"] is None
    assert first["class"] == last["class"]
    np.testing.assert_allclose(
        list(first["probabilities"].values()), list(last["probabilities"].values()), atol=2e-6
    )
    assert middle["error"].startswith("Spectrum 1: expected")
    assert middle["flags"] == ["unreadable"]
    assert middle["notes"] == []
    assert middle.keys() == first.keys()
    assert {k for k, v in middle.items() if v is None} == first.keys() - {"flags", "notes", "error"}


@given(
    seed=st.integers(0, 999),
    start_ev=st.floats(560, 660),
    step_ev=st.floats(0.02, 0.5),
    channels=st.integers(2, 600),
    scale=st.floats(1e-300, 1e300),
)
def test_no_nan_ever_leaves(
    predictor: Predictor, seed: int, start_ev: float, step_ev: float, channels: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    energy_ev = start_ev + step_ev * np.arange(channels)
    with np.errstate(over="ignore", under="ignore"):
        intensity = scale * rng.normal(size=channels)
    found = answer(predictor, [{"energy_ev": energy_ev.tolist(), "intensity": intensity.tolist()}])
    json.dumps(found, allow_nan=False)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_SPECTRUM = st.fixed_dictionaries(
    {"energy_ev": _JSON | st.just(ENERGY_EV.tolist()), "intensity": _JSON | st.just([1.0] * 400)}
)


@settings(max_examples=50)
@given(st.lists(_JSON | _SPECTRUM, max_size=4))
def test_any_json_gets_an_answer_or_an_error_for_each(predictor: Predictor, spectra: list[Any]) -> None:
    found = answer(predictor, spectra)
    assert len(found) == len(spectra)
    json.dumps(found, allow_nan=False)
    assert all(isinstance(a["error"], str) and a["class"] is None for a in found)


@pytest.fixture
def shipped() -> Predictor:
    return pretrained("Mn")


def test_an_answer_is_whole_and_does_not_contradict_itself(shipped: Predictor) -> None:
    for found in answer(
        shipped, [raw(l3_ev=e, background=b) for e in (639.0, 642.0, 645.0) for b in (0.0, 20.0)]
    ):
        assert found["error"] is None
        low, high = found["interval"]
        assert 2 <= low <= found["mean_valence"] <= high <= 4
        mean = sum(c * x for c, x in zip(MN.charges, found["fractions"].values(), strict=True))
        assert found["mean_valence"] == pytest.approx(mean, abs=1e-4)
        assert found["class"] in (*MN.classes, "mixed", None)
        assert ("uncertain" in found["flags"]) == (found["class"] is None)
        if found["class"] in MN.classes:
            assert found["class"] == max(
                found["probabilities"], key=lambda name: found["probabilities"][name]
            )
        assert found["disagreement"] is None, "no nets, no votes"


def test_the_fold_models_votes_are_counted(predictor: Predictor) -> None:
    votes = {a["disagreement"] for a in answer(predictor, [raw(l3_ev=e) for e in range(632, 653, 2)])}
    assert votes <= {0.0, 0.25, 0.5, 0.75}, "four fold models"
    assert len(votes) > 1


UNRELIABLE = FLAGS.index("interval_unreliable")


def test_any_doubt_about_a_spectrum_makes_its_interval_unreliable(shipped: Predictor) -> None:
    outcome = shipped(np.random.default_rng(0).random((8, MN.n_crop)))
    outcome = replace(outcome, strange=np.vstack([np.eye(4, dtype=bool), np.zeros((4, 4), bool)]))
    saturated, edge_seen = np.arange(8) == 4, np.arange(8) != 5
    found = flagged(outcome, saturated, edge_seen)
    assert (found.shape, found.dtype) == ((8, len(FLAGS)), bool)
    assert found[:, UNRELIABLE].tolist() == [True] * 6 + [False] * 2
    reasons = np.eye(8, 5, dtype=bool)[[0, 1, 2, 3, 3, 4, 7, 7]]
    np.testing.assert_array_equal(found[:, :5], reasons, "saturated by shape or by counts is one flag")
    mixed_or_not = replace(
        outcome, reading=replace(outcome.reading, label=np.array([0, 1, 2, 3, 4, 0, 0, 0]))
    )
    uncertain = flagged(mixed_or_not, saturated, edge_seen)[:, FLAGS.index("uncertain")]
    assert uncertain.tolist() == [False] * 4 + [True] + [False] * 3, "3 is a mixture, 4 is no answer"
    assert flagged(replace(outcome, calibrated=False), saturated, edge_seen)[:, UNRELIABLE].all()


def test_second_opinions_have_values_and_valences(shipped: Predictor) -> None:
    energy_ev = np.arange(480, 700, 0.25)
    long = raw(energy_ev)
    oxygen = 8000 / (1 + np.exp(-(energy_ev - 560)))
    far = {**long, "intensity": (np.array(long["intensity"]) + oxygen).tolist()}
    short, without, wrong = answer(shipped, [raw(), {**raw(), "intensity": [*range(399), 0]}, far])
    assert list(short["second_opinions"]) == list(OPINIONS)
    ratio = short["second_opinions"]["l3_l2_ratio"]
    assert ratio["value"] > 1
    assert 2 <= ratio["mean_valence"][0] <= ratio["mean_valence"][1] <= 4
    assert short["second_opinions"]["o_k_distance_ev"] is None, "O K is not on the axis"
    assert without["second_opinions"] is None, "no edge is to be seen"
    assert wrong["second_opinions"]["o_k_distance_ev"] is None, "no oxide has O K there"


def test_without_a_posterior_the_interval_is_called_unreliable(predictor: Predictor) -> None:
    assert "interval_unreliable" in answer(predictor, [raw()])[0]["flags"]


def test_out_of_distribution_spectra_have_no_reliable_interval(shipped: Predictor) -> None:
    noise = np.random.default_rng(0).normal(size=400)
    found = answer(shipped, [{"energy_ev": ENERGY_EV.tolist(), "intensity": noise.tolist()}])[0]
    assert {"out_of_distribution", "interval_unreliable"} <= set(found["flags"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Mn3+ (probability 0.97), mean valence 3.02 [2.90, 3.14]"),
        ({"class": "mixed"}, "mixed (90 % Mn3+, 8 % Mn4+), mean valence 3.02 [2.90, 3.14]"),
        ({"class": None}, "cannot tell Mn3+ from a mixture with it, mean valence 3.02 [2.90, 3.14]"),
        (
            {"class": None, "probabilities": {"Mn2+": 0.0, "Mn3+": 0.6, "Mn4+": 0.4}},
            "cannot tell Mn3+ (0.60) from Mn4+ (0.40), mean valence 3.02 [2.90, 3.14]",
        ),
        (
            {"class": None, "probabilities": {"Mn2+": 0.2, "Mn3+": 0.5, "Mn4+": 0.3}},
            "cannot tell Mn2+ (0.20), Mn3+ (0.50) from Mn4+ (0.30), mean valence 3.02 [2.90, 3.14]",
        ),
        (
            {"class": None, "probabilities": {"Mn2+": 0.09, "Mn3+": 0.81, "Mn4+": 0.1}},
            "cannot tell Mn3+ (0.81) from Mn4+ (0.10), mean valence 3.02 [2.90, 3.14]",
        ),
        ({"error": "Spectrum 0: expected more."}, "Spectrum 0: expected more."),
    ],
)
def test_an_answer_in_words(changes: dict[str, Any], words: str) -> None:
    found = {
        "class": "Mn3+",
        "probabilities": {"Mn2+": 0.0, "Mn3+": 0.97, "Mn4+": 0.03},
        "fractions": {"Mn2+": 0.02, "Mn3+": 0.9, "Mn4+": 0.08},
        "mean_valence": 3.02,
        "interval": [2.9, 3.14],
        "error": None,
    }
    assert in_words(found | changes) == words
