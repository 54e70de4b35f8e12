"""A HyperSpy signal in, a signal out, with its axes and metadata; and files that are bigger than a block."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import mnflow
from mnflow import maps, plots
from mnflow.errors import InputError
from mnflow.plots.prediction import round_length
from mnflow.runtime.project import ROOT
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import edge_shape

pytest.importorskip("hyperspy.api")

ENERGY_EV = 600 + 0.25 * np.arange(400)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(made_up_net(), MN)


def image(rows: int = 3, columns: int = 4) -> np.ndarray:
    """Counts (rows, columns, 400) on a background, with Poisson noise; the valence changes with the
    column.
    """
    valence = np.broadcast_to(np.arange(columns) % 3, (rows, columns))
    counts = 1e4 * (edge_shape(ENERGY_EV, valence) + 20 * (ENERGY_EV / 640) ** -3.0)
    return np.random.default_rng(0).poisson(counts).astype(np.float32)


def signal(data: np.ndarray, lazy: bool = False):  # type: ignore[no-untyped-def]
    import hyperspy.api as hs

    made = hs.signals.Signal1D(data)
    made.metadata.General.title = "a test"
    energy = made.axes_manager.signal_axes[0]
    energy.offset, energy.scale, energy.units, energy.name = 600.0, 0.25, "eV", "Energy loss"
    for axis, scale in zip(made.axes_manager.navigation_axes, (2.0, 3.0), strict=False):
        axis.scale, axis.units, axis.name = scale, "nm", f"axis {scale:g}"
    return made.as_lazy() if lazy else made


def test_axes_and_metadata_are_kept(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor)
    assert found.data.shape == (3, 4, 11)
    assert [(a.name, a.scale, a.units, a.size) for a in found.axes_manager.navigation_axes] == [
        ("axis 2", 2.0, "nm", 4),
        ("axis 3", 3.0, "nm", 3),
    ]
    assert found.metadata.General.title == "a test"
    assert found.metadata.Valence.quantities[:2] == ["class", "mean_valence"]
    np.testing.assert_allclose(found.data[..., 5:8].sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_says_what_the_server_says(predictor: Predictor, lazy: bool) -> None:
    data = image(1, 3)
    found = mnflow.predict(signal(data, lazy), predictor).data[0]
    served = answer(predictor, [{"energy_ev": ENERGY_EV.tolist(), "intensity": s.tolist()} for s in data[0]])
    # The server fits the onset of each spectrum, an image has one.
    np.testing.assert_allclose(found[:, 5:8], [list(a["probabilities"].values()) for a in served], atol=0.03)


def test_many_blocks_give_what_one_gives(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mnflow.predict(signal(image(6, 5)), predictor).data
    monkeypatch.setattr(maps, "_BLOCK_BYTES", 400 * 4 * 7)
    monkeypatch.setattr(maps, "_PIECE", 3)
    parts = mnflow.predict(signal(image(6, 5)), predictor).data
    np.testing.assert_allclose(parts[..., 5:8], whole[..., 5:8], atol=0.02)


def test_a_pixel_that_cannot_be_read_is_nan_and_flagged(predictor: Predictor) -> None:
    data = image()
    data[0, 1] = np.nan
    data[2, 3] = 5
    found = mnflow.predict(signal(data), predictor).data
    assert np.isnan(found[0, 1, 0])
    assert np.isnan(found[2, 3, 5:]).all()
    assert found[0, 1, 4] == 2 ** maps.FLAGS.index("unreadable")
    assert np.isfinite(np.delete(found.reshape(-1, 11)[:, :8], [1, 11], axis=0)).all()


def test_a_single_spectrum_and_a_line_scan(predictor: Predictor) -> None:
    assert mnflow.predict(signal(image()[0, 0]), predictor).data.shape == (11,)
    assert mnflow.predict(signal(image()[0]), predictor).data.shape == (4, 11)


def test_refuses_a_signal_without_energies(predictor: Predictor) -> None:
    bad = signal(image())
    bad.axes_manager.signal_axes[0].units = "nm"
    with pytest.raises(InputError, match="expected an energy axis in eV"):
        mnflow.predict(bad, predictor)
    with pytest.raises(InputError, match="expected spectra, got none that is finite"):
        mnflow.predict(signal(np.full((2, 400), np.nan)), predictor)


def test_maps_are_written_whole_and_come_back(predictor: Predictor, tmp_path: Path) -> None:
    import hyperspy.api as hs

    found = mnflow.predict(signal(image()), predictor)
    path = maps.save_maps(found, tmp_path / "new" / "x_valence.hspy")
    assert [p.name for p in path.parent.iterdir()] == ["x_valence.hspy"]
    back = hs.load(path)
    np.testing.assert_array_equal(back.data, found.data)
    assert back.metadata.Valence.classes == ["Mn2+", "Mn3+", "Mn4+"]


def test_the_figure_has_a_scale_bar_of_a_round_length(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor)
    assert maps.pixel_size(found) == (2.0, "nm")
    figure = plots.valence_maps(maps.as_images(found), MN.classes, MN.charges, *maps.pixel_size(found))
    assert [t.get_text() for t in figure.axes[0].texts] == ["2 nm"]
    assert [round_length(x) for x in (9.9, 4.0, 0.21, 1.0)] == [5, 2, 0.2, 1]


def test_summary_counts_what_was_read(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor)
    metrics, sentence = maps.summary(found.data.reshape(-1, 11), predictor)
    assert metrics["predict/spectra"] == 12
    assert 2 <= metrics["predict/mean_valence"] <= 4
    assert "of 12 flagged" in sentence


def test_the_entry_point_writes_and_logs_maps(predictor: Predictor, store: Path) -> None:
    from entrypoints.predict import Options, run
    from mnflow.track import tracking

    model = predictor.save(store / "p.npz")
    signal(image()).save(store / "si.hspy")
    run_id = run(Options(file=str(store / "si.hspy"), model=str(model), out=str(store / "out")))
    assert sorted(p.name for p in (store / "out").iterdir()) == ["si_valence.hspy", "si_valence.png"]
    logged = tracking.connect().get_run(run_id)
    assert logged.data.metrics["predict/spectra"] == 12
    assert "12 flagged" in logged.data.tags["mlflow.note.content"]


def test_the_entry_point_wants_a_file() -> None:
    from entrypoints.predict import Options, run

    with pytest.raises(InputError, match="Option file: expected the path of a file"):
        run(Options())


def test_one_spectrum_shows_where_the_nets_looked(predictor: Predictor) -> None:
    raw = maps.raw_of_signal(signal(image()[0, 1]))
    energy_ev, crops, looked, names = maps.where_the_nets_looked(raw, predictor)
    assert energy_ev.shape == (300,)
    assert crops.shape == looked.shape == (1, 300)
    assert looked.max() > 0
    figure = plots.saliency(energy_ev, crops, looked, names)
    assert figure.axes[0].get_title(loc="left") in MN.classes


def test_the_example_runs_cell_by_cell(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "simulated" / "Mn2+").mkdir(parents=True)
    signal(image()).save(tmp_path / "data" / "simulated" / "Mn2+" / "Mn2_01.hspy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(maps, "load_predictor", lambda model: predictor)
    found = runpy.run_path(str(ROOT / "docs" / "examples" / "valence_map.py"))
    assert found["mean_valence"].data.shape == (3, 4)
    assert found["fractions"].data.shape == (3, 4, 3)
    assert (tmp_path / "valence.hspy").exists()
