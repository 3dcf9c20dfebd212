"""Modules: the attribute path of a running one, and the names of parameters and of the user's variables."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import nn

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.source import assigned_attribute, assigned_name
from graphdebug.backends.torch.code.stack import StackReader, locals_of
from graphdebug.backends.torch.nodes.building import Building
from graphdebug.backends.torch.nodes.declaring import Declarer, Made
from graphdebug.backends.torch.nodes.origins import Origins
from graphdebug.model.event import Site

__all__ = ["Modules"]


class Modules:
    """The modules seen so far, by identity, with weak references."""

    def __init__(self, sink: Sink, stack: StackReader, origins: Origins) -> None:
        self._sink = sink
        self._stack = stack
        self._building = Building(sink)
        self._declarer = Declarer(sink, origins, self._building)
        self.paths, self.flattened = self._declarer.paths, self._declarer.flattened
        self._tensors, self._known = self._declarer.tensors, self._declarer.known
        self._roots: set[str] = set()

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
                    return attribute, "layers" if layers else "tensors", self._declarer.site(made)
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
        """Forget everything, and listen no more."""
        self._building.detach()
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

    def _root_of(self, module: Any, frame: FrameType | None) -> tuple[Any, str, Made]:
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
        made = made or self._made_outside(root, frame)
        bare = next(root.children(), None) is None
        name = (variable or type(root).__name__) if bare or "" in self._roots else ""
        return root, name, made

    def _made_outside(self, module: Any, frame: FrameType | None) -> Made:
        """The expression that made a module, where the innermost variable that holds it was only handed it."""
        for one in self._stack.user_frames(frame):
            for name, held in locals_of(one).items():
                made = _made_as((name, one))[1] if _unwrapped(held) is module else None
                if made is not None:
                    return made
        return None

    def _owner(self, module: Any, frame: FrameType | None) -> tuple[Any, tuple[str, FrameType]] | None:
        for one in self._stack.user_frames(frame):
            for name, held in locals_of(one).items():
                if isinstance(held, nn.Module) and _is_part(module, held):
                    return held, (name, one)
        return None

    def _register(self, root: Any, name: str, made: Made) -> None:
        self._roots.add(name)
        self._declarer.tree(root, name, made)

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
            for key, one in loose:
                path = ".".join(part for part in (self._known(owner) or "", attribute, str(key)) if part)
                self._declarer.tree(one, path, assigned_attribute(type(owner), attribute), loose=True)

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
                    made = assigned_attribute(type(owner), attribute)
                    self._declarer.tree(module, path, made, loose=True)
                    return True
        return False


def _bare(module: Any) -> Any:
    """The module itself, not torch.compile's wrapper: its paths are those of what it wraps."""
    return getattr(module, "_orig_mod", module)


def _is_part(module: Any, root: Any) -> bool:
    return any(part is module for part in root.modules())


def _unwrapped(held: Any) -> Any:
    """Return what torch.compile wrapped, or the value itself."""
    return held._orig_mod if type(held).__name__ == "OptimizedModule" else held


def _made_as(found: tuple[str, FrameType] | None) -> tuple[str, Made]:
    """Return the name of a user's variable, and the expression that gave it its value."""
    if found is None:
        return "", None
    variable, code = found[0], found[1].f_code
    value = assigned_name(code.co_filename, variable, code.co_name)
    return variable, (code.co_filename, value) if value is not None else None
