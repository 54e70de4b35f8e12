"""The served model over HTTP: a small ASGI app with a limit of the body, and a bound on its connections."""
