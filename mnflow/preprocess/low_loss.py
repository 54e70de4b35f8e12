"""Low losses beside a core loss: relative thickness, and the edge without plural scattering."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError

Floats = NDArray[np.float64]


def thickness(energy_ev: Floats, low_loss: NDArray[Any]) -> Floats:
    """Relative thickness t/lambda (N,) of low-loss spectra (N, C) that begin before the zero-loss peak.

    The logarithm of all counts over those of the zero-loss peak, which ends at the first minimum after
    it. Egerton, doi:10.1007/978-1-4419-9583-4.

    Raises
    ------
    InputError
        If the zero-loss peak is not on the axis (C,).

    Examples
    --------
    >>> import numpy as np
    >>> energy_ev = np.arange(-20, 200, 0.5)
    >>> zero_loss = 1000 * np.exp(-energy_ev**2)
    >>> losses = 20 * np.exp(-(((energy_ev - 22) / 6) ** 2))
    >>> thickness(energy_ev, (zero_loss + losses)[None]).round(2)
    array([0.11])
    """
    spectra = np.asarray(low_loss, dtype=np.float64)
    end = _zero_loss_end(energy_ev, spectra)
    inside = np.arange(len(energy_ev)) < end[:, None]
    elastic = np.where(inside, spectra, 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(spectra.sum(axis=1) / elastic))


def without_plural_scattering(
    step_ev: float, edge: NDArray[Any], energy_ev: Floats, low_loss: NDArray[Any]
) -> Floats:
    """The edges (N, C), free of background, without plural scattering: by Fourier ratio with the low losses.

    Each edge's transform is divided by that of its low loss and multiplied by that of the zero-loss peak,
    which keeps the resolution and the noise as they were. Egerton, doi:10.1007/978-1-4419-9583-4.

    Parameters
    ----------
    step_ev : float
        Channel width of the edges' uniform axis.
    edge : ndarray, shape (N, C)
        Edges from before their onset, on a uniform axis.
    energy_ev : ndarray, shape (L,)
        The low losses' axis.
    low_loss : ndarray, shape (N, L) or (1, L)
        Low losses of the same places, or one for all.

    Raises
    ------
    InputError
        If the zero-loss peak is not on the axis.
    """
    spectra = np.asarray(low_loss, dtype=np.float64)
    end = _zero_loss_end(energy_ev, spectra)
    channels = edge.shape[1]
    size = 1 << int(np.ceil(np.log2(3 * channels)))
    out = np.empty(edge.shape)
    for i, counts in enumerate(np.asarray(edge, dtype=np.float64)):
        row = min(i, len(spectra) - 1)
        centre = float(energy_ev[spectra[row, : end[row]].argmax()])
        # the low loss on the edge's channels, its zero-loss peak in channel 0 and what is before it at the
        # end
        at_ev = step_ev * (np.arange(size) - size // 2)
        counted = np.interp(at_ev, energy_ev - centre, spectra[row], left=0.0, right=0.0)
        limit_ev = float(energy_ev[end[row] - 1]) - centre
        elastic = np.where(at_ev <= limit_ev, counted, 0.0)
        both = np.fft.rfft(np.fft.ifftshift(np.stack([counted, elastic]), axes=1), axis=1)
        floor = 1e-6 * np.abs(both[0]).max()
        ratio = np.where(np.abs(both[0]) > floor, both[1] / np.where(both[0] == 0, 1, both[0]), 1.0)
        # the end runs out smoothly, so that the transform sees no step
        fall = counts[-1] * 0.5 * (1 + np.cos(np.pi * np.linspace(0, 1, channels)))
        padded = np.zeros(size)
        padded[:channels], padded[channels : 2 * channels] = counts, fall
        out[i] = np.fft.irfft(np.fft.rfft(padded) * ratio, size)[:channels]
    return out


def _zero_loss_end(energy_ev: Floats, spectra: Floats) -> NDArray[np.int64]:
    """First channel (N,) behind the zero-loss peak: the first minimum of spectra (N, C) within 8 eV after it."""
    if energy_ev[0] > -1.0 or energy_ev[-1] < 20.0:
        raise InputError(
            f"Expected a low loss from before the zero-loss peak to 20 eV or more, got {energy_ev[0]:.1f} "
            f"... {energy_ev[-1]:.1f} eV."
        )
    peak = spectra.argmax(axis=1)
    step = float(np.median(np.diff(energy_ev)))
    reach = max(2, round(8.0 / step))
    index = np.minimum(peak[:, None] + np.arange(reach + 1), spectra.shape[1] - 1)
    after = np.take_along_axis(spectra, index, axis=1)
    rises = np.diff(after, axis=1) >= 0
    return np.asarray(peak + np.where(rises.any(axis=1), rises.argmax(axis=1), reach))
