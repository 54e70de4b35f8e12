"""`make bench`: all benchmarks that need no served model, one after the other, as JSON lines.

`python -m benchmarks [--quick]`. Ten to fifteen minutes on two idle cores; with `--quick` about a third of that.
"""

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
    quick = "--quick" in sys.argv[1:]
    for (part, *arguments), less in PARTS.items():
        subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *arguments, *(less if quick else [])], check=True)


if __name__ == "__main__":
    main()
