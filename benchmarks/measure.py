"""What all benchmarks share: made-up spectra of any number, repeats, and one JSON line a result."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnflow.spectra import MN, Edge, SpectrumSet
from mnflow.train.settings import TrainSettings

ROOT = Path(__file__).resolve().parent.parent

SHIFTS_ONLY = TrainSettings(noise_augmentation=False, degraded_copies=0)
"""The paper's training, which does what the other implementations do."""


def emit(name: str, **values: Any) -> dict[str, Any]:
    """Print a result as one JSON line, numbers to four digits, and return it."""
    row = {
        "benchmark": name,
        **{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()},
    }
    print(json.dumps(row), flush=True)
    return row


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load and versions: a time means nothing without them."""
    from importlib.metadata import version

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": os.getloadavg()[0],  # of others, if this is not near 0: then trust ratios only
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "keras", "tensorflow", "numpy", "distributed")},
    }


class Seconds(NamedTuple):
    """Wall time, and processor time of this process with all its threads."""

    wall: float
    cpu: float

    def times(self, factor: float) -> "Seconds":
        """The same for `factor` times the work."""
        return Seconds(self.wall * factor, self.cpu * factor)


def median_seconds(action: Callable[[], Any], repeats: int = 3) -> Seconds:
    """Medians of the times of `action`."""
    seconds = []
    for _ in range(repeats):
        start = Seconds(time.perf_counter(), time.process_time())
        action()
        seconds.append((time.perf_counter() - start.wall, time.process_time() - start.cpu))
    wall, cpu = np.median(seconds, axis=0)
    return Seconds(float(wall), float(cpu))


def spectra(n: int, edge: Edge = MN, seed: int = 0) -> SpectrumSet:
    """`n` made-up spectra with two noisy lines: what they show does not matter for speed."""
    rng = np.random.default_rng(seed)
    energy_ev = edge.wide_ev[0] + edge.dispersion_ev * np.arange(edge.n_wide, dtype=np.float64)
    valence = np.arange(n) % len(edge.classes)
    shapes = np.stack([np.exp(-(((energy_ev - 641 - k) / 1.5) ** 2)) for k in range(len(edge.classes))])
    intensity = shapes[valence].astype(np.float32)
    intensity += 0.02 * rng.standard_normal(intensity.shape, dtype=np.float32)
    return SpectrumSet(energy_ev, intensity, valence, np.full(n, "made up"), edge, "made up")


def in_own_process(
    module: str, *arguments: str, python: str = sys.executable, **environment: str
) -> dict[str, Any]:
    """Run `python -m module ...` in a clean process and return its last line, which is JSON."""
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
