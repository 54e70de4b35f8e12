"""`make bench`: all benchmarks that need no served model, one after the other, as JSON lines.

`python -m benchmarks [--quick] [--torch PYTHON]`. Ten to fifteen minutes on two idle cores; with `--quick`
about a third of that. `--torch` names a Python with PyTorch to compare with, if this one has none (`make
bench TORCH=PYTHON`).
"""

import argparse
import subprocess
import sys

PARTS = {  # and what makes each quick
    ("training",): ["--quick"],
    ("evaluation",): ["--quick"],
    ("prediction",): ["--quick"],
    ("accuracy",): ["--quick"],
    ("preprocessing",): ["--side", "64"],
    ("preprocessing", "--gigabytes", "3"): ["--gigabytes", "0.3"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python with PyTorch, if this one has none")
    options = parser.parse_args()
    for (part, *arguments), less in PARTS.items():
        arguments += less if options.quick else []
        arguments += ["--torch", options.torch] if options.torch and part == "training" else []
        subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *arguments], check=True)


if __name__ == "__main__":
    main()
