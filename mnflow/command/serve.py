"""`mnflow serve`: an HTTP server that answers spectra."""

import argparse
import sys
from collections.abc import Sequence


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
    """Serve the chosen model until Ctrl-C or SIGTERM."""
    options = parser().parse_args(argv)
    from mnflow import __version__
    from mnflow.pretrained.choose import choose_predictor
    from mnflow.serve.http.app import run

    predictor, source = choose_predictor(options.model)
    print(f"model: {source}; http://{options.host}:{options.port}/invocations", file=sys.stderr, flush=True)
    run(predictor, options.host, options.port, __version__)
    return 0
