"""The registered model as MLflow loads it (models from code); nothing is unpickled."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import BaseModel, Field

from mnflow.serve.answer import answer
from mnflow.serve.http.app import App, create
from mnflow.serve.http.connections import bound_connections
from mnflow.serve.predictor import Predictor


class Spectrum(BaseModel):
    """One raw spectrum: energies in eV, intensities in arbitrary units; any steps and calibration."""

    energy_ev: list[float]
    intensity: list[float]


class Opinion(BaseModel):
    """A value measured by hand's rules, and the range of the mean valence that goes with it, if known."""

    value: float
    mean_valence: tuple[float, float] | None = None


class Answer(BaseModel):
    """The answer for one spectrum; see `mnflow.serve.answer.answer`.

    `class` is a Python keyword, hence the alias.
    """

    valence: str | None = Field(None, alias="class")
    probabilities: dict[str, float] | None = None
    fractions: dict[str, float] | None = None
    mean_valence: float | None = None
    interval: tuple[float, float] | None = None
    t_over_lambda: tuple[float, float, float] | None = None
    disagreement: float | None = None
    moved_ev: float | None = None
    second_opinions: dict[str, Opinion | None] | None = None
    flags: list[str]
    notes: list[str] = []
    error: str | None = None


def _checks_its_input(predict: Callable[..., Any]) -> Callable[..., Any]:
    """Tell MLflow so: it would refuse a whole batch for one bad spectrum, and check every number twice."""
    predict._is_pyfunc = True  # type: ignore[attr-defined]
    return predict


_SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that loads the model and then makes MLflow's app, which uvicorn takes from it by name."""


def _take_over(module: ModuleType, ours: App) -> None:
    """Replace MLflow's scoring app by ours.

    MLflow's decodes a request twice, bounds neither size nor parts, and has pages that load outside scripts.

    The module's own `app` is still to be made when the model is loaded; a property goes before it.
    """
    from uvicorn.protocols.http import auto

    class Server(ModuleType):
        app = property(lambda _: ours)

    module.__class__ = Server
    # the one that uvicorn takes: of this process, which does nothing but serve
    bound_connections(auto.AutoHTTPProtocol)


class ValenceModel(PythonModel):
    """Raw spectra in, valences out."""

    _skip_type_hint_validation = True  # belongs to `_checks_its_input`

    def load_context(self, context: PythonModelContext) -> None:
        """Read the predictor; in MLflow's server, let our app take the place of MLflow's."""
        self.predictor = Predictor.load(context.artifacts["predictor"])
        module = sys.modules.get(_SERVER)
        if module is not None:
            _take_over(module, create(self.predictor, mlflow.__version__))

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
        return answer(self.predictor, model_input)  # type: ignore[return-value]


mlflow.models.set_model(ValenceModel())
