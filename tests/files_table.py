"""docs/files.md: what becomes of every file that is at hand, of other laboratories and of the packages that read them.

    MNFLOW_REAL_DATA=FOLDER python -m tests.files_table

writes it; tests/system/test_files_table.py holds that it is current, row by row.
"""

import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.detector.faults import REASONS
from mnflow.preprocess.detector.gain_steps import STEP_NOTE
from mnflow.preprocess.locate import MIN_CONTRAST
from mnflow.preprocess.scan import typical_spectrum
from mnflow.preprocess.window import placement
from mnflow.read import SUFFIXES, read_file
from mnflow.spectra import MN

DOCUMENT = Path(__file__).parent.parent / "docs" / "files.md"

_PACKAGES = {
    "exspy": (
        "tests/components/*.msa",
        "tests/drawing/data/Cr_L_*.hspy",
        "tests/signals/data/*.hspy",
        "data/*.hspy",
    )
}
_ABOUT = """# Which files are read

`read_file`, `predict` and `preprocess` read every format of RosettaSciIO that holds energy losses ({formats}),
EMSA/MAS (ISO 22029), columns of text, and the paper authors' published pickles (without unpickling). What a file is
follows from its content first, then from its name. Some formats need another package, which the message names: .zspy needs
zarr of version 2 (`pip install 'mnflow[zspy]'`).

**Text.** One row a channel; comma, semicolon, tab or blanks between the columns; points or decimal commas; any header
or none. Of more than two columns, the header must name the energy; errors, fits and channel numbers are left out, and
every other column is a spectrum. Two spectra one below the other are refused.

**Units.** eV, keV or meV from the header, also in words ("Energy Loss (eV)"). Without a unit, the numbers decide if they
leave no doubt, and the run's note says so. Channel numbers are refused.

**The window.** The pair of white lines is looked for up to 30 eV from where it belongs, at 0.01 to 1 eV a channel. A file
must hold 3 eV before L3 and 5 eV after L2. The background is a power law where 3 eV or more lie before the onset, else
a level, of which the slope is taken out that a power law with an exponent of 3 would have; nothing is removed where it had been removed. Nothing
outside of the window is judged: NaN and dead channels there cost nothing. On 600 simulated spectra of materials set aside, on a power law with an
exponent of 2.2 to 4 (`python -m benchmarks.short_windows`), the error of the mean valence is 0.11 for 30 eV on either side of L3, 0.12 for 3 eV before and 16 eV
behind it, and 0.16 for 15.2 eV behind it; the interval holds the true one in 94, 95 and 91 %, and in 1.4, 1.2 and 3.9 % the answer is off by more than 0.35 and
outside of it. A flat level makes it no worse.

**Faults of the detector.** Spikes and dead or hot channels are bridged, and a clear step of the gain is repaired, also on the lines (where a
background had been removed, as a constant). A spike differs from its neighbours in energy by more than any line could; in a scan also from
the same channels of every neighbouring pixel, and then may be half as high. Values that were repeated in rebinning, or interpolated, are neither spikes
nor steps. On 400 simulated spectra of materials set aside (`python -m benchmarks.detector_faults`), spikes of one to three channels
and 0.1 to 20 peaks move the mean valence of a single spectrum by more than 0.2 without a flag in 0 to 3.3 % and by more than 0.35 in 0 to 1.3 %; of a pixel in an
image of 20 x 20 grains of 3 x 3 pixels in 0 to 1.5 % and 0 to 0.5 % (three channels of a third of the peak are the worst: they look like a
line). Steps of 10 % from 20 eV before L3 to 17 eV behind it do so in 0 to 4 % and 0 to 2 %,
steps of 3 % in 0 to 4 % and 0 to 2 % as well. Clean spectra and images have no spike and no step.

**The dispersion** is believed. An error of it widens the interval: on simulated mixtures of materials set aside, whose energies
are stretched by -10, -5, 0, 5 and 10 %, the error of the mean valence is 0.13, 0.11, 0.09, 0.10 and 0.11, the mean width of the
interval 0.41, 0.36, 0.34, 0.34 and 0.36, its coverage 0.94, 0.96, 0.97, 0.96 and 0.96 (a foreign laboratory's: 0.92, 0.94, 0.94,
0.92 and 0.91); 16, 1, 0, 0 and 6 % are flagged out of distribution, and in 2, 0, 0, 0 and 10 % the white lines contradict
(`python -m benchmarks.dispersion --mixtures 1500`). The distance of the lines does not correct
it, since chemistry changes that as well. Where O K is on the axis, its distance from L3 shows an error of some 5 % or more: a note says so.

**Several signals.** X-rays are passed over; among several energy losses the one that covers the window is read, with the
low losses of the same places if they lie beside it ([dual EELS](maps.md#dual-eels)).

**A folder.** `mnflow predict FOLDER` answers every file whose suffix or content is that of a format of spectra, each in a row of its own, with
the reason if it is refused. All others (archives, pictures, documents) are named on standard error as not read; hidden files and
`manifest.csv` are passed over.

The table below is made by `python -m tests.files_table`, from files of other laboratories and of the packages that ship
them: those of eXSpy (none has a Mn edge but `coreloss_spectrum.msa`); RosettaSciIO's package ships none. Where no Mn edge is to be
seen, an answer has the flag `no_edge`.

| file | format | spectra | outcome |
| --- | --- | --- | --- |
"""


def outcome(path: Path) -> tuple[str, str]:
    """How many spectra a file holds, and what becomes of them or why it is refused, in words."""
    try:
        raw = read_file(path)
        placed = placement(raw.energy_ev, typical_spectrum(raw), MN, str(path), raw.background_removed)
    except InputError as error:
        return "-", "refused: " + str(error).replace(f"{path}: ", "").replace(str(path), path.name)[
            :160
        ].replace("|", "/")
    faults = np.bincount(placed.faults(np.asarray(raw.counts)), minlength=len(REASONS))
    bad = [f"{n} {REASONS[i]}" for i, n in enumerate(faults.tolist()) if i and n]
    where = placed.position
    if where.contrast < MIN_CONTRAST:
        words = ["read: no Mn edge is to be seen"]
    else:
        words = [f"read: L3 at {where.l3_ev:.1f} eV, background: {where.background}"]
        words += [STEP_NOTE] * (placed.gain_step is not None)
    return str(len(raw)), "; ".join([*words, *bad, *raw.notes])


def rows(real_data: Path) -> Iterator[tuple[str, str]]:
    """Every file's name, and its row of the table."""
    files = [
        (path.relative_to(real_data).as_posix(), path)
        for path in sorted(real_data.rglob("*"))
        if path.is_file() and path.name not in ("manifest.csv", "README.md")
    ]
    for package, patterns in _PACKAGES.items():
        found = importlib.util.find_spec(package)
        folder = Path(found.origin).parent if found and found.origin else Path()
        files += [
            (f"{package}: {path.name}", path) for pattern in patterns for path in sorted(folder.glob(pattern))
        ]
    with tempfile.TemporaryDirectory() as name:
        with zipfile.ZipFile(real_data / "foreign" / "velox_eels_eds.zip") as archive:
            unpacked = Path(archive.extract(archive.namelist()[0], name))
        files.append((f"foreign/velox_eels_eds.zip: {unpacked.name}", unpacked))
        for title, path in files:
            spectra, words = outcome(path)
            yield title, f"| {title} | {path.suffix} | {spectra} | {words} |"


def document(real_data: Path) -> str:
    """The whole text of docs/files.md."""
    about = _ABOUT.format(formats=", ".join(s for s in SUFFIXES if s not in (".csv", ".txt", ".pkl")))
    return about + "\n".join(row for _, row in rows(real_data)) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(Path(os.environ["MNFLOW_REAL_DATA"])))
