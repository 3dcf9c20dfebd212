"""Templates: what all executions of one op at one place share, and which of its numbers change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphdebug.backends.torch.code.reshapes import asked_for, written_as
from graphdebug.backends.torch.nodes.attributes import Call, attributes_of, function_of, plain
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.backends.torch.nodes.origins import Trace
from graphdebug.backends.torch.nodes.records import sort_arguments
from graphdebug.model.event import Site

__all__ = ["Template"]

_RESHAPES = frozenset(("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias"))
_NUMBERS = (float, int)
Slot = int | str
"""Which argument: its place among those given by position, or the name that it was given by."""


class Template:
    """What all executions of one op at one place with arguments of the same kinds share.

    Args:
        op: the op.
        traces: its tensor arguments.
        statics: all its arguments, tensors replaced by a mark.
        site: the user's line.
        joined: the axes that a Flatten module joins.
        before: the template made here before, which these arguments did not fit.

    """

    __slots__ = ("attributes", "family", "function", "loose", "mutates", "roles", "shown", "statics")

    def __init__(
        self,
        op: Op,
        traces: list[Trace],
        statics: list[Any],
        site: Site | None,
        joined: tuple[int, int] | None,
        before: Template | None = None,
    ) -> None:
        self.statics = statics
        """The arguments; of those that change from one execution to the next, the type."""
        self.loose: dict[Slot, str] = {}
        """Those that change, each with the attribute that shows it, or with none."""
        arguments, values = sort_arguments(op, statics)
        call = Call(op, op.defaults | values, [trace[4].shape for trace in traces])
        self.function = function_of(call)
        self.family = op.family
        self.attributes = attributes_of(call)
        if "target" in self.attributes and op.name in _RESHAPES and traces:
            asked = asked_for(site, self.attributes["target"], traces[0][4].shape or (), joined)
            self.attributes["target"] = asked
            self.function = written_as(site, joined) or self.function
        self.roles = [op.roles.get(one, "") for one in arguments]
        self.mutates = tuple([i for i, one in enumerate(arguments) if one in op.writes])
        if before is not None:
            self._loosen(before, statics, call)
        places = {name: place for place, name in enumerate(self.attributes)}
        shown = [slot for slot, name in self.loose.items() if name]
        self.shown: tuple[Slot, ...] = tuple(sorted(shown, key=lambda slot: places[self.loose[slot]]))
        """The arguments that change and are shown, in the order of the attributes."""

    def fits(self, statics: list[Any]) -> bool:
        """Whether an execution with these arguments is one of this template's."""
        return not _differ(self.statics, _marked(statics, self.loose) if self.loose else statics)

    def attributes_with(self, statics: list[Any]) -> dict[str, Any]:
        """Return the attributes of an execution with these arguments."""
        if not self.shown:
            return self.attributes
        return self.attributes | {self.loose[slot]: plain(_at(statics, slot)) for slot in self.shown}

    def as_linear(self) -> None:
        """A product with a parameter is a linear layer without a bias."""
        self.function, self.family = "linear", "linear"
        self.roles, self.attributes = ["input", "weight"], {"weight_layout": "IO"}

    def _loosen(self, before: Template, statics: list[Any], call: Call) -> None:
        """Let the numbers change that differ between these arguments and those of the template before."""
        loose: dict[Slot, str] = dict(before.loose)
        marked = _marked(statics, loose)
        for slot in _different(before.statics, marked):
            attribute = _shown_by(call, slot, _at(statics, slot), _at(before.statics, slot))
            if attribute is None:
                return
            loose[slot] = attribute
        marked = _marked(marked, loose)
        if loose and not _differ(_marked(before.statics, loose), marked):
            self.statics, self.loose = marked, loose


def _differ(one: list[Any], other: list[Any]) -> bool:
    try:
        return one != other or [*map(type, one)] != [*map(type, other)]  # 1, 1.0 and True are equal
    except NotImplementedError:  # a process group, which can't be compared
        return True


def _different(one: list[Any], other: list[Any]) -> list[Slot]:
    """Return the arguments in which two lists of them differ."""
    found: list[Slot] = []
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if type(mine) is dict and type(theirs) is dict:
            found += [key for key in mine if key in theirs and _differ([mine[key]], [theirs[key]])]
        elif _differ([mine], [theirs]):
            found.append(index)
    return found


def _shown_by(call: Call, slot: Slot, value: Any, before: Any) -> str | None:
    """Return the attribute that is an argument's value, "" if none tells it; None if it may not change."""
    names = call.op.arguments
    name = slot if isinstance(slot, str) else names[slot] if slot < len(names) else ""
    other = _another(value)
    if other is None or type(before) is not type(value) or name not in call.values:
        return None
    changed = call._replace(values=call.values | {name: other})
    try:
        now, then = attributes_of(call), attributes_of(changed)
        if function_of(call) != function_of(changed) or now.keys() != then.keys():
            return None
    except Exception:  # not a value that this op takes
        return None
    different = [key for key in now if now[key] != then[key]]
    if not different:
        return ""
    (key, *more) = different
    told = type(value) in _NUMBERS and now[key] is value and then[key] is other
    return key if told and not more else None


def _at(statics: list[Any], slot: Slot) -> Any:
    return statics[-1][slot] if isinstance(slot, str) else statics[slot]


def _marked(statics: list[Any], slots: Iterable[Slot]) -> list[Any]:
    """Return the arguments with the type in place of each of these."""
    marked = list(statics)
    for slot in slots:
        if isinstance(slot, int):
            if slot < len(marked) and not isinstance(marked[slot], type):
                marked[slot] = type(marked[slot])
        elif marked and type(marked[-1]) is dict and slot in marked[-1]:
            value = marked[-1][slot]
            marked[-1] = {**marked[-1], slot: value if isinstance(value, type) else type(value)}
    return marked


def _another(value: Any) -> Any:
    """Return another value of the same type; None where it is no number, nor a list of numbers."""
    if type(value) is list:
        others = [_another(one) for one in value]
        return None if not others or None in others else others
    if type(value) is float:
        return 0.75 if value == 0.5 else 0.5
    return value + 1 if type(value) is int else None
