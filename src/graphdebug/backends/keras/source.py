"""Finding in the user's source the line that made a layer, for layers made before recording began."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from graphdebug.model.event import Site
from graphdebug.model.site import SiteFinder
from graphdebug.model.syntax import tree_of_text

__all__ = ["made_at"]


def made_at(layer: Any, sites: SiteFinder) -> Site | None:
    """Return the one call in the user's loaded files that can have made `layer`, or None.

    A call fits if it names the layer's class, and the numbers and words written in it are the layer's. Of
    several the only one counts that is in a file whose code is running, where none has more of them written.
    """
    fitting = [
        (file, call, said)
        for file in _user_files(sites)
        for call in _calls(file)
        if _named(call) == type(layer).__name__ and (said := _fit(call, layer)) is not None
    ]
    if len(fitting) > 1:
        most = max(said for _, _, said in fitting)
        running = _running_files()
        fitting = [one for one in fitting if one[0] in running and one[2] == most]
    if len(fitting) != 1:
        return None
    file, call, _ = fitting[0]
    return Site(
        file, call.lineno, call.col_offset, call.end_lineno or 0,
        -1 if call.end_col_offset is None else call.end_col_offset,
    )  # fmt: skip


def _user_files(sites: SiteFinder) -> list[str]:
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    return sorted(file for file in files if file.endswith(".py") and sites.is_user(file))


@lru_cache(maxsize=256)
def _calls(file: str) -> tuple[ast.Call, ...]:
    tree = tree_of_text("".join(linecache.getlines(file)))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call)) if tree is not None else ()


def _named(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _running_files() -> set[str]:
    files, frame = set(), sys._getframe()
    while frame is not None:
        files.add(frame.f_code.co_filename)
        frame = frame.f_back  # type: ignore[assignment]
    return files


def _fit(call: ast.Call, layer: Any) -> int | None:
    """Return how many constants of a call are the layer's, or None if one is not."""
    config = getattr(getattr(layer, "_auto_config", None), "config", None) or {}
    said = 0
    for name, value in _constants(call, list(config)):
        known = layer.name if name == "name" else config.get(name, value)
        if known != value:
            return None
        said += name in config or name == "name"
    return said


def _constants(call: ast.Call, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield parameter and value of the constants in a call, positional ones by the constructor's order."""
    for name, value in [*zip(names, call.args, strict=False), *((one.arg, one.value) for one in call.keywords)]:
        if isinstance(value, ast.Constant) and name is not None:
            yield name, value.value
