"""`mnflow view`: the page in the browser."""

import argparse
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The options, without importing anything that reads files."""
    options = argparse.ArgumentParser(
        prog="mnflow view",
        description="A page in the browser: drop a file, see the valence map, spectra and regions, export "
        "them. It listens on this machine only and loads nothing from the network.",
    )
    options.add_argument("file", nargs="?", metavar="FILE", help="what the page shows at first")
    options.add_argument("--port", type=int, default=0, help="default: any that is free")
    options.add_argument("--model", default="default", help="as in `mnflow predict`")
    options.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    options = parser().parse_args(argv)
    from mnflow.view.server import serve

    serve(options.file, options.port, options.model, show=not options.no_browser)
    return 0
