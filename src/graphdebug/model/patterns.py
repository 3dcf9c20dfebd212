"""Patterns: how a user names nodes: by function, op, module, node name, or the line they ran on."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from graphdebug.model.event import Node

__all__ = ["matches"]


def matches(node: Node, patterns: Iterable[str]) -> bool:
    """Whether a glob pattern matches the node's function, op, module, name or ``file.py:line``."""
    line = f"{Path(node.site.file).name}:{node.site.line}" if node.site is not None else ""
    names = [name for name in (node.function, node.op, node.module, node.name, line) if name]
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)
