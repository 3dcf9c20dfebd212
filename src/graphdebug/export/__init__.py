"""Exports: a run in the formats that other tools read; a module a format, found by its name."""
