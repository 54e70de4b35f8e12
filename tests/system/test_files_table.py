"""docs/files.md tells what becomes of every file that is at hand."""

from pathlib import Path

import pytest

from tests.files_table import DOCUMENT, outcome, rows

TRUE = {
    "field/two_spectra_stacked.csv": "refused: expected one spectrum, got 2, one below the other",
    "field/cut_short.msa": "refused: NPOINTS 1051 but 560 values: it is cut short",
    "field/xy_irregular.msa": "read: L3 at 645.1 eV",
    "field/xy_header_disagrees.msa": "the energies are those of the X column",
    "field/units_in_words.msa": "read: L3 at 645.1 eV",
    "field/rebinned_to_repeats.hspy": "read: L3 at 645.2 eV, background: power law",
    "foreign/mnedgenet_Data3_MnO.csv": "read: L3 at 640.5 eV, background: level; no unit is named",
    "foreign/mnedgenet_Data3_LaMnO3.csv": "read: L3 at 642.4 eV, background: level",
    "foreign/mnedgenet_Data3_MnO2.csv": "read: L3 at 643.9 eV, background: level",
    "foreign/eelsdb_lsmo_film.msa": "read: L3 at 648.6 eV, background: removed; no unit is named",
    "foreign/atlas_MnO2_0.5eV.dm3": "read: L3 at 642.5 eV, background: power law",
    "foreign/atlas_MnO2_1eV.dm3": "read: L3 at 642.3 eV, background: power law",
    "foreign/lsmo_linescan.hspy": "read: L3 at 634.5 eV, background: power law",
    "foreign/lsmo_linescan_low_loss.hspy": "refused: expected energies that cover 635 ... 665 eV",
    "foreign/atlas_CoO.dm3": "no Mn edge is to be seen",
    "foreign/atlas_Fe2O3.dm3": "no Mn edge is to be seen",
    "foreign/atlas_NiO.dm3": "no Mn edge is to be seen",
    "foreign/atlas_TiO2.dm3": "refused: expected energies that cover 635 ... 665 eV",
    "foreign/velox_eels_eds.zip": "unpack it",
    "vendor/coreloss_spectrum.msa": "read: L3 at 648.6 eV, background: power law",
    "vendor/EELS_SI.dm4": "no Mn edge is to be seen",
}
"""What is true of some files."""


@pytest.mark.parametrize("name", sorted(TRUE))
def test_each_is_read_right_or_refused_for_a_true_reason(real_data: Path, name: str) -> None:
    assert TRUE[name] in outcome(real_data / name)[1]


def test_no_digitized_spectrum_is_refused_or_saturated(real_data: Path) -> None:
    for path in sorted((real_data / "digitized").glob("[A-C]*.csv")):
        words = outcome(path)[1]
        assert words.startswith("read: L3 at 64"), path.name
        assert "saturated" not in words


def test_the_table_is_current(real_data: Path) -> None:
    """Row by row: no file that is here is missing in the document, or stands there with another outcome."""
    written = DOCUMENT.read_text().splitlines()
    missing = [row for _, row in rows(real_data) if row not in written]
    assert not missing
