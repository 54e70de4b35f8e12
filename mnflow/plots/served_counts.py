"""What was served per day: how much, which classes, how much was flagged, how far windows moved."""

from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnflow.plots.style import legend_beside, new_figure, sequence_colours, styled

if TYPE_CHECKING:
    import pandas as pd


@styled
def served_counts(days: "pd.DataFrame", classes: list[str], flags: list[str]) -> Figure:
    """Three panels over the days: spectra by class, share flagged by reason, and the windows' mean move.

    Parameters
    ----------
    days : DataFrame
        A row per day, by date: `moved_ev` and `moved_std_ev` (eV), and counts in the columns `classes` and
        `flags` and `spectra`.
    classes, flags : list of str
    """
    figure = new_figure(6.0)
    counts, shares, moved = figure.subplots(3, 1, sharex=True)
    x = days.index.to_numpy()
    for name, colour in zip(classes, sequence_colours(len(classes)), strict=True):
        counts.plot(x, days[name], "o-", label=name, color=colour)
    counts.set_ylabel("spectra per day")
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    counts.set_ylim(bottom=0)
    for name, colour in zip(flags, sequence_colours(len(flags)), strict=True):
        shares.plot(x, days[name] / days["spectra"], "o-", label=name, color=colour)
    shares.set_ylabel("share flagged")
    shares.yaxis.set_major_formatter(PercentFormatter(1))
    shares.set_ylim(bottom=0)
    mean, spread = days["moved_ev"].to_numpy(), np.nan_to_num(days["moved_std_ev"].to_numpy())
    moved.plot(x, mean, "o-", label="mean", color="black")
    moved.fill_between(x, mean - spread, mean + spread, alpha=0.2, label="± 1 s.d.", color="black", lw=0)
    moved.set_ylabel("window moved / eV")
    moved.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=1, maxticks=8))
    moved.xaxis.set_major_formatter(mdates.DateFormatter("%Y-%m-%d"))
    moved.tick_params(axis="x", rotation=30)
    for axes in (counts, shares, moved):
        if axes.get_legend_handles_labels()[0]:
            legend_beside(axes)
    return figure
