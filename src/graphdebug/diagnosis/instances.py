"""Instances: declarations that one line of a helper or class made many of, told apart by the calls around."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from graphdebug.model.event import Declaration, Site

__all__ = ["around", "stack", "told_apart"]


def told_apart(declarations: Sequence[Declaration], ran: Callable[[], set[str]]) -> list[Declaration]:
    """Return the declarations, those made by one line of a helper function at the lines that called it.

    The line itself is then the first of those around.

    A class's line that makes a layer of every instance is to blame as long as no other instance has worked.
    """
    names: dict[tuple[Site | None, Site | None], set[str]] = {}
    for one in declarations:
        for site in (one.site, *one.callers):
            names.setdefault((one.site, site), set()).add(_owner(one))
    told: list[Declaration] = []
    worked: set[str] | None = None
    for one in declarations:
        alike = names[one.site, one.site]
        own = next((site for site in (one.site, *one.callers) if len(names[one.site, site]) == 1), one.site)
        if own != one.site and (one.how == "source" or _of_layer(one)):
            worked = ran() if worked is None else worked
            if not any(_within(name, worked) for name in alike - {_owner(one)}):
                own = one.site
        stack = one.callers if one.site is None else (one.site, *one.callers)
        told.append(one if own == one.site else msgspec.structs.replace(one, site=own, callers=stack))
    return told


def stack(declared: Declaration) -> Sequence[Site]:
    """Return the lines that led to a declaration, the one that made it first."""
    told = declared.site is None or declared.site in declared.callers
    return declared.callers if told else (declared.site, *declared.callers)  # type: ignore[arg-type] # it has one


def around(declared: Declaration) -> Sequence[Site]:
    """Return the lines that called for what the declaration's own line made, the nearest first."""
    lines = stack(declared)
    return lines[lines.index(declared.site) + 1 :] if declared.site in lines else lines


def _owner(one: Declaration) -> str:
    """Return the layer that `one` is, or is a weight of; else its own name."""
    return str(one.attributes.get("layer") or one.name)


def _of_layer(one: Declaration) -> bool:
    """Whether `one` is a layer that is called by itself, or a weight of one; a graph's variable is not."""
    return "layer" in one.attributes or one.type not in ("Variable", "Placeholder", "Constant")


def _within(name: str, modules: set[str]) -> bool:
    """Whether a layer, or the layer of a parameter, is among `modules`."""
    return name in modules or name.rpartition("." if "." in name else "/")[0] in modules
