"""The steps and presets: each combines packages and logs its results; entry points parse and call."""
