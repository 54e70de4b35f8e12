"""A fuzzer over everything that reads a file: any bytes give spectra or an `InputError`.

    python -m tests.fuzz_readers --seconds 600 --seed 0 --keep FOLDER

takes small whole files, damages them at random and reads them. What ends in anything else, takes longer than
`SLOW_SECONDS` or more than `MAX_MEMORY` is kept in FOLDER and printed. `--only csv,pickle` chooses readers.
"""

import argparse
import contextlib
import pickle
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.read import read_file
from mnflow.read.source import read_manifest
from mnflow.serve.predictor import Predictor
from mnflow.simulate.settings import SETTINGS, load
from mnflow.spectra import MN, SpectrumSet
from tests.helpers.files import counts_image, write, write_dm3
from tests.helpers.files import signal as eels
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import spectra

SLOW_SECONDS = 10
MAX_MEMORY = 4_000_000_000
"""Address space in bytes: the libraries alone take 1.5 GB of it."""

TOKENS = [
    *b"nan inf -inf 1e999 -1 0 4294967295 18446744073709551615 99999999999".split(),
    *b"../../etc/passwd eV keV nm \x00 \xff\xff".split(),
    *(b", ; \n \r\n \t \" # [ ] { } = ' \xef\xbb\xbf \xe2\x80\xa8".split(b" ")),
    b"cos\nsystem\n", b"c__builtin__\neval\n", b"R.", b"(lp0\n", b"\x80\x05", b"\x8c\x02os", b"[[a]]\n",
    b"PK\x03\x04",
    b"\x93NUMPY", b"(" * 2000, b"[" * 2000, b"9" * 5000,
]  # fmt: skip


def whole_files(folder: Path) -> dict[str, list[Path]]:
    """Small files of every kind that are read without complaint."""
    rng = np.random.default_rng(0)
    counts = counts_image(rng, (2, 2), 900)
    table = np.random.default_rng(0).random((2, 700))
    made: dict[str, list[tuple[str, bytes]]] = {
        "csv": [
            ("a.csv", b"energy_ev,intensity\n" + b"".join(b"%.1f,%d\n" % (600 + i, i) for i in range(40))),
            ("b.txt", "# \u00b5\nEnergy loss (keV)\tI\n0.64\t1\n0.65\t2.5e3\n".encode()),
        ],
        "manifest": [("manifest.csv", b'file,valence,group\na.csv,Mn2+,lab\n"b.txt",Mn3+/Mn4+,\n')],
        "settings": [(p.name, p.read_bytes()) for p in SETTINGS.glob("*.toml")],
        "pickle": [(f"Mn2_615-685eV_{k}.pkl", pickle.dumps(table, protocol=k)) for k in (0, 2, 4)],
    }
    found: dict[str, list[Path]] = {}
    for kind, files in made.items():
        for name, content in files:
            path = folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            found.setdefault(kind, []).append(path)
    found["dataset"] = [spectra(6).save(folder / "dataset" / "a.npz")]
    (folder / "predictor").mkdir()
    found["predictor"] = [Predictor(MN, net=made_up_net(2)).save(folder / "predictor" / "p.npz")]
    found["hspy"] = [write(folder / "hspy" / "a.hspy", eels(counts))]
    found["emd"] = [write(folder / "emd" / "a.emd", eels(counts))]
    found["nxs"] = [write(folder / "nxs" / "a.nxs", eels(counts))]
    found["msa"] = [write(folder / "msa" / "a.msa", eels(counts[0, 0]))]
    found["dm3"] = [write_dm3(folder / "dm3" / "a.dm3", np.moveaxis(counts, -1, 0))]
    return found


READERS: dict[str, Callable[[Path], Any]] = {
    "manifest": lambda path: read_manifest(path.parent),
    "settings": load,
    "dataset": SpectrumSet.load,
    "predictor": Predictor.load,
}
"""Those that are not `read_file`."""


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight changes: bits, bytes, numbers or tokens; runs left out, doubled or moved; a cut end."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(0, len(data) + 1))
        run = int(rng.integers(1, 1 + min(64, max(len(data), 1))))
        match int(rng.integers(0, 8)):
            case 0 if data:
                data[at % len(data)] ^= 1 << int(rng.integers(0, 8))
            case 1 if data:
                data[at % len(data)] = int(rng.integers(0, 256))
            case 2:
                data[at : at + 4] = int(rng.choice([0, 1, 255, 2**31 - 1, 2**32 - 1])).to_bytes(
                    4, rng.choice(["little", "big"])
                )
            case 3:
                del data[at : at + run]
            case 4:
                data[at:at] = data[at : at + run]
            case 5:
                to = int(rng.integers(0, len(data) + 1))
                data[to:to] = data[at : at + run]
            case 6:
                data[at:at] = TOKENS[int(rng.integers(0, len(TOKENS)))]
            case 7 if rng.random() < 0.2:
                del data[at:]
    return bytes(data)


def _too_slow(*_: Any) -> None:
    raise TimeoutError(f"longer than {SLOW_SECONDS} s")


def try_one(kind: str, path: Path) -> str:
    """What became of it: `read`, `refused`, or the traceback of a finding."""
    signal.alarm(SLOW_SECONDS)
    try:
        READERS.get(kind, read_file)(path)
        return "read"
    except InputError:
        return "refused"
    except KeyboardInterrupt:
        raise
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.alarm(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time to spend")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers, separated by commas")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for what is found")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    rng = np.random.default_rng(options.seed)
    counts: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        whole = whole_files(Path(name) / "whole")
        for kind, paths in whole.items():
            for path in paths:
                assert try_one(kind, path) in ("read", "refused"), path
        kinds = [k for k in whole if not options.only or k in options.only.split(",")]
        spent = dict.fromkeys(kinds, 0.0)
        with contextlib.suppress(KeyboardInterrupt):  # ends it early
            while sum(spent.values()) < options.seconds:
                kind = min(spent, key=lambda k: spent[k])  # each gets the same time
                began = time.process_time()
                source = whole[kind][int(rng.integers(0, len(whole[kind])))]
                path = Path(name) / "damaged" / kind / source.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(damaged(source.read_bytes(), rng))
                outcome = try_one(kind, path)
                spent[kind] += max(time.process_time() - began, 1e-4)
                counts[kind, outcome if outcome in ("read", "refused") else "FOUND"] += 1
                if outcome not in ("read", "refused"):
                    line = outcome.strip().splitlines()[-1][:200]
                    where = [
                        text.strip() for text in outcome.splitlines() if text.strip().startswith("File")
                    ][-1]
                    if (kind + where) not in seen:
                        seen.add(kind + where)
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / f"{kind}-{len(seen)}-{source.name}").write_bytes(path.read_bytes())
                        print(f"{kind}: {line}\n    {where}", flush=True)
    for kind in kinds:
        print(kind, {what: n for (k, what), n in sorted(counts.items()) if k == kind}, f"{spent[kind]:.0f} s")


if __name__ == "__main__":
    main()
