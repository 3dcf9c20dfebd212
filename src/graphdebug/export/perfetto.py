"""Perfetto reads the Chrome trace."""

from __future__ import annotations

from graphdebug.export.chrome import SUFFIX, write

__all__ = ["SUFFIX", "write"]
