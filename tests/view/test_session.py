"""One open page: its files, its choices and its exports."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document

from mnflow.errors import InputError
from mnflow.serve.predictor import Predictor
from mnflow.simulate.write import write_hspy
from mnflow.view.session import EXPORTS, Session
from mnflow.view.shared import Shared
from tests.maps.conftest import ENERGY_EV, HIGHER, image, in_kev

pytestmark = pytest.mark.slow  # .hspy is surveyed by another process


class Now(Document):
    """A document that changes at once, and keeps what its status said."""

    def add_next_tick_callback(self, callback: Callable[[], None]) -> Any:
        callback()
        found = self.get_model_by_name("status")
        if found is not None:
            self.said = [*getattr(self, "said", []), found.text]


@pytest.fixture
def shared(predictor: Predictor) -> Iterator[Shared]:
    made = Shared(lambda: predictor, None)
    yield made
    made.close()


@pytest.fixture
def session(shared: Shared) -> Session:
    return Session(Now(), shared)


@pytest.fixture
def spectra(tmp_path: Path) -> Path:
    return write_hspy(tmp_path / "grain.hspy", image(), ENERGY_EV, "A grain", 200.0, 0.1)


def table(path: Path, counts: np.ndarray, energy_ev: np.ndarray = ENERGY_EV) -> Path:
    rows = np.stack([energy_ev, counts], axis=1)
    np.savetxt(path, rows, delimiter=",", header="energy_ev,counts", comments="")
    return path


def low_loss(path: Path) -> Path:
    energy_ev = np.arange(-20, 120, 0.25)
    counts = np.exp(-(energy_ev**2)) + 0.3 * np.exp(-(((energy_ev - 22) / 9) ** 2))
    return table(path, 1e6 * counts, energy_ev)


def wait_for_files() -> None:
    """Wait until all files are read, each by a thread of its own."""
    for thread in threading.enumerate():
        if thread.name.endswith("(_reported)"):
            thread.join(60)


def opened(session: Session, path: Path, use: str = "spectra") -> str:
    """Open a file and wait for it; returns what the page says then."""
    session.open_file(path, use)
    wait_for_files()
    return str(session.panels.status.text)


def test_a_file_is_read_answered_and_shown_with_all_its_pixels(session: Session, spectra: Path) -> None:
    said = opened(session, spectra)
    document: Any = session.document
    assert document.said[0] == "<progress max='1' value='0.000'></progress> reading grain.hspy"
    assert "<progress max='1' value='1.000'></progress> grain.hspy: 100% of 12 spectra" in document.said
    assert said.startswith("<strong>A grain</strong>: 4 x 3 spectra, ")
    assert session.title == "all unflagged pixels"
    assert session.region is not None
    assert session.region.n == 12
    assert "all unflagged pixels</h2>" in session.panels.answer.text
    assert session.raw is not None
    assert isinstance(session.raw.counts, np.ndarray)


def test_one_spectrum_is_called_by_its_file(session: Session, tmp_path: Path) -> None:
    said = opened(session, table(tmp_path / "one.csv", image()[0, 0]))
    assert said.startswith("<strong>one</strong>: one spectrum, ")
    assert session.title == ""
    assert ">one</h2>" in session.panels.answer.text


def test_a_file_without_a_unit_is_read_for_the_models_edge(tmp_path: Path, predictor: Predictor) -> None:
    higher = replace(predictor, edge=HIGHER)
    shared = Shared(lambda: higher, None)
    session = Session(Now(), shared)
    opened(session, in_kev(tmp_path / "a.csv"))
    shared.close()
    assert session.raw is not None
    assert (session.raw.energy_ev[0], session.raw.energy_ev[-1]) == pytest.approx((700, 799.75))


def test_what_cannot_be_read_is_said_and_leaves_the_page(
    session: Session, spectra: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "<p role='alert' style='color:#B00020'>"
    for use, words in (
        ("low_loss", "Open the core-loss spectra first, then their low loss."),
        ("references", "Open the spectra first, then references of the same instrument."),
    ):
        assert opened(session, low_loss(tmp_path / "low.csv"), use) == f"{start}{words}</p>"
    opened(session, spectra)
    shown = session.maps
    (tmp_path / "bad.csv").write_text("no spectrum")
    assert opened(session, tmp_path / "bad.csv").startswith(f"{start}{tmp_path / 'bad.csv'}")

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("so it is")

    monkeypatch.setattr("mnflow.view.session.read_file", broken)
    words = "bad.csv could not be read (ZeroDivisionError: so it is)"
    assert opened(session, tmp_path / "bad.csv") == f"{start}{words}</p>"
    assert session.maps is shown


def test_references_are_added_and_go_with_another_file(
    session: Session, spectra: Path, tmp_path: Path
) -> None:
    opened(session, spectra)
    session.choose_pixel(0, 1)
    for name, column in (("MnO", 0), ("Mn2O3", 1)):
        said = opened(session, table(tmp_path / f"{name}.csv", image()[0, column]), "references")
        assert said.startswith("<strong>A grain</strong>")
    assert [r.name for r in session.references] == ["MnO", "Mn2O3"]
    assert session.panels.curves.data["name"] == ["MnO", "Mn2O3"]
    assert "references: MnO 0%, Mn2O3 100%" in session.panels.answer.text
    assert "pixel 1, 0</h2>" in session.panels.answer.text
    opened(session, spectra)
    assert session.references == session.panels.references == []
    assert "least squares" not in session.panels.answer.text


def test_a_low_loss_is_of_the_spectra_as_they_were_read(
    session: Session, spectra: Path, tmp_path: Path
) -> None:
    opened(session, spectra)
    low = low_loss(tmp_path / "low.csv")
    notes = []
    for _ in range(2):  # the second is not taken out of what the first has left
        opened(session, low, "low_loss")
        assert session.maps is not None
        notes.append((session.maps.notes, session.maps.pixels.mean_valence.tolist()))
    assert notes[0] == notes[1]
    assert session.maps is not None
    assert session.maps.thickness_ratio is not None
    assert session.raw is not None
    assert session.raw.low_loss is None


def test_a_pixel_and_a_region_are_answered_if_they_are_in_the_image(session: Session, spectra: Path) -> None:
    everywhere = np.ones((3, 4), dtype=bool)
    session.choose_pixel(0, 0)  # nothing is open yet
    session.choose_region(everywhere)
    session.limit(0.1)
    assert session.region is None
    opened(session, spectra)
    assert session.maps is not None
    for row, column in ((3, 0), (-1, 0), (0, 4), (0, -1)):
        session.choose_pixel(row, column)
    session.choose_region(~everywhere)
    assert session.title == "all unflagged pixels"
    for row, column in ((0, 0), (2, 3)):
        session.choose_pixel(row, column)
        assert session.region is not None
        assert (session.title, session.region.n) == (f"pixel {column}, {row}", 1)
        np.testing.assert_array_equal(session.region.spectrum, image()[row, column])
    left = np.arange(12).reshape(3, 4) % 4 < 2
    session.choose_region(left)
    assert session.region is not None
    assert (session.title, session.region.n) == ("region of 6 pixels", 6)
    assert "region of 6 pixels</h2>" in session.panels.answer.text


def test_a_limit_flags_wider_intervals_on_the_page(session: Session, spectra: Path) -> None:
    opened(session, spectra)
    session.limit(0.01)
    assert session.maps is not None
    assert session.maps.flagged.all()
    assert np.isnan(session.panels.image.data["image"][0]).all()
    assert session.panels.words.text.startswith("grey: 12 of 12 spectra are flagged")
    session.limit(np.inf)
    assert not session.maps.flagged.all()


def test_an_export_has_its_kind_and_a_name_after_the_file(
    session: Session, spectra: Path, shared: Shared
) -> None:
    for name in ("table.csv", "none.csv"):
        with pytest.raises(InputError, match=f"There is no {name} to export: open a file first"):
            session.export(name)
    opened(session, spectra)
    with pytest.raises(InputError, match=r"There is no none\.csv to export"):
        session.export("none.csv")
    content, kind, filename = session.export("table.csv")
    assert (kind, filename) == ("text/csv", "grain_table.csv")
    assert content.count(b"\n") == 13
    content, kind, filename = session.export("methods.txt")
    assert (kind, filename) == ("text/plain; charset=utf-8", "grain_methods.txt")
    assert content.decode().startswith("The oxidation state of Mn")
    assert list(shared.folder.iterdir()) == []


def test_a_spectrums_figure_is_of_the_chosen_region(session: Session, spectra: Path) -> None:
    opened(session, spectra)
    whole, image_figure = session.export("spectrum.pdf")[0], session.export("figure.pdf")[0]
    session.choose_pixel(0, 0)
    content, kind, filename = session.export("spectrum.pdf")
    assert (kind, filename) == ("application/pdf", "grain_spectrum.pdf")
    assert len({whole, image_figure, content}) == 3
    session.region = None
    with pytest.raises(InputError, match=r"There is no spectrum\.pdf to export"):
        session.export("spectrum.pdf")
    size = np.frombuffer(session.export("figure.png")[0][16:24], ">u4")
    assert size[0] > 2000  # 300 dpi


def test_all_exports_come_in_one_archive(session: Session, spectra: Path) -> None:
    opened(session, spectra)
    content, kind, filename = session.export("all.zip")
    assert (kind, filename) == ("application/zip", "grain_valence.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"grain_{name}" for name in EXPORTS if name != "all.zip"]
        assert archive.read("grain_methods.txt") == session.export("methods.txt")[0]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_pages_are_numbered_and_gone_when_they_are_closed(predictor: Predictor, spectra: Path) -> None:
    shared = Shared(lambda: predictor, spectra)
    documents = [Now(), Now()]
    first, second = (Session(document, shared) for document in documents)
    wait_for_files()
    assert shared.sessions == {"1": first, "2": second}
    assert [s.maps is not None for s in (first, second)] == [True, True]  # what the command named
    for callback in documents[0].callbacks.session_destroyed_callbacks:
        callback(None)
    assert shared.sessions == {"2": second}
    assert Session(Now(), shared).number == "3"
    wait_for_files()
    shared.close()
    assert not shared.folder.exists()


def test_a_closed_page_is_not_changed(
    session: Session, spectra: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(callback: Callable[[], None]) -> None:
        raise RuntimeError("the document has no session")

    monkeypatch.setattr(session.document, "add_next_tick_callback", closed)
    assert opened(session, spectra) == ""
    assert session.maps is None
