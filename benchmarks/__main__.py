"""`make bench`: all benchmarks that need no served model, one after the other, as JSON lines.

`python -m benchmarks [--quick]`. About ten minutes on two idle cores; with `--quick` about three.
"""

import subprocess
import sys

PARTS = (
    "benchmarks.training",
    "benchmarks.evaluation",
    "benchmarks.prediction",
    "benchmarks.accuracy",
    "benchmarks.preprocessing",
)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    for part in PARTS:
        less = ["--side", "64"] if part.endswith("preprocessing") else ["--quick"]
        subprocess.run([sys.executable, "-m", part, *(less if quick else [])], check=True)


if __name__ == "__main__":
    main()
