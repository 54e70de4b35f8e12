"""The page in a real browser, from a file to its export; and that it stays on this machine."""

import io
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document

from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.raw import CountsOnDemand
from mnflow.view.session import Session
from mnflow.view.shared import Shared
from tests.helpers.browser import Page, browse, needs_browser
from tests.helpers.pages import fetch, running
from tests.maps.conftest import ENERGY_EV, image, signal
from tests.maps.test_thickness import low_loss

pytestmark = pytest.mark.slow

pytest.importorskip("bokeh")
pytest.importorskip("hyperspy.api")

EXPORTS = {
    "figure.png": b"\x89PNG", "figure.pdf": b"%PDF", "figure.svg": b"<?xml", "spectrum.pdf": b"%PDF",
    "maps.hspy": b"\x89HDF", "maps.tif": b"II*\0", "table.csv": b"axis 2 / nm",
    "methods.txt": b"The oxidation state of Mn", "all.zip": b"PK",
}  # fmt: skip


def text(counts: np.ndarray, energy_ev: np.ndarray = ENERGY_EV) -> str:
    """A spectrum as a text file, in JavaScript."""
    rows = "\n".join(f"{e},{y}" for e, y in zip(energy_ev, counts, strict=True))
    return json.dumps(f"energy_ev,intensity\n{rows}")


def place_of_map(page: Page) -> Callable[[float, float], tuple[float, float]]:
    """Screen coordinates of a place of the map's frame, in shares of its width and height."""
    frame = page.run(
        "(() => { const v = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name('map').id); "
        "const r = v.el.getBoundingClientRect(), b = v.frame.bbox; return [r.left + b.left, r.top + b.top, "
        "b.width, b.height]; })()"
    )
    return lambda x, y: (frame[0] + x * frame[2], frame[1] + y * frame[3])


@needs_browser
def test_from_a_file_to_its_export(predictor: Predictor, tmp_path: Path) -> None:
    signal(image(12, 12)).save(tmp_path / "si.hspy")
    with running(predictor, tmp_path / "si.hspy") as address, browse(tmp_path, (1400, 1200)) as page:
        page.open(address)
        page.wait_for_words("12 x 12 spectra")
        page.wait_for_words("all unflagged pixels")
        loaded = page.run("performance.getEntriesByType('resource').map(e => e.name)")
        assert loaded
        assert [name for name in loaded if not name.startswith(address)] == []
        time.sleep(1)  # the map takes its size

        at = place_of_map(page)
        page.drag(at(0.51, 0.53))
        page.wait_for_words("pixel 6, 6")
        page.drag(*(at(x, y) for x, y in ((0.45, 0.3), (0.6, 0.3), (0.6, 0.7), (0.45, 0.7), (0.45, 0.35))))
        page.wait_for_words("region of")

        links = page.run("Object.fromEntries([...document.querySelectorAll('[data-export]')].map("
                         "a => [a.dataset.export, a.getAttribute('href')]))")  # fmt: skip
        assert set(links) == set(EXPORTS)
        for name, start in EXPORTS.items():
            assert fetch(address, links[name]).startswith(start), name

        with zipfile.ZipFile(io.BytesIO(fetch(address, links["all.zip"]))) as archive:
            assert len(archive.namelist()) == len(EXPORTS) - 1

        for name, first in (("MnO", "true"), ("MnO2", "false")):
            page.run(f"send(new File([{text(image()[0, 0])}], '{name}.csv'), 'references', {first})")
            page.wait_for_words(f"{name} ")
        page.wait_for_words("least squares with the references: MnO ")
        page.run(f"send(new File([{text(image()[0, 1])}], 'other.csv'), 'references')")
        assert "MnO2" not in page.wait_for_words("references: other 100%")

        page.run(f"send(new File([{text(image()[0, 0])}], 'one.csv'))")
        page.wait_for_words("one spectrum")

        energy_ev = np.arange(-20, 120, 0.25)
        zero_loss, plasmon = np.exp(-(energy_ev**2)), 0.3 * np.exp(-(((energy_ev - 22) / 9) ** 2))
        page.run(f"send(new File([{text(1e6 * (zero_loss + plasmon), energy_ev)}], 'low.csv'), 'low_loss')")
        page.wait_for_words("plural scattering")

        page.run("send(new File(['no spectrum'], 'bad.csv'))")
        page.wait_for_words("bad.csv")

        page.run("send(new File(['no low loss'], 'low.csv'), 'low_loss')")
        page.wait_for_words("low.csv")

        page.resize(400, 1600)
        time.sleep(1)
        assert page.run("document.documentElement.scrollWidth") <= 400


def test_a_low_loss_on_the_page_does_what_the_command_does(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes plural scattering out, and is more than a map of thickness."""
    from bokeh.document import Document

    import mnflow
    from mnflow.view.session import Session
    from mnflow.view.shared import Shared

    core, low = tmp_path / "core.hspy", tmp_path / "low.hspy"
    signal(image()).save(core)
    low_loss(np.linspace(0.1, 0.8, 12).reshape(3, 4)).save(low)
    monkeypatch.setattr(Session, "_soon", lambda self, change: change())
    shared = Shared(lambda: predictor, None)
    session = Session(Document(), shared)
    session._read_spectra(core)
    plain = session.maps
    session._read_low_loss(low)
    shared.close()
    expected = mnflow.predict(core, predictor, low_loss=low)
    assert plain is not None
    assert session.maps is not None
    np.testing.assert_array_equal(session.maps.pixels.mean_valence, expected.pixels.mean_valence)
    np.testing.assert_array_equal(session.maps.raw.counts[:], expected.raw.counts[:])
    assert session.maps.notes == expected.notes != plain.notes
    assert session.maps.thickness_ratio == pytest.approx(expected.thickness_ratio)


class OnDisk(CountsOnDemand):
    """Spectra that are read when they are sliced."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts, self.shape, self.dtype = counts, counts.shape, counts.dtype

    def _rows(self, rows: slice, channels: slice) -> np.ndarray:
        return self.counts[rows, channels]


@pytest.mark.parametrize("kept_bytes", [0, 10**9])
def test_spectra_that_fit_stay_in_memory(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    on_disk = OnDisk(image().reshape(12, -1))
    raw = RawSpectra(ENERGY_EV, on_disk, (3, 4), None, "a", tmp_path)
    monkeypatch.setattr("mnflow.view.session.read_file", lambda path, edge: raw)
    monkeypatch.setattr("mnflow.view.session._KEPT_BYTES", kept_bytes)
    session = Session(Document(), Shared(lambda: predictor, None))
    session._read_spectra(tmp_path)
    assert session.raw is not None
    assert isinstance(session.raw.counts, np.ndarray) == (kept_bytes > 0)
    assert np.array_equal(np.asarray(session.raw.counts), on_disk.counts)


def test_files_need_the_pages_token(predictor: Predictor) -> None:
    with running(predictor) as address:
        for path, method in (("/export/1/figure.png", "GET"), ("/files/1?name=x.csv", "PUT")):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                fetch(address, path, method=method, data=b"x" if method == "PUT" else None)
        page = fetch(address, "/").decode()
        token = page.split('const token = "')[1].split('"')[0]
        with pytest.raises(urllib.error.HTTPError, match="404"):  # nothing is open yet
            fetch(address, f"/export/1/figure.png?token={token}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(address, f"/export/99/figure.png?token={token}")


def test_a_name_with_other_letters_is_exported(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / 'Mn\u2082O\u2083 "a".hspy'
    signal(image()).save(path)
    with running(predictor, path) as address:
        token = fetch(address, "/").decode().split('const token = "')[1].split('"')[0]
        place = f"{address}/export/1/methods.txt?token={token}"
        for _ in range(60):  # until the file is read
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(place, timeout=60) as answer:
                said = answer.headers["Content-Disposition"]
                break
            time.sleep(0.1)
    assert said == "attachment; filename*=UTF-8''Mn%E2%82%82O%E2%82%83%20%22a%22_methods.txt"


def test_methods_name_the_model_the_versions_and_what_was_left_out(predictor: Predictor) -> None:
    import mnflow
    from mnflow.maps.export import methods

    maps = mnflow.predict(signal(image()), predictor)
    maps.pixels.flags[:] = False
    maps.pixels.flags[:2, 0] = True
    text = methods(maps)
    assert "2 of 12 spectra were flagged and excluded from all means (noise: 2;" in text
    assert f"numpy {np.__version__}" in text
    assert "0.25 eV per channel" in text
    assert "10.1038/s41598-019-38482-1" in text
