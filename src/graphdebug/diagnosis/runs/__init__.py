"""Runs beside each other: two recordings, or the ranks of one."""
