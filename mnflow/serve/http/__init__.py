"""The served model over HTTP: a small ASGI app, and a bound on its connections."""
