"""Fixtures that every test runs under."""

from __future__ import annotations
