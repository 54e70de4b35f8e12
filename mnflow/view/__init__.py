"""`mnflow view`: spectra and their valence maps on a local page in the browser; needs the extra `[view]`."""

from mnflow.view.server import serve

__all__ = ["serve"]
