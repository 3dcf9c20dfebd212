"""Scopes: the path of a layer from the name scope of an op, which TensorFlow numbers when it traces again."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["layer_path"]


def layer_path(scope: str, variables: Iterable[str]) -> str:
    """Return ``net/dense`` for the scope ``net_1/dense_1`` of a second trace.

    Args:
        scope: a name scope.
        variables: names of the variables seen: a layer's path is the start of its variables' names, which are
            not numbered again. What is below a scope that was numbered again was so too.

    """
    if not re.search(r"_\d+(/|$)", scope):
        return scope
    known: set[str] = set()
    for name in variables:
        parts = name.split("/")
        known.update("/".join(parts[:end]) for end in range(1, len(parts)))
    path: list[str] = []
    numbered = False
    for part in scope.split("/"):
        bare = re.sub(r"_\d+$", "", part)
        if "/".join([*path, part]) not in known and (numbered or "/".join([*path, bare]) in known):
            numbered = numbered or bare != part
            part = bare
        path.append(part)
    return "/".join(path)
