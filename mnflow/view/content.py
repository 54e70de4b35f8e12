"""Content of the panels: the selectable maps, and the answer for a region as text."""

from html import escape
from typing import Any

import numpy as np
from bokeh.palettes import Cividis256, Greys256, Viridis256

from mnflow.maps import Region, ValenceMaps
from mnflow.maps.comparison import Reference, composition_of
from mnflow.plots.style import valence_colours
from mnflow.preprocess.crops import normalise
from mnflow.spectra.arrays import Array

VALENCE = "mean valence"


def class_colours(maps: ValenceMaps) -> dict[str, str]:
    """Colour of every class by its name."""
    return dict(zip(maps.classes, valence_colours(maps.classes), strict=True))


def quantities(maps: ValenceMaps) -> dict[str, tuple[Array, Any, tuple[float, float] | None]]:
    """Every map that can be chosen: its values (N,), colours, and limits (None: from the values).

    They are the same ones even where all pixels are flagged.
    """
    hidden, charges = maps.masked().pixels, maps.predictor.edge.charges
    found: dict[str, tuple[Array, Any, tuple[float, float] | None]] = {
        VALENCE: (hidden.mean_valence, Viridis256, (min(charges), max(charges)))
    }
    if np.isfinite(maps.pixels.interval).any():
        found["width of the interval"] = (hidden.interval[:, 1] - hidden.interval[:, 0], Cividis256, None)
    mixed = not np.isnan(maps.pixels.fractions).all()
    shares, kind = (hidden.fractions, "fraction") if mixed else (hidden.probabilities, "probability")
    found |= {f"{name} {kind}": (shares[:, i], Cividis256, (0.0, 1.0)) for i, name in enumerate(maps.classes)}
    found["intensity of the edge"] = (maps.pixels.intensity, Greys256, None)
    if maps.t_over_lambda_values():
        found["t/lambda by the edge"] = (hidden.t_over_lambda[:, 0], Cividis256, None)
    if maps.thickness_ratio is not None:
        found["thickness (t/lambda)"] = (maps.thickness_ratio, Cividis256, None)
    return found


def answer_html(
    maps: ValenceMaps, region: Region, heading: str, colour: str, references: list[Reference]
) -> str:
    """A region's answer with bars of its shares, what references explain of it, and its flags."""
    flags = f"<p>Flags: {escape(', '.join(region.flags)).replace('_', ' ')}</p>" if region.flags else ""
    shares, colours = region.fractions or region.probabilities, class_colours(maps)
    bars = "".join(_bar(name, share, colours[name]) for name, share in shares.items())
    ratio = region.t_over_lambda
    thickness = "<p>t/lambda {:.1f} [{:.1f}, {:.1f}], by the edge alone</p>".format(*ratio) if ratio else ""
    several = region.n > 1 and region.n_flagged
    left_out = f"<p>{region.n_flagged} flagged pixels are not counted.</p>" if several else ""
    return (
        f"{heading}<p style='color:{colour}'><strong>{escape(str(region))}</strong></p>"
        f"<p>{'Share of the atoms' if region.fractions else 'Probability'}</p>{bars}"
        f"{thickness}{_parts(maps, region, references)}{left_out}{flags}"
    )


def _bar(name: str, value: float, colour: str) -> str:
    label = f"<span style='display:inline-block;min-width:4em'>{escape(name)}</span>"
    filled = f"<i style='display:block;height:100%;width:{100 * value:.1f}%;background:{colour}'></i>"
    frame = "display:inline-block;width:10em;height:.7em;margin-right:.5em;background:#E5E5E8"
    return f"<div>{label}<span style='{frame}'>{filled}</span>{value:.0%}</div>"


def _parts(maps: ValenceMaps, region: Region, references: list[Reference]) -> str:
    """The references that a region's edge is made of, in words."""
    if not references:
        return ""
    crop = np.asarray(normalise(maps.where(region.spectrum[None]))[0], dtype=np.float32)
    found = composition_of(crop, references)
    pairs = zip(references, found.shares, strict=True)
    shares = ", ".join(f"{escape(r.name)} {share:.0%}" for r, share in pairs)
    return (
        f"<p>By least squares with the references: {shares} of the intensity; "
        f"residual {found.residual:.0%}</p>"
    )
