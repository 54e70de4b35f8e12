"""`predict`: an EELS signal or a file in, valence maps out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnflow.errors import InputError
from mnflow.maps.pixels import place_image, read_pixels
from mnflow.maps.signals import axes_and_metadata, kept_metadata, navigation_axes, raw_of_signal
from mnflow.maps.thickness import raw_of_low_loss
from mnflow.maps.valence_maps import ValenceMaps
from mnflow.preprocess.low_loss import single_scattering
from mnflow.pretrained.choose import DEFAULT, choose_predictor
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal


def predict(
    spectra: "BaseSignal | str | Path",
    model: "str | Path | Predictor" = DEFAULT,
    thickness: Any = None,
    progress: bool = False,
    low_loss: "BaseSignal | str | Path | None" = None,
) -> ValenceMaps:
    """Determine the valence in every pixel of an EELS signal or a file.

    Parameters
    ----------
    spectra : hyperspy signal, str or Path
        Any navigation dimensions, one signal axis in eV, keV or meV; lazy ones stay lazy. Background on or
        removed. Or the path of a file that `mnflow.read` knows.
    model : str, Path or Predictor
        A model URI, a model's folder, or a predictor. Default: the champion of the project's registry if
        there is one, else the shipped model; `maps.predictor.facts["model"]` says which it was.
    thickness : array or signal, optional
        t/lambda of every pixel, of the image's shape.
    progress : bool
        Whether to show a progress bar.
    low_loss : hyperspy signal, str or Path, optional
        Low losses of the same pixels, or one for all: plural scattering is taken out with them, and
        `maps.thickness` is measured. A file that holds both needs none.

    Returns
    -------
    ValenceMaps

    Raises
    ------
    InputError
        If the energy axis, the shape of the thickness or the model cannot be used.

    Examples
    --------
    >>> import hyperspy.api as hs, mnflow
    >>> maps = mnflow.predict(hs.load("my_image.hspy", lazy=True))
    >>> maps.masked().mean_valence.plot()
    >>> maps.plot().savefig("my_image.pdf")
    """
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    if isinstance(spectra, str | Path):
        from mnflow.read import read_file

        raw, signal = read_file(spectra, edge=predictor.edge), None
    else:
        raw, signal = raw_of_signal(spectra), spectra
    if low_loss is not None:
        raw = replace(raw, low_loss=raw_of_low_loss(low_loss))
    return maps_of(raw, predictor, signal, thickness, progress)


def maps_of(
    raw: RawSpectra,
    predictor: Predictor,
    signal: "BaseSignal | None" = None,
    thickness: Any = None,
    progress: bool | Callable[[int], None] = False,
) -> ValenceMaps:
    """Maps of spectra already read, with the navigation axes and metadata of `signal`, else of the file.

    Plural scattering is removed where the spectra's low loss is known.

    `progress` shows a bar, or is called with the number of spectra that are done since its last call.
    """
    axes, metadata = (
        axes_and_metadata(raw) if signal is None else (navigation_axes(signal), kept_metadata(signal))
    )
    raw = single_scattering(raw, predictor.edge)
    ratio = raw.thickness
    if thickness is not None:
        ratio = np.asarray(getattr(thickness, "data", thickness), dtype=np.float64)
        if ratio.size != len(raw):
            raise InputError(f"Expected a thickness for each of {len(raw)} spectra, got shape {ratio.shape}.")
        ratio = ratio.ravel()
    where = place_image(raw, predictor)
    if callable(progress):
        pixels = read_pixels(raw, predictor, where, progress)
    else:
        from tqdm import tqdm

        with tqdm(total=len(raw), unit="spectra", desc="valence", disable=not progress) as bar:
            pixels = read_pixels(raw, predictor, where, bar.update)
    return ValenceMaps(pixels, axes, metadata, raw, where, predictor, thickness_ratio=ratio)


def load_predictor(model: str | Path = DEFAULT, own_references: str | Path | None = None) -> Predictor:
    """The predictor of a registered model (a `models:/` URI) or of a model's folder.

    Nothing is unpickled. Its `facts["model"]` says which model it is. With a folder `own_references` of pure
    spectra of the same instrument, it is conditioned on them (`mnflow.fit.own_references`).
    """
    predictor, source = choose_predictor(str(model))
    if own_references is not None:
        from mnflow.fit.own_references import conditioned  # SciPy and the simulator: a second to import
        from mnflow.references import read_references

        predictor = conditioned(predictor, read_references(own_references, predictor.edge))
        source += f", conditioned on {predictor.facts['own_references']}"
    return replace(predictor, facts={**predictor.facts, "model": source})
