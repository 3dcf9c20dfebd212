"""The compiled part of recording eager ops, if it could be built: without it Python does the same, slower."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

__all__ = ["RECORD"]

RECORD: Any = None
with suppress(ImportError):
    RECORD = import_module("graphdebug.backends.tensorflow._record")
