"""Comparing a compiled program with its eager run."""
