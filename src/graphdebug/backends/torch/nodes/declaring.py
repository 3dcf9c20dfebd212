"""Declaring modules: what each is, the line that made it, its parameters; a tree at a time."""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
from torch import nn

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.passed import listed, passed_in
from graphdebug.backends.torch.code.source import (
    added_call,
    assigned_attribute,
    assigned_name,
    call_arguments,
    keyed_value,
    site_of,
)
from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.attributes import plain
from graphdebug.backends.torch.nodes.building import Building, Lines
from graphdebug.backends.torch.nodes.facts import in_memory, kind_of
from graphdebug.backends.torch.nodes.origins import Origins
from graphdebug.model.event import Declaration, Event, Origin, Site, TensorFact

__all__ = ["Declarer", "Made"]

_SEQUENCES = nn.Sequential | nn.ModuleList | nn.ModuleDict
Made = tuple[str, ast.expr] | None
"""File and expression that made a thing."""


class Declarer:
    """Walks through trees of modules, gives each its path and declares it.

    Args:
        sink: takes the declarations.
        origins: learns the names of parameters and buffers.
        building: knows the lines that made what was made while recording.

    """

    def __init__(self, sink: Sink, origins: Origins, building: Building) -> None:
        self._sink = sink
        self._origins = origins
        self._building = building
        self.paths: dict[int, tuple[weakref.ref[Any], str]] = {}
        """Modules by identity: the way back to each, and its attribute path."""
        self.tensors: dict[int, tuple[weakref.ref[Any], Origin, str, Callable[[], Any]]] = {}
        """Parameters and buffers: owner, origin, full name, and a lookup in the owner. No weak reference to the
        parameter itself: torch refuses to swap parameters that have one."""
        self.flattened: dict[str, tuple[int, int]] = {}
        """Flatten modules by path: the first and the last axis they join."""
        self._declared: dict[str, Declaration] = {}
        """By path, what was last said of a module there: it is said again only when it is another."""

    def known(self, module: Any) -> str | None:
        """Return the path of a module seen before."""
        known = self.paths.get(id(module))
        return known[1] if known is not None and known[0]() is module else None

    def tree(self, root: Any, path: str, made: Made, *, loose: bool = False) -> None:
        """Declare `root` and the modules in it.

        Args:
            root: the module.
            path: its attribute path.
            made: the expression that made it.
            loose: no module knows it as its own.

        """
        events: list[Event] = []
        self._walk(root, path, made, events, set(), loose=loose)
        self._sink.emit(events)

    def site(self, made: tuple[str, ast.expr]) -> Site:
        """Return the line of what made a thing."""
        site = site_of(made[0], made[1])
        self._sink.sites.at(site.file, site.line)
        return site

    def _walk(
        self, module: Any, path: str, made: Made, events: list[Event], seen: set[int],
        callers: tuple[Site, ...] = (), *, given: Lines | None = None, loose: bool = False,
    ) -> None:  # fmt: skip
        """Declare a module and those in it.

        Args:
            module: the module.
            path: its attribute path.
            made: the expression that made it.
            events: takes the declarations.
            seen: the modules already declared.
            callers: the lines that made the modules it is in, innermost first.
            given: the lines that gave it to the module it is in, where they were seen.
            loose: no module knows it as its own.

        """
        if id(module) in seen:
            return
        seen.add(id(module))
        self.paths[id(module)] = weakref.ref(module), path
        if isinstance(module, nn.Flatten):
            self.flattened[path] = module.start_dim, module.end_dim
        tensors = self._own_tensors(module, path)
        declared = self._declare(module, path, tensors, self._lines(module, made, callers, given))
        if loose:
            declared.attributes["registered"] = False
        for one in (declared, *self._own_parameters(module, path, tensors, declared)):
            if self._declared.get(one.name) != one:
                self._declared[one.name] = one
                events.append(msgspec.structs.replace(one, seq=self._sink.next_seq()))
        # what stands among the arguments of a sequence was made where the sequence was
        around = (declared.site, *callers) if declared.site and not isinstance(module, _SEQUENCES) else callers
        for key, child in module._modules.items():
            if child is not None:
                inner = f"{path}.{key}" if path else key
                here = self._building.given(module, key)
                self._walk(child, inner, _made_child(module, key, made), events, seen, around, given=here)

    def _lines(self, module: Any, made: Made, callers: tuple[Site, ...], given: Lines | None) -> Lines:
        """Return the line that made a module and those around it: as seen, else as the source has it.

        Of a layer made of a line of settings, that line is its own.
        """
        seen = self._building.made(module)
        if seen is not None:
            setting = made is not None and isinstance(made[1], ast.Tuple | ast.List | ast.Dict)
            if setting and made is not None and seen[0] is not None:
                return self.site(made), (seen[0], *seen[1])
            return seen
        site = self.site(made) if made is not None and self._sink.sites.is_user(made[0]) else None
        if given is None or given[0] is None:
            return site, callers
        if site is None or (site.file, site.line) == (given[0].file, given[0].line):
            return site or given[0], given[1]
        return site, callers

    def _own_parameters(
        self, module: Any, path: str, tensors: dict[str, TensorFact], declared: Declaration
    ) -> list[Declaration]:
        """Declare the parameters that a class of the user's assigns itself."""
        found: list[Declaration] = []
        written = getattr(sys.modules.get(type(module).__module__), "__file__", None)
        if written is None or not self._sink.sites.is_user(written):
            return found
        for key, fact in tensors.items():
            made = assigned_attribute(type(module), key)
            if made is not None and self._sink.sites.is_user(made[0]):
                site = self.site(made)
                callers = (declared.site, *declared.callers) if declared.site is not None else declared.callers
                seen = self._building.given(module, key)
                if seen is not None and seen[0] is not None and seen[0].line != site.line:
                    site, callers = seen[0], seen[1]
                name = f"{path}.{key}" if path else key
                found.append(Declaration(0, name, "Parameter", site, "source", {}, {key: fact}, callers))
        return found

    def _own_tensors(self, module: Any, path: str) -> dict[str, TensorFact]:
        facts: dict[str, TensorFact] = {}
        tables: tuple[tuple[Origin, Any], ...] = (
            ("parameter", module._parameters),
            ("buffer", module._buffers),
        )
        for origin, held in tables:
            for key, tensor in held.items():
                if tensor is not None:
                    name = f"{path}.{key}" if path else key
                    lookup = _lookup(module, f"_{origin}s", key)
                    own = in_memory(tensor)
                    self.tensors[id(own)] = weakref.ref(module), origin, name, lookup
                    self._origins.rename(own, self._origins.named(origin, name), lookup)
                    facts[key] = kind_of(tensor).fact
        return facts

    def _declare(self, module: Any, path: str, tensors: dict[str, TensorFact], lines: Lines) -> Declaration:
        site, callers = lines
        attributes = {
            key: plain(value)
            for key, value in vars(module).items()
            if not key.startswith("_") and key != "training" and _is_plain(value)
        }
        return Declaration(
            0,
            path,
            type(module).__name__,
            site,
            "source" if site else "",
            attributes,
            tensors,
            callers,
        )


def _lookup(module: Any, table: str, key: str) -> Callable[[], Any]:
    """Return a way to a parameter or buffer that keeps neither it nor its module alive.

    Inside a ``torch.func`` transform a functional call puts a wrapped tensor in its place for a while.
    """
    if RECORD is not None and isinstance(getattr(module, table), dict):  # a script's is a wrapper
        way: Callable[[], Any] = RECORD.Way(module, table, key, nn.Parameter, in_memory)
        return way
    reference = weakref.ref(module)

    def find() -> Any:
        owner = reference()
        try:
            found = None if owner is None else getattr(owner, table)[key]
        except KeyError:
            return None
        return found if found is None or type(found) is nn.Parameter else in_memory(found)

    return find


def _made_child(owner: Any, key: str, made: Made) -> Made:
    """Return what made a child: an argument of its sequence, or an assignment in its owner's class."""
    if isinstance(owner, nn.ModuleDict) and made is not None:
        return made[0], keyed_value(made[1], key)
    if isinstance(owner, _SEQUENCES) and made is not None:
        arguments = call_arguments(made[1])
        if arguments is not None and key.isdigit() and int(key) < len(arguments):
            one = arguments[int(key)]
            before = assigned_name(made[0], one.id, "") if isinstance(one, ast.Name) else None
            return made[0], before or one
        one_each = listed(made, int(key), len(owner._modules)) if key.isdigit() else None
        if one_each is not None:
            return one_each
        added = added_call(*made, type(owner._modules[key]).__name__)
        return (made[0], added) if added is not None else made
    assigned = assigned_attribute(type(owner), key)
    passed = passed_in(type(owner), assigned[1], made) if assigned is not None else None
    return passed or assigned


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) <= 16 and all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)
