"""Exceptions: what raised, what it was given, and what the message quotes."""
