"""Fixtures of these tests."""

from tests.helpers.drawn_nets import nets, some

__all__ = ["nets", "some"]
