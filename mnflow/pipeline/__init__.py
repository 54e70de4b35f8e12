"""The steps: each combines packages and logs its results. Entry points parse options and call them."""
