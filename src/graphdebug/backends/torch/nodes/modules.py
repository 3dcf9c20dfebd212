"""Modules: their attribute paths, the names of their parameters, and the lines that declared them."""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import torch
from torch import nn

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.source import (
    added_call,
    assigned_attribute,
    assigned_name,
    call_arguments,
    keyed_value,
    site_of,
)
from graphdebug.backends.torch.code.stack import StackReader, locals_of
from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.attributes import plain
from graphdebug.backends.torch.nodes.facts import in_memory, kind_of
from graphdebug.backends.torch.nodes.origins import Origins
from graphdebug.model.event import Declaration, Event, Origin, Site, TensorFact

__all__ = ["Modules"]

_SEQUENCES = nn.Sequential | nn.ModuleList | nn.ModuleDict
_Made = tuple[str, ast.expr] | None
"""File and expression that made a thing."""


class Modules:
    """The modules seen so far, by identity, with weak references."""

    def __init__(self, sink: Sink, stack: StackReader, origins: Origins) -> None:
        self._sink = sink
        self._origins = origins
        self._stack = stack
        self.paths: dict[int, tuple[weakref.ref[Any], str]] = {}
        """Modules by identity: the way back to each, and its attribute path."""
        self._tensors: dict[int, tuple[weakref.ref[Any], Origin, str, Callable[[], Any]]] = {}
        """Parameters and buffers: owner, origin, full name, and a lookup in the owner. No weak reference to the
        parameter itself: torch refuses to swap parameters that have one."""
        self._roots: set[str] = set()
        self._declared: dict[str, Declaration] = {}
        """By path, what was last said of a module there: it is said again only when it is another."""
        self.flattened: dict[str, tuple[int, int]] = {}
        """Flatten modules by path: the first and the last axis they join."""

    def path(self, module: Any, frame: FrameType | None) -> str:
        """Return the attribute path of a running module; a new tree is declared on the way."""
        known = self._known(module)
        if known is not None:
            return known
        module = _bare(module)
        outer = self._stack.outer_modules(frame)
        if self._known(_bare(outer[0]) if outer else None) is None or _is_part(module, _bare(outer[0])):
            root, name, made = self._root_of(module, frame)
            self._register(root, name, made)
        elif not self._register_loose(module, frame):  # made while another runs, as a loss in `forward`
            around = next((path for one in outer[-2::-1] if (path := self._known(one)) is not None), "")
            name = self.variable_name(module, frame) or type(module).__name__
            self._register(module, f"{around}.{name}" if around else name, None)
        return self._known(module) or ""

    def captured(self, module: Any, frame: FrameType | None) -> None:
        """Declare the module that dynamo captures: in the graph, paths begin below it, without its name."""
        if self._known(module) is None:
            self._register(module, "", _made_as(self._variable(module, frame))[1])

    def name_of(self, tensor: torch.Tensor) -> tuple[Any, str, Callable[[], Any]] | None:
        """Return origin and name of a parameter or buffer of a known module, and the way back to it."""
        entry = self._tensors.get(id(tensor))
        if entry is None or entry[3]() is not tensor:
            return None
        return entry[1], entry[2], entry[3]

    def parameter(self, name: str) -> torch.Tensor | None:
        """Return the parameter or buffer of this full name, if it is alive."""
        found = next((entry for entry in self._tensors.values() if name and entry[2] == name), None)
        tensor: torch.Tensor | None = found[3]() if found is not None else None
        return tensor

    def frozen(self) -> list[str]:
        """Return the names of the parameters seen that require no gradient."""
        found = ((entry[2], entry[3]()) for entry in self._tensors.values() if entry[1] == "parameter")
        return sorted(name for name, tensor in found if tensor is not None and not tensor.requires_grad)

    def loose(self, module: Any) -> tuple[str, str, Site] | None:
        """Return attribute, kind and line of layers or tensors that a module, or one in it, does not count as
        its own: in a plain list or dict, or plain tensors.
        """
        for owner in module.modules():
            for attribute, held in list(vars(owner).items()):
                if attribute.startswith("_"):
                    continue
                values = (
                    list(held.values())
                    if type(held) is dict
                    else held
                    if type(held) in (list, tuple)
                    else [held]
                )
                layers = type(held) in (list, tuple, dict) and any(isinstance(one, nn.Module) for one in values)
                tensors = any(isinstance(one, torch.Tensor) for one in values)
                made = assigned_attribute(type(owner), attribute) if layers or tensors else None
                if made is not None and self._sink.sites.is_user(made[0]):
                    return attribute, "layers" if layers else "tensors", self._site(made)
        return None

    def variable_name(self, value: Any, frame: FrameType | None) -> str:
        """Return the name of the user's variable that holds `value`, looking outwards from `frame`."""
        found = self._variable(value, frame)
        return found[0] if found else ""

    def holder(self, value: Any, attribute: str, frame: FrameType | None) -> str:
        """Return the name of the user's variable whose `attribute` is `value`, outwards from `frame`."""
        for one in self._stack.user_frames(frame):
            for name, held in locals_of(one).items():
                if getattr(held, "__dict__", {}).get(attribute) is value:
                    return name
        return ""

    def prune(self) -> None:
        """Forget modules that are gone, and with them their parameters."""
        tables: tuple[dict[int, Any], ...] = (self._tensors, self.paths)
        for table in tables:
            for key, entry in list(table.items()):
                if entry[0]() is None:
                    table.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self.paths.clear()
        self._tensors.clear()

    def _variable(self, value: Any, frame: FrameType | None) -> tuple[str, FrameType] | None:
        for one in self._stack.user_frames(frame):
            own = one.f_code.co_varnames[0] if one.f_code.co_argcount else ""
            for name, held in locals_of(one).items():
                itself = name == own and isinstance(value, nn.Module)  # a module's self is no name of it
                if not itself and _unwrapped(held) is value:
                    return name, one
        return None

    def _root_of(self, module: Any, frame: FrameType | None) -> tuple[Any, str, _Made]:
        """The outermost running module, or the user's variable that contains it, with the root's name."""
        outer = self._stack.outer_modules(frame)
        root = outer[0] if outer else module
        root = _bare(root)
        found = self._variable(root, frame)
        if found is None:
            owner = self._owner(root, frame)
            if owner is not None:
                root, found = owner
        variable, made = _made_as(found)
        bare = next(root.children(), None) is None
        name = (variable or type(root).__name__) if bare or "" in self._roots else ""
        return root, name, made

    def _owner(self, module: Any, frame: FrameType | None) -> tuple[Any, tuple[str, FrameType]] | None:
        for one in self._stack.user_frames(frame):
            for name, held in locals_of(one).items():
                if isinstance(held, nn.Module) and _is_part(module, held):
                    return held, (name, one)
        return None

    def _known(self, module: Any) -> str | None:
        """The path of a module seen before."""
        known = self.paths.get(id(module))
        return known[1] if known is not None and known[0]() is module else None

    def _register(self, root: Any, name: str, made: _Made) -> None:
        self._roots.add(name)
        events: list[Event] = []
        self._walk(root, name, made, events, set())
        self._sink.emit(events)

    def hold(self, module: Any) -> None:
        """Declare what `module`, and those in it, hold in plain lists and dicts: in a graph none is called."""
        for owner in list(_bare(module).modules()):
            self._register_held(owner)

    def _register_held(self, owner: Any) -> None:
        for attribute, held in list(vars(owner).items()):
            if attribute.startswith("_") or not isinstance(held, list | tuple | dict):
                continue
            pairs = held.items() if isinstance(held, dict) else enumerate(held)
            loose = [(key, one) for key, one in pairs if isinstance(one, nn.Module) and not self._known(one)]
            events: list[Event] = []
            for key, one in loose:
                path = ".".join(part for part in (self._known(owner) or "", attribute, str(key)) if part)
                self._walk(one, path, assigned_attribute(type(owner), attribute), events, set(), loose=True)
            self._sink.emit(events)

    def _register_loose(self, module: Any, frame: FrameType | None) -> bool:
        """Declare a module that a running one holds in a plain list or dict; return whether one does."""
        for owner in reversed(self._stack.outer_modules(frame)):
            for attribute, held in list(vars(owner).items()):
                if attribute.startswith("_") or not isinstance(held, list | tuple | dict):
                    continue
                pairs = held.items() if isinstance(held, dict) else enumerate(held)
                key = next((key for key, one in pairs if one is module), None)
                if key is not None:
                    around = self.paths.get(id(owner))
                    path = ".".join(part for part in (around[1] if around else "", attribute, str(key)) if part)
                    events: list[Event] = []
                    made = assigned_attribute(type(owner), attribute)
                    self._walk(module, path, made, events, set(), loose=True)
                    self._sink.emit(events)
                    return True
        return False

    def _walk(
        self, module: Any, path: str, made: _Made, events: list[Event], seen: set[int],
        callers: tuple[Site, ...] = (), *, loose: bool = False,
    ) -> None:  # fmt: skip
        """Declare a module and those in it.

        Args:
            module: the module.
            path: its attribute path.
            made: the expression that made it.
            events: takes the declarations.
            seen: the modules already declared.
            callers: the lines that made the modules it is in, innermost first.
            loose: no module knows it as its own.

        """
        if id(module) in seen:
            return
        seen.add(id(module))
        self.paths[id(module)] = weakref.ref(module), path
        if isinstance(module, nn.Flatten):
            self.flattened[path] = module.start_dim, module.end_dim
        tensors = self._own_tensors(module, path)
        declared = self._declare(module, path, made, tensors, callers)
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
                self._walk(child, inner, _made_child(module, key, made), events, seen, around)

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
                site = self._site(made)
                callers = (declared.site, *declared.callers) if declared.site is not None else declared.callers
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
                    self._tensors[id(own)] = weakref.ref(module), origin, name, lookup
                    self._origins.rename(own, self._origins.named(origin, name), lookup)
                    facts[key] = kind_of(tensor).fact
        return facts

    def _site(self, made: tuple[str, ast.expr]) -> Site:
        site = site_of(made[0], made[1])
        self._sink.sites.at(site.file, site.line)
        return site

    def _declare(
        self, module: Any, path: str, made: _Made, tensors: dict[str, TensorFact], callers: tuple[Site, ...]
    ) -> Declaration:
        site = self._site(made) if made is not None and self._sink.sites.is_user(made[0]) else None
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


def _bare(module: Any) -> Any:
    """The module itself, not torch.compile's wrapper: its paths are those of what it wraps."""
    return getattr(module, "_orig_mod", module)


def _is_part(module: Any, root: Any) -> bool:
    return any(part is module for part in root.modules())


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


def _unwrapped(held: Any) -> Any:
    """Return what torch.compile wrapped, or the value itself."""
    return held._orig_mod if type(held).__name__ == "OptimizedModule" else held


def _made_as(found: tuple[str, FrameType] | None) -> tuple[str, _Made]:
    """Return the name of a user's variable, and the expression that gave it its value."""
    if found is None:
        return "", None
    variable, code = found[0], found[1].f_code
    value = assigned_name(code.co_filename, variable, code.co_name)
    return variable, (code.co_filename, value) if value is not None else None


def _made_child(owner: Any, key: str, made: _Made) -> _Made:
    """Return what made a child: an argument of its sequence, or an assignment in its owner's class."""
    if isinstance(owner, nn.ModuleDict) and made is not None:
        return made[0], keyed_value(made[1], key)
    if isinstance(owner, _SEQUENCES) and made is not None:
        arguments = call_arguments(made[1])
        if arguments is not None and key.isdigit() and int(key) < len(arguments):
            one = arguments[int(key)]
            before = assigned_name(made[0], one.id, "") if isinstance(one, ast.Name) else None
            return made[0], before or one
        added = added_call(*made, type(owner._modules[key]).__name__)
        return (made[0], added) if added is not None else made
    return assigned_attribute(type(owner), key)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) <= 16 and all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)
