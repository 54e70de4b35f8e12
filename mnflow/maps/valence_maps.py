"""`ValenceMaps`: what `mnflow.predict` returns, as HyperSpy signals by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnflow.maps.pixels import FLAGS, Pixels
from mnflow.maps.regions import Region, class_name, regions_of
from mnflow.maps.signals import map_signal, mask_of
from mnflow.preprocess.window import Placement
from mnflow.serve.answer import notes
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32

if TYPE_CHECKING:
    import pandas as pd
    from hyperspy.signals import BaseSignal
    from matplotlib.figure import Figure

UNCOUNTED = tuple(name for name in FLAGS if name not in ("interval_unreliable", "uncertain"))
"""Flags that exclude a pixel from means, counts and colours. An uncertain pixel has no class,
but a valence whose interval is as wide as it must be.
"""


@dataclass(frozen=True, repr=False)
class ValenceMaps:
    """The answers to the spectra of one image, line scan or single spectrum.

    Each quantity is a HyperSpy signal on the image's own navigation axes: `mean_valence`, `interval` ("low"
    and "high"), `fractions` (by class), `valence_class`, `flags` (by name), `intensity` of the edge,
    `thickness` where it was measured, else `t_over_lambda`. Flagged pixels keep their values in them;
    `masked()` hides them.

    Attributes
    ----------
    pixels : Pixels
        The same as arrays over the N spectra.
    axes : list of dict
        Navigation axes in the order of the data.
    metadata : dict
        Of the spectra: General, Acquisition_instrument, Sample.
    raw, where, predictor
        The spectra, how they are cut, and the model: what regions are answered with.
    max_width : float
        Pixels whose interval is wider are flagged, too.
    thickness_ratio : ndarray, shape (N,), optional
        t/lambda.

    Examples
    --------
    >>> maps = mnflow.predict(hs.load("image.hspy", lazy=True))
    >>> maps.masked().mean_valence.plot()
    >>> print(maps.region(hs.roi.CircleROI(cx=10, cy=10, r=5)))
    Mn3+, mean valence 3.02 [2.90, 3.14]; 74 of 78 spectra
    """

    pixels: Pixels
    axes: list[dict[str, Any]]
    metadata: dict[str, Any]
    raw: RawSpectra
    where: Placement
    predictor: Predictor
    max_width: float = np.inf
    thickness_ratio: Floats | None = None

    def __repr__(self) -> str:
        size = " x ".join(str(axis["size"]) for axis in self.axes[::-1])
        spectra = f"{size} spectra" if size else "one spectrum"
        return f"<ValenceMaps of {self.title}: {spectra}, {self.flagged.sum()} flagged>"

    @property
    def title(self) -> str:
        """Title of the spectra."""
        return str(self.metadata.get("General", {}).get("title", "")) or self.raw.path.stem

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the valences."""
        return self.predictor.edge.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the scan: (rows, columns), (positions,) or ()."""
        return tuple(int(axis["size"]) for axis in self.axes)

    @property
    def flagged(self) -> Bools:
        """Mask (N,) of spectra to leave out: any flag of `UNCOUNTED`, or an interval beyond `max_width`."""
        columns = [FLAGS.index(name) for name in UNCOUNTED]
        width = self.pixels.interval[:, 1] - self.pixels.interval[:, 0]
        return np.asarray(self.pixels.flags[:, columns].any(axis=1) | (width > self.max_width))

    @property
    def notes(self) -> list[str]:
        """What was assumed in reading and done to the spectra, one sentence each."""
        done = notes(self.where.position.background, self.pixels.spikes, self.where.gain_step is not None)
        return [*self.raw.notes, *done]

    def reasons(self) -> dict[str, int]:
        """Number of spectra per flag of `UNCOUNTED`, most frequent first; a spectrum can have several."""
        counts = {name: int(self.pixels.flags[:, FLAGS.index(name)].sum()) for name in UNCOUNTED}
        return {name: counts[name] for name in sorted(counts, key=lambda name: -counts[name]) if counts[name]}

    @cached_property
    def mean_valence(self) -> "BaseSignal":
        """Mean valence of the element."""
        return self._valence(self.pixels.mean_valence, f"mean {self.predictor.edge.element} valence")

    @cached_property
    def interval(self) -> "Mapping[str, BaseSignal]":
        """ "low" and "high" end of the 90 % interval of the mean valence; NaN where the model has none."""
        columns = zip(("low", "high"), self.pixels.interval.T, strict=True)
        return {end: self._valence(values, f"{end} end of 90 %") for end, values in columns}

    @cached_property
    def fractions(self) -> "Mapping[str, BaseSignal]":
        """Share of every class's atoms, by its name; NaN where the model has no fractions."""
        return self._by_class(self.pixels.fractions, "fraction")

    @cached_property
    def probabilities(self) -> "Mapping[str, BaseSignal]":
        """Probability of every class, by its name."""
        return self._by_class(self.pixels.probabilities, "probability")

    @cached_property
    def valence_class(self) -> "BaseSignal":
        """Index into `classes`; their number for a mixture, -1 where no class is sure."""
        signal = self._map(self.pixels.label, "valence class", "", (-1, len(self.classes)), "viridis")
        signal.metadata.set_item("Valence.classes", [*self.classes, "mixed"])
        return signal

    @cached_property
    def flags(self) -> "Mapping[str, BaseSignal]":
        """Every flag by its name, true where it is raised."""
        return {name: self._map(self.pixels.flags[:, i], name, "", (0, 1)) for i, name in enumerate(FLAGS)}

    @cached_property
    def intensity(self) -> "BaseSignal":
        """Intensity of the edge without its background, summed over the model's window."""
        return self._map(self.pixels.intensity, f"{self.predictor.edge.element} L2,3 intensity", "counts")

    @cached_property
    def thickness(self) -> "BaseSignal | None":
        """t/lambda; None without a low loss."""
        if self.thickness_ratio is None:
            return None
        return self._map(self.thickness_ratio, "thickness", "t/lambda", None, "cividis")

    @cached_property
    def t_over_lambda(self) -> "Mapping[str, BaseSignal]":
        """ "mean", "low" and "high" end of 90 % of t/lambda by the edge alone; none with a low loss."""
        found = self.t_over_lambda_values().items()
        return {name: self._map(x, f"{name} t/lambda", "", None, "cividis") for name, x in found}

    def t_over_lambda_values(self) -> dict[str, Floats32]:
        """The same as arrays (N,), without HyperSpy, which takes a second to import."""
        if self.raw.thickness is not None or np.isnan(self.pixels.t_over_lambda).all():
            return {}
        return dict(zip(("mean", "low", "high"), self.pixels.t_over_lambda.T, strict=True))

    def signals(self) -> "dict[str, BaseSignal]":
        """Every quantity by the name that files and tables give it."""
        found = {"mean_valence": self.mean_valence}
        found |= {f"mean_valence_{end}": signal for end, signal in self.interval.items()}
        found |= {f"fraction_{name}": signal for name, signal in self.fractions.items()}
        found |= {f"probability_{name}": signal for name, signal in self.probabilities.items()}
        found |= {"valence_class": self.valence_class, "intensity": self.intensity}
        found |= {f"flag_{name}": signal for name, signal in self.flags.items()}
        found |= {f"t_over_lambda_{name}": signal for name, signal in self.t_over_lambda.items()}
        return found | ({"thickness": self.thickness} if self.thickness is not None else {})

    def masked(self) -> "ValenceMaps":
        """The same maps with NaN, and no class, in flagged pixels."""
        return replace(self, pixels=self.pixels.hidden(self.flagged))

    def limited(self, max_width: float) -> "ValenceMaps":
        """The same maps with pixels flagged, too, whose interval is wider than `max_width`."""
        return replace(self, max_width=max_width)

    def region(self, where: Any = None) -> Region:
        """The answer to a region, by the mean spectrum of its unflagged pixels.

        Parameters
        ----------
        where : HyperSpy ROI, boolean array or boolean signal of the image's shape; None for the whole image

        Raises
        ------
        InputError
            If a mask is not boolean or not of the image's shape.
        """
        return self.regions([where])[0]

    def regions(self, where: list[Any]) -> list[Region]:
        """`region` of several regions in one pass over the spectra."""
        n = len(self.pixels)
        masks = np.stack([np.ones(n, bool) if w is None else mask_of(w, self.axes) for w in where])
        return regions_of(masks, self.flagged, self.pixels, self.raw, self.where, self.predictor)

    def by_class(self) -> dict[str, Region]:
        """The unflagged pixels of every class that any has, and of "mixed", as regions by their names."""
        counted = ~self.flagged
        masks = {i: counted & (self.pixels.label == i) for i in range(len(self.classes) + 1)}
        masks = {i: mask for i, mask in masks.items() if mask.any()}
        regions = self.regions(list(masks.values())) if masks else []
        return {str(class_name(i, self.classes)): region for i, region in zip(masks, regions, strict=True)}

    def plot(self) -> "Figure":
        """The figure of an image, a line scan or a single spectrum, ready for `savefig`."""
        from mnflow.maps.figures import figure_of

        return figure_of(self)

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per spectrum: place, class, mean valence, interval, fractions, probabilities and flags."""
        import pandas as pd

        place = np.unravel_index(np.arange(len(self.pixels)), self.shape or (1,))
        columns: dict[str, Any] = {}
        for axis, index in list(zip(self.axes, place, strict=False))[::-1]:
            unit = axis["units"] if isinstance(axis.get("units"), str) else ""
            name = axis["name"] if isinstance(axis.get("name"), str) else f"axis {len(columns)}"
            name = f"{name} / {unit}" if unit else name
            values = (
                axis["axis"] if "axis" in axis else axis["offset"] + axis["scale"] * np.arange(axis["size"])
            )
            columns[name] = np.asarray(values)[index]
        p = self.pixels
        columns["class"] = [class_name(label, self.classes) or "" for label in p.label.tolist()]
        columns |= {"mean_valence": p.mean_valence, "low": p.interval[:, 0], "high": p.interval[:, 1]}
        columns |= {f"fraction_{name}": p.fractions[:, i] for i, name in enumerate(self.classes)}
        columns |= {f"probability_{name}": p.probabilities[:, i] for i, name in enumerate(self.classes)}
        columns |= {"intensity": p.intensity, "flagged": self.flagged}
        columns["flags"] = _joined(p.flags)
        columns |= {f"t_over_lambda_{x}": values for x, values in self.t_over_lambda_values().items()}
        if self.thickness_ratio is not None:
            columns["thickness"] = self.thickness_ratio
        return pd.DataFrame(columns)

    def save(self, path: str | Path) -> Path:
        """Write all maps to one file, whole or not at all.

        .hspy (`hs.load` gives the list of signals), .csv (one row per spectrum) or .tif (one calibrated
        32-bit page per quantity, for ImageJ).

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            For any other suffix.
        """
        from mnflow.maps.export import save

        return save(self, Path(path))

    def _map(self, values: Array, title: str, unit: str, limits: Any = None, colours: str = "gray") -> Any:
        signal = map_signal(values, self.axes, self.metadata, title, unit, limits, colours)
        signal.metadata.set_item("Valence.model", dict(self.predictor.facts))
        return signal

    def _by_class(self, shares: Array, what: str) -> "Mapping[str, BaseSignal]":
        columns = zip(self.classes, shares.T, strict=True)
        return {name: self._map(x, f"{name} {what}", "", (0, 1), "cividis") for name, x in columns}

    def _valence(self, values: Array, title: str) -> "BaseSignal":
        from mnflow.plots.style import VALENCE_MAP  # matplotlib takes a while

        charges = self.predictor.edge.charges
        return self._map(values, title, "", (min(charges), max(charges)), VALENCE_MAP)


def _joined(flags: Bools) -> list[str]:
    """The names of every pixel's flags, joined; each combination of flags is joined once."""
    code = flags @ (1 << np.arange(flags.shape[1]))
    text = {c: ";".join(name for i, name in enumerate(FLAGS) if c >> i & 1) for c in np.unique(code).tolist()}
    return [text[c] for c in code.tolist()]
