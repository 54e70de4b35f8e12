"""Whole commands, servers and pages, as a user runs them."""
