"""`mnflow fit`: the simulator fitted to one spectrum, or to an image's typical spectrum."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnflow.fit.simulator import FitResult, Interval


def parser() -> argparse.ArgumentParser:
    """The options, without importing anything that reads files."""
    options = argparse.ArgumentParser(
        prog="mnflow fit",
        description="Fit the simulator to a spectrum: composition, crystal fields, thickness and resolution "
        "with 90 % intervals, and how much is left. A tool for diagnosis: `mnflow predict` gives the answer.",
    )
    options.add_argument(
        "file", metavar="FILE", help="a file as for `mnflow predict`; an image's typical spectrum"
    )
    options.add_argument(
        "--only", metavar="CLASS", nargs="+", default=[], help="fit with these classes alone, such as Mn3+"
    )
    options.add_argument("--json", action="store_true", help="print all numbers as one JSON object")
    options.add_argument("--figure", metavar="FILE", help="write the figure to a .png, .pdf or .svg file")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, print, and write the figure if one is wanted."""
    options = parser().parse_args(argv)
    import numpy as np

    from mnflow.fit.simulator import fit_spectrum, plot
    from mnflow.preprocess.scan import typical_spectrum
    from mnflow.read import read_file

    raw = read_file(options.file)
    spectrum = typical_spectrum(raw) if len(raw) > 1 else np.asarray(raw.counts)[0]
    result = fit_spectrum(raw.energy_ev, spectrum, only=options.only)
    print(json.dumps(result.to_dict()) if options.json else summary(result))
    if options.figure:
        plot(result).savefig(Path(options.figure))
    return 0


def summary(result: "FitResult") -> str:
    """The result in a few lines."""

    def text(name: str, found: "Interval", unit: str = "") -> str:
        return f"{name} {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]{unit}"

    lines = [
        text("mean valence", result.mean_valence),
        *(
            "  ".join([text(part.name, part.share), *(text(k, v) for k, v in part.parameters.items())])
            for part in result.parts
        ),
        f"{text('t/lambda', result.thickness)}, {text('resolution', result.resolution_ev, ' eV')}",
        f"residual {result.residual:.3f} (below 0.05: a good fit)",
    ]
    return "\n".join(lines)
