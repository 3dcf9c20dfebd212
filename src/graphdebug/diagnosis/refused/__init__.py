"""Refused: what a framework would not run, and the line that asked for it."""
