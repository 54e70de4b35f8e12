"""Tests mirror the packages file by file; `system` runs whole commands, `helpers` is shared."""
