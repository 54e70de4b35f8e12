"""The registered model as MLflow calls it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

from mnflow.serve import model
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from tests.serve.test_answer import raw


@pytest.fixture
def loaded(predictor: Predictor, tmp_path: Path) -> model.ValenceModel:
    made = model.ValenceModel()
    made.load_context(SimpleNamespace(artifacts={"predictor": str(predictor.save(tmp_path / "p.npz"))}))  # type: ignore[arg-type]
    return made


def test_it_answers_as_the_predictor_that_was_saved(loaded: model.ValenceModel, predictor: Predictor) -> None:
    asked: list[Any] = [raw(), {"energy_ev": [1.0]}]
    assert loaded.predict(None, asked) == answer(predictor, asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked", "kind"), [("none", "str"), ({}, "dict")])
def test_what_is_no_list_of_spectra_is_refused_in_mlflows_words(
    loaded: model.ValenceModel, asked: Any, kind: str
) -> None:
    with pytest.raises(mlflow.MlflowException) as refused:
        loaded.predict(None, asked)  # type: ignore[arg-type]
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert refused.value.message == (
        'Expected {"inputs": [{"energy_ev": [...], "intensity": [...]}, ...]}, a list of spectra; '
        f"got {kind}."
    )


def test_mlflow_leaves_the_input_as_it_is() -> None:
    assert model.ValenceModel.predict._is_pyfunc is True

    def predict(spectra: Any) -> None: ...

    assert model._checks_its_input(predict) is predict
    assert predict._is_pyfunc is True  # type: ignore[attr-defined]
    assert model.ValenceModel._skip_type_hint_validation is True
