"""`mnflow serve`: an HTTP server that answers spectra, by MLflow."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="mnflow serve",
        description="Answer spectra over HTTP: POST /invocations with "
        '{"inputs": [{"energy_ev": [...], "intensity": [...]}]} (docs/serve.md).',
    )
    options.add_argument("--port", type=int, default=5001, help="default: 5001")
    options.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    options.add_argument("--model", default="default", help="as in `mnflow predict`")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the chosen model until Ctrl-C."""
    options = parser().parse_args(argv)
    from mnflow.pretrained.choose import choose_predictor
    from mnflow.promote.served import save_model

    predictor, source = choose_predictor(options.model)
    with tempfile.TemporaryDirectory(prefix="mnflow-serve-") as folder:
        model = save_model(predictor, Path(folder))
        print(
            f"model: {source}; http://{options.host}:{options.port}/invocations", file=sys.stderr, flush=True
        )
        words = ["models", "serve", "--env-manager", "local", "-m", str(model)]
        # MLflow starts uvicorn by its name: that of this environment
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        try:
            return subprocess.run(
                [sys.executable, "-m", "mlflow", *words, "-h", options.host, "-p", str(options.port)],
                env=os.environ | {"PATH": path},
                check=False,
            ).returncode
        except KeyboardInterrupt:
            return 0
