"""The figure of a fit."""

import numpy as np

from mnflow.plots.simulator_fit import fit_figure


def test_fit_figure_shows_present_classes_and_what_is_left():
    x = np.linspace(635, 660, 50)
    parts = np.array([np.exp(-((x - 645) ** 2)), np.zeros(50)])
    figure = fit_figure(x, parts[0] + 0.1, parts[0], parts, ("Mn2+", "Mn3+"), "title")
    axes, below = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Mn2+", "measured", "fitted"]
    np.testing.assert_allclose(below.lines[1].get_ydata(), 0.1)
    assert below.get_ylabel() == "residual"
    assert len(below.get_yticks()) > 1
