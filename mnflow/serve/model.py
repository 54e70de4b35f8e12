"""The registered model, as MLflow loads it: this file is run as it is (models from code), and nothing is
unpickled.
"""

import sys
from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import BaseModel, Field

from mnflow.errors import InputError
from mnflow.serve.answer import answer
from mnflow.serve.limits import harden
from mnflow.serve.predictor import Predictor


class Spectrum(BaseModel):
    """One raw spectrum: energies in eV, intensities in arbitrary units; any steps, any calibration,
    background on or off.
    """

    energy_ev: list[float]
    intensity: list[float]


class Answer(BaseModel):
    """What is said of one spectrum; see `mnflow.serve.answer.answer`. `class` is a Python keyword, hence the
    alias.
    """

    valence: str | None = Field(None, alias="class")
    probabilities: dict[str, float] | None = None
    fractions: dict[str, float] | None = None
    mean_valence: float | None = None
    interval: tuple[float, float] | None = None
    disagreement: float | None = None
    moved_ev: float | None = None
    flags: list[str]
    error: str | None = None


def _checks_its_input(predict: Callable[..., Any]) -> Callable[..., Any]:
    """Tell MLflow so: it would refuse a whole batch for one bad spectrum, and check every number twice."""
    predict._is_pyfunc = True  # type: ignore[attr-defined]
    return predict


class ValenceModel(PythonModel):
    """Raw spectra in, valences out."""

    _skip_type_hint_validation = True  # belongs to `_checks_its_input`

    def load_context(self, context: PythonModelContext) -> None:
        """Read the nets' weights; in a server, see `mnflow.serve.limits` too."""
        server = sys.modules.get("mlflow.pyfunc.scoring_server")
        if server is not None:
            harden(server, lambda inputs: self.predict(context, inputs))
        self.predictor = Predictor.load(context.artifacts["predictor"])

    @_checks_its_input
    def predict(
        self, context: PythonModelContext, model_input: list[Spectrum], params: dict[str, Any] | None = None
    ) -> list[Answer]:
        """Answer every spectrum; see `mnflow.serve.answer.answer`."""
        if not isinstance(model_input, list):
            raise mlflow.MlflowException.invalid_parameter_value(
                'Expected {"inputs": [{"energy_ev": [...], "intensity": [...]}, ...]}, a list of spectra; '
                f"got {type(model_input).__name__}."
            )
        try:
            return answer(self.predictor, model_input)  # type: ignore[return-value]
        except InputError as error:
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ValenceModel())
