"""Which maps can be chosen, and a region's answer in words and bars."""

from dataclasses import replace

import numpy as np
from bokeh.palettes import Cividis256, Greys256, Viridis256

from mnflow.maps import Region, ValenceMaps
from mnflow.maps.comparison import Reference
from mnflow.preprocess.crops import normalise
from mnflow.view.content import answer_html, class_colours, quantities
from tests.maps.conftest import ENERGY_EV, image

REGION = Region(
    5, 2, "Mn3+", {"Mn2+": 0.125, "Mn3+": 0.8, "Mn4+": 0.075}, {"Mn2+": 0.0, "Mn3+": 0.75, "Mn4+": 0.25},
    3.25, (3.1, 3.4), ["noise", "second_opinion"], (0.5, 0.2, 0.9), 0.1, ENERGY_EV, image()[0, 0],
)  # fmt: skip


def bar(name: str, width: str, colour: str, words: str) -> str:
    return (
        f"<div><span style='display:inline-block;min-width:4em'>{name}</span><span style='display:"
        "inline-block;width:10em;height:.7em;margin-right:.5em;background:#E5E5E8'><i style='display:block;"
        f"height:100%;width:{width}%;background:{colour}'></i></span>{words}</div>"
    )


def test_an_answer_has_its_shares_as_bars_and_all_that_is_known(maps: ValenceMaps) -> None:
    two, three, four = ("#0072B2", "#D55E00", "#009E73")
    assert class_colours(maps) == {"Mn2+": two, "Mn3+": three, "Mn4+": four}
    assert answer_html(maps, REGION, "<h2>a</h2>", three, []) == (
        "<h2>a</h2><p style='color:#D55E00'><strong>Mn3+, mean valence 3.25 [3.10, 3.40]; 3 of 5 spectra"
        "</strong></p><p>Share of the atoms</p>"
        + bar("Mn2+", "0.0", two, "0%") + bar("Mn3+", "75.0", three, "75%") + bar("Mn4+", "25.0", four, "25%")
        + "<p>t/lambda 0.5 [0.2, 0.9], by the edge alone</p><p>2 flagged pixels are not counted.</p>"
        "<p>Flags: noise, second opinion</p>"
    )  # fmt: skip


def test_an_answer_says_nothing_of_what_is_not_known(maps: ValenceMaps) -> None:
    plain = replace(REGION, fractions=None, flags=[], t_over_lambda=None)
    pixel = answer_html(maps, replace(plain, n=1, n_flagged=1), "", "#222222", [])
    two, three, four = ("#0072B2", "#D55E00", "#009E73")
    assert pixel == (
        "<p style='color:#222222'><strong>Mn3+, mean valence 3.25 [3.10, 3.40]</strong></p><p>Probability</p>"
        + bar("Mn2+", "12.5", two, "12%") + bar("Mn3+", "80.0", three, "80%") + bar("Mn4+", "7.5", four, "8%")
    )  # fmt: skip
    assert "not counted" not in answer_html(maps, replace(plain, n_flagged=0), "", "#222222", [])
    assert "<p>1 flagged pixels" in answer_html(maps, replace(plain, n=2, n_flagged=1), "", "#222222", [])


def test_shares_of_references_are_named_and_add_up(maps: ValenceMaps) -> None:
    one, other = normalise(maps.where(image()[0, :2]))
    references = [Reference("A & B", one), Reference("C", other)]
    for i, shares in enumerate(("A &amp; B 100%, C 0%", "A &amp; B 0%, C 100%")):
        said = answer_html(maps, replace(REGION, spectrum=image()[0, i]), "", "#222222", references)
        words = f"By least squares with the references: {shares} of the intensity; residual 0%"
        assert f"<p>{words}</p>" in said
    alone = answer_html(maps, REGION, "", "#222222", references[1:])
    assert "references: C 100% of" in alone
    assert "residual 0%" not in alone


def test_maps_to_choose_hide_flagged_pixels_and_have_their_limits(maps: ValenceMaps) -> None:
    found, pixels = quantities(maps), maps.pixels
    assert {name: (palette, limits) for name, (_, palette, limits) in found.items()} == {
        "mean valence": (Viridis256, (2.0, 4.0)),
        "width of the interval": (Cividis256, None),
        **{f"Mn{k}+ fraction": (Cividis256, (0.0, 1.0)) for k in (2, 3, 4)},
        "intensity of the edge": (Greys256, None),
        "t/lambda by the edge": (Cividis256, None),
    }
    expected = {
        "mean valence": pixels.mean_valence,
        "width of the interval": pixels.interval[:, 1] - pixels.interval[:, 0],
        "Mn4+ fraction": pixels.fractions[:, 2],
        "t/lambda by the edge": pixels.t_over_lambda[:, 0],
    }
    for name, values in expected.items():
        assert np.isnan(found[name][0][:2]).all(), name
        np.testing.assert_array_equal(found[name][0][2:], values[2:], err_msg=name)
    np.testing.assert_array_equal(found["intensity of the edge"][0], pixels.intensity)


def test_maps_of_a_model_without_a_posterior_are_of_probabilities(maps: ValenceMaps) -> None:
    pixels = maps.pixels
    for values in (pixels.interval, pixels.fractions, pixels.t_over_lambda):
        values[:] = np.nan
    measured = replace(maps, thickness_ratio=np.linspace(0.1, 1.2, 12))
    found = quantities(measured)
    assert list(found) == [
        "mean valence", *(f"Mn{k}+ probability" for k in (2, 3, 4)), "intensity of the edge",
        "thickness (t/lambda)",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["Mn3+ probability"][0][2:], pixels.probabilities[2:, 1])
    assert found["thickness (t/lambda)"][0] is measured.thickness_ratio
    assert found["thickness (t/lambda)"][1:] == (Cividis256, None)
