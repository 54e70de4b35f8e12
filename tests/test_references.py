"""Reference spectra: labels, names and windows are those of their files, and faults name the spectrum."""

from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.references import load_references, read_references
from mnflow.spectra import MN, UNLABELLED
from tests.helpers.files import counts_image, signal, write
from tests.helpers.spectra import edge_shape


def _laboratory(folder: Path) -> Path:
    """A pure and a mixed spectrum, L3 at 644 and 656 eV, and an image of two pixels."""
    folder.mkdir(exist_ok=True)
    energy_ev = np.arange(620.0, 690.0, 0.1)
    for name, l3_ev in (("pure.csv", 644.0), ("mixed.csv", 656.0)):
        table = np.column_stack([energy_ev, edge_shape(energy_ev, 1, l3_ev)])
        np.savetxt(folder / name, table, delimiter=",", header="energy_ev,intensity", comments="")
    write(folder / "image.hspy", signal(counts_image(np.random.default_rng(0), (1, 2))))
    (folder / "manifest.csv").write_text(
        "file,valence,group\npure.csv,Mn3+,paper A\nmixed.csv,Mn2+/Mn3+,paper B\nimage.hspy,Mn4+,paper C\n"
    )
    return folder


def test_spectra_keep_what_the_manifest_says_and_are_cut_where_their_edge_is(tmp_path: Path) -> None:
    folder = _laboratory(tmp_path / "papers")
    found = read_references(folder, MN)
    assert found.spectra.source == "references papers"
    assert found.spectra.valence.tolist() == [1, UNLABELLED, 2, 2]
    assert found.valence_text.tolist() == ["Mn3+", "Mn2+/Mn3+", "Mn4+", "Mn4+"]
    assert found.spectra.group.tolist() == ["paper A", "paper B", "paper C", "paper C"]
    assert found.spectra.name.tolist() == ["pure.csv", "mixed.csv", "image.hspy [0]", "image.hspy [1]"]
    assert [raw.path.name for raw in found.raws] == ["pure.csv", "mixed.csv", "image.hspy"]
    np.testing.assert_array_equal(found.spectra.energy_ev, MN.crop_axis_ev)
    assert found.moved_bins[0] == 0
    l3_ev = MN.crop_axis_ev[found.spectra.intensity[:2].argmax(axis=1)] + 0.1 * found.moved_bins[:2]
    np.testing.assert_allclose(l3_ev, [644.0, 656.0], atol=0.3)
    (alone,) = load_references(str(folder / "pure.csv"), 0, MN).valence_text
    assert alone == "unknown"


@pytest.mark.parametrize(("value", "fault"), [(0.0, "empty"), (np.nan, "not finite")])
def test_a_spectrum_that_is_none_is_named(value: float, fault: str, tmp_path: Path) -> None:
    counts = counts_image(np.random.default_rng(0), (1, 3))
    counts[0, 1] = value
    path = write(tmp_path / "image.hspy", signal(counts))
    with pytest.raises(InputError) as error:
        read_references(path, MN)
    assert str(error.value) == f"{path} [1]: expected a spectrum, got one that is {fault}."


def test_references_are_simulated_with_the_seed_and_the_settings_of_the_element(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, Path | None]] = []

    def stub(out: Path, seed: int, settings: Path | None = None) -> Path:
        asked.append((seed, settings))
        return _laboratory(out)

    monkeypatch.setattr("mnflow.simulate.simulate_references", stub)
    found = load_references("simulated", 3, MN)
    assert asked == [(3, Path("mn"))]
    assert found.valence_text.tolist() == ["Mn3+", "Mn2+/Mn3+", "Mn4+", "Mn4+"]
    assert not found.raws[0].path.exists()  # their folder was a temporary one
