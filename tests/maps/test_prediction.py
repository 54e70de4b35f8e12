"""A HyperSpy signal or a file in, maps out, with axes and metadata; the entry point that writes them."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mnflow
from mnflow import maps
from mnflow.errors import InputError
from mnflow.maps import prediction
from mnflow.maps.signals import raw_of_signal
from mnflow.pretrained.choose import choose_predictor
from mnflow.references import References
from mnflow.runtime.project import ROOT
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net
from tests.maps.conftest import ENERGY_EV, HIGHER, image, in_kev, signal

pytest.importorskip("hyperspy.api")


def test_axes_and_metadata_are_kept(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor).mean_valence
    assert found.data.shape == (3, 4)
    assert [(a.name, a.scale, a.units, a.size) for a in found.axes_manager.signal_axes] == [
        ("axis 2", 2.0, "nm", 4),
        ("axis 3", 3.0, "nm", 3),
    ]
    assert found.metadata.General.title == "mean Mn valence of a test"
    assert found.metadata.Valence.colour_limits == [2.0, 4.0]


def test_what_is_known_of_the_sample_and_the_microscope_goes_with_the_maps(predictor: Predictor) -> None:
    made = signal(image())
    made.metadata.set_item("General.title", "v. 2")
    made.metadata.set_item("Sample.elements", ["Mn", "O"])
    made.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 80.0)
    made.metadata.set_item("Signal.quantity", "counts")
    made.axes_manager.navigation_axes[0].offset = -5.0
    maps = mnflow.predict(made, predictor)
    assert maps.title == "v. 2"
    found = maps.mean_valence
    assert found.metadata.General.title == "mean Mn valence of v. 2"
    assert found.metadata.Sample.elements == ["Mn", "O"]
    assert found.metadata.Acquisition_instrument.TEM.beam_energy == 80.0
    assert found.metadata.Signal.quantity == "mean Mn valence"
    assert [a.offset for a in found.axes_manager.signal_axes] == [-5.0, 0.0]
    assert "Acquisition_instrument" not in mnflow.predict(signal(image()), predictor).metadata


@pytest.mark.parametrize("lazy", [False, True])
def test_gives_the_servers_answers(lazy: bool) -> None:
    predictor = Predictor(MN, net=made_up_net())  # unsure, so that small differences stay small
    data = image(1, 3)
    found = mnflow.predict(signal(data, lazy), predictor).pixels
    served = answer(predictor, [{"energy_ev": ENERGY_EV.tolist(), "intensity": s.tolist()} for s in data[0]])
    # The server fits the onset of each spectrum, an image has one.
    np.testing.assert_allclose(
        found.probabilities, [list(a["probabilities"].values()) for a in served], atol=0.03
    )


def test_a_single_spectrum_a_line_scan_and_a_stack(predictor: Predictor) -> None:
    assert mnflow.predict(signal(image()[0, 0]), predictor).mean_valence.data.shape == (1,)
    line = mnflow.predict(signal(image()[0]), predictor).mean_valence
    assert line.axes_manager.signal_shape == (4,)
    stack = mnflow.predict(signal(np.stack([image(), image()])), predictor).mean_valence
    assert (stack.axes_manager.navigation_shape, stack.axes_manager.signal_shape) == ((2,), (4, 3))


def test_refuses_a_signal_without_energies(predictor: Predictor) -> None:
    bad = signal(image())
    bad.axes_manager.signal_axes[0].units = "nm"
    with pytest.raises(InputError, match="expected an energy axis in eV"):
        mnflow.predict(bad, predictor)
    with pytest.raises(InputError, match="got the same intensity or no number"):
        mnflow.predict(signal(np.full((2, 400), np.nan)), predictor)


def test_takes_the_path_of_a_file(predictor: Predictor, tmp_path: Path) -> None:
    signal(image()).save(tmp_path / "si.hspy")
    found = mnflow.predict(tmp_path / "si.hspy", predictor)
    assert (found.shape, found.title) == ((3, 4), "a test")


def test_the_unit_of_a_file_without_one_is_told_by_the_models_edge(
    predictor: Predictor, tmp_path: Path
) -> None:
    found = mnflow.predict(in_kev(tmp_path / "a.csv"), replace(predictor, edge=HIGHER))
    assert (found.shape, found.title) == ((), "a")
    assert abs(found.where.position.l3_ev - 742) < 1


def test_thickness_must_have_the_images_shape(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor, thickness=np.full((3, 4), 0.5))
    assert found.thickness is not None
    assert found.thickness.data.tolist() == [[0.5] * 4] * 3
    as_signal = mnflow.predict(signal(image()), predictor, thickness=found.thickness)
    assert as_signal.thickness_ratio is not None
    assert as_signal.thickness_ratio.tolist() == [0.5] * 12
    with pytest.raises(InputError, match=r"a thickness for each of 12 spectra, got shape \(3,\)"):
        mnflow.predict(signal(image()), predictor, thickness=np.ones(3))


def test_progress_is_shown_where_it_is_wanted(
    predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    mnflow.predict(signal(image()), predictor)
    maps.maps_of(raw_of_signal(signal(image())), predictor)
    assert capsys.readouterr().err == ""
    mnflow.predict(signal(image()), predictor, progress=True)
    shown = capsys.readouterr().err
    assert shown.lstrip("\r").startswith("valence:")
    assert "12/12" in shown
    assert "spectra/s" in shown or "s/spectra" in shown
    done: list[int] = []
    maps.maps_of(raw_of_signal(signal(image())), predictor, progress=done.append)
    assert sum(done) == 12
    assert capsys.readouterr().err == ""


def test_the_entry_point_writes_and_logs_maps(predictor: Predictor, store: Path) -> None:
    from entrypoints.predict import Options, run
    from mnflow.track import tracking

    model = predictor.save(store / "p.npz")
    signal(image()).save(store / "si.hspy")
    run_id = run(Options(file=str(store / "si.hspy"), model=str(model), out=str(store / "out")))
    names = [f"si_valence.{suffix}" for suffix in ("csv", "hspy", "pdf", "png")]
    assert sorted(p.name for p in (store / "out").iterdir()) == names
    logged = tracking.connect().get_run(run_id)
    assert logged.data.metrics["predict/spectra"] == 12
    assert "12 spectra" in logged.data.tags["mlflow.note.content"]


def test_the_entry_point_needs_a_file() -> None:
    from entrypoints.predict import Options, run

    with pytest.raises(InputError, match="Option file: expected the path of a file"):
        run(Options())


def test_loads_a_predictor_by_path(predictor: Predictor, tmp_path: Path) -> None:
    path = predictor.save(tmp_path / "artifacts" / "predictor.npz")
    assert maps.load_predictor(path).edge == maps.load_predictor(tmp_path).edge == predictor.edge


def test_says_which_model_it_is_and_which_references_condition_it(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mnflow.fit import own_references

    path = replace(predictor, edge=HIGHER, facts={"sets": "5"}).save(tmp_path / "p.npz")
    assert maps.load_predictor(path).facts == {"sets": "5", "model": choose_predictor(str(path))[1]}
    in_kev(tmp_path / "own" / "Mn2+" / "a.csv")
    given = []

    def conditioned(loaded: Predictor, references: References) -> Predictor:  # which takes a minute
        given.append(references)
        return replace(loaded, facts={**loaded.facts, "own_references": "1 spectrum"})

    monkeypatch.setattr(own_references, "conditioned", conditioned)
    found = maps.load_predictor(path, tmp_path / "own")
    source = choose_predictor(str(path))[1]
    assert found.facts["model"] == f"{source}, conditioned on 1 spectrum"
    assert found.facts["sets"] == "5"
    assert (given[0].spectra.edge, given[0].valence_text.tolist()) == (HIGHER, ["Mn2+"])


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prediction, "choose_predictor", lambda model: choose_predictor("shipped"))
    found = runpy.run_path(str(ROOT / "docs" / "examples" / "valence_map.py"))
    assert found["believed"].data.shape == found["maps"].shape
    assert found["whole"].n == found["believed"].data.size
    suffixes = ("csv", "hspy", "pdf", "png", "tif")
    assert sorted(p.name for p in tmp_path.glob("valence.*")) == [f"valence.{suffix}" for suffix in suffixes]


def test_the_request_of_the_documents_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs" / "examples" / "request.py"))
    request = json.loads(capsys.readouterr().out)
    (found,) = answer(choose_predictor("shipped")[0], request["inputs"])
    assert found["error"] is None
    assert found["interval"][0] <= found["mean_valence"] <= found["interval"][1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Importing `Lazy.*:Warning")  # exspy 0.3 on hyperspy 2.5
def test_the_dual_eels_example_finds_thickness_and_valence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(ROOT / "docs" / "examples" / "dual_eels.py"))
    np.testing.assert_allclose(found["measured"], found["wedge"], atol=0.05)
    valence = found["dual"].pixels.mean_valence
    assert np.abs(valence - 3).max() < 0.15
    low, high = found["dual"].pixels.interval.T
    assert ((low <= 3) & (high >= 3)).mean() > 0.8
    assert (tmp_path / "wedge.png").is_file()
