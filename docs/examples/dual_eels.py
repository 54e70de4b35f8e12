"""Dual EELS, cell by cell: a wedge of one compound, whose thickness must not change its valence."""

# %% A wedge is simulated here. With files of your own:
# core, low = (hs.load(path) for path in ("core.dm4", "low.dm4"))
import hyperspy.api as hs
import numpy as np
from matplotlib.figure import Figure

import mnflow
from mnflow.simulate.image import material_edge
from mnflow.simulate.library import library_of
from mnflow.simulate.physics.scattering import convolve, plural_factor
from mnflow.simulate.settings import settings_of

rng, settings = np.random.default_rng(0), settings_of("mn")
step_ev = settings.edge.dispersion_ev
core_ev, low_ev = np.arange(580.0, 720.0, step_ev), np.arange(-20.0, 120.0, step_ev)
edge = material_edge(core_ev, settings, library_of(settings), 1, rng)  # of Mn3+
zero_loss = np.exp(-0.5 * (low_ev / 0.3) ** 2)
wedge = np.linspace(0.1, 1.5, 12)  # t/lambda, one per pixel
plural = plural_factor(settings.scattering.draw(1200, step_ev, rng), wedge, 8192)
edges = convolve(np.repeat(edge[None] / edge.max(), len(wedge), axis=0), plural, 8192)
background = 6 * (core_ev / core_ev[0]) ** -3.0
counts = rng.poisson(2e4 * (np.clip(edges, 0, None) + background))
losses = convolve(np.repeat(zero_loss[None] / zero_loss.sum(), len(wedge), axis=0), plural, 8192)
low_counts = rng.poisson(1e6 * np.clip(losses, 0, None))


def signal(spectra, energy_ev):
    """Spectra of a line scan as HyperSpy reads them from a file."""
    made = hs.signals.Signal1D(spectra.astype(np.float32))
    axis = made.axes_manager.signal_axes[0]
    axis.name, axis.units, axis.scale, axis.offset = "Energy loss", "eV", step_ev, energy_ev[0]
    made.set_signal_type("EELS")
    return made


core, low = signal(counts, core_ev), signal(low_counts, low_ev)

# %% Without and with the low loss
alone = mnflow.predict(core)
dual = mnflow.predict(core, low_loss=low)
for note in dual.notes:
    print(note)

# %% The thickness is measured, and the valence does not follow it
measured = dual.thickness.data.ravel()
print("t/lambda   measured   alone                 with the low loss")
for i, t in enumerate(wedge):
    answers = (f"{m.pixels.mean_valence[i]:.2f} {np.round(m.pixels.interval[i], 2)}" for m in (alone, dual))
    print(f"{t:8.2f}   {measured[i]:8.2f}   " + "      ".join(answers))

# %% The same as a figure
figure = Figure(figsize=(5, 3.4), layout="constrained")
axes = figure.subplots()
for maps, name in ((alone, "core loss alone"), (dual, "with the low loss")):
    valence, (below, above) = maps.pixels.mean_valence, maps.pixels.interval.T
    axes.errorbar(measured, valence, (valence - below, above - valence), fmt="o-", capsize=2, label=name)
axes.axhline(3, color="grey", lw=0.8)
axes.set(xlabel="t/lambda", ylabel="mean valence [90 % interval]", ylim=(1.9, 4.1))
axes.legend(frameon=False)
figure.savefig("wedge.png", dpi=150)
