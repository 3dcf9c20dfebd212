"""Plan: what a traced function does, op by op, flattened through the functions it calls."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from graphdebug.model.event import Family, Level, Operand, Phase, Site, TensorFact

__all__ = ["COPY", "Called", "Control", "Entry", "Gradients", "Plan", "Ref", "Slots", "numbers"]

COPY = "_graphdebug_"
"""Stands between a function's name and a number in the name of the copy that is run instead."""

numbers = itertools.count()
"""Tell apart the copies, and the places where things are kept."""


class Ref(NamedTuple):
    """A tensor inside a plan: an output of an entry, an argument, or something known beforehand."""

    kind: Literal["entry", "argument", "known"]
    at: int = 0
    output: int = 0
    known: Operand | None = None


@dataclass(slots=True)
class Entry:
    """One op of the function."""

    op: str
    name: str
    """Path of the op through the functions that call each other, as TensorFlow's errors name it."""
    function: str
    family: Family
    phase: Phase
    module: str
    sites: tuple[Site, ...]
    """The user's lines that built it, innermost first."""
    inputs: tuple[tuple[Ref, str], ...]
    """The operands and their roles."""
    outputs: list[TensorFact]
    """What is known of the outputs before anything runs."""
    attributes: dict[str, Any] = field(default_factory=dict)
    forward: str = ""
    """Path of the forward op in the same function, for a backward op."""
    beside: bool = False
    """Whether the forward op ran just before it, in the same round of the same loop."""
    alias: bool = False
    """Whether output 0 shares the memory of input 0."""
    wanted: bool = True
    execution: Literal["executed", "inferred", "fused", "removed", "raised"] = "executed"
    control: Control | None = None
    source: Any = None
    """The op of the user's graph."""
    home: str = ""
    """The function it is in, by its name in the runtime."""


@dataclass(slots=True)
class Control:
    """A branch or a loop: the plans of its bodies, and where their records are put."""

    loop: bool
    bodies: list[Plan]
    """The branches of a cond in the order of their numbers (else, then), or the body of a loop."""
    words: list[str]
    """What stands for each body in the paths of its ops: ``body``, ``then``, ``else``, ``branch0``."""
    condition: Plan | None = None
    """What a loop asks before each round; it stands once for all of them."""

    @property
    def parts(self) -> list[Plan]:
        """All plans of it."""
        return self.bodies if self.condition is None else [*self.bodies, self.condition]


@dataclass(slots=True)
class Slots:
    """Where in the summaries that come out of a function a thing is found."""

    floats: list[tuple[int, int]] = field(default_factory=list)
    """Entry and output of each summary of numbers."""
    elements: list[tuple[int, int, int]] = field(default_factory=list)
    """Entry, output and size of each small tensor whose elements come out."""
    small: list[tuple[int, int, int]] = field(default_factory=list)
    """The same of small tensors of which it is only asked whether they are finite."""
    values: list[tuple[int, int, int]] = field(default_factory=list)
    """Entry, output and number of each sample of values."""
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    """Entry, output and rank of each shape, -1 where the rank comes out before it; output -1 is the number of
    iterations, or of the branch taken."""

    whole: list[tuple[int, int, int]] = field(default_factory=list)
    """Entry, output and size of each tensor of whole numbers that is calculated with, and of what becomes such;
    size 0 where its measures come out and not its elements."""

    @property
    def looked(self) -> list[tuple[int, int]]:
        """Entry and output of each tensor whose numbers come out, in their order."""
        return [*self.floats, *((index, output) for index, output, _ in [*self.elements, *self.small])]


class Called(NamedTuple):
    """A function that is called without being inlined: its numbers come out of the call, by themselves."""

    start: int
    """Its first entry."""
    slots: Slots


class Gradients(NamedTuple):
    """A gradient that the function computes, of a variable or of a forward tensor."""

    variable: str
    """Its name, empty for that of a tensor."""
    ref: Ref
    forward: str = ""
    """Path of the forward op whose output it is the gradient of."""
    output: int = 0


@dataclass(slots=True)
class Plan:
    """A function, ready to be recorded when it runs."""

    name: str
    """Name of the function that is run instead, which hands the summaries out too; the user's own where there
    is nothing to add."""
    entries: list[Entry] = field(default_factory=list)
    outputs: list[Ref] = field(default_factory=list)
    slots: Slots = field(default_factory=Slots)
    """Where its numbers are in what comes out; those of its branches and calls follow in the order of these."""
    calls: list[Called] = field(default_factory=list)
    """The functions that are called without being inlined; their entries are among its own."""
    extras: int = 0
    """Outputs that were added to the user's."""
    outer: bool = True
    """Whether it is no body of a loop or branch."""
    unknown: str = ""
    """Why it is not known what the runtime makes of it, so that nothing of it is looked at; empty if it is."""
    stage: str = ""
    """Where the records of the rounds of a loop wait until the function has returned."""
    staged: list[Any] = field(default_factory=list)
    """The dtypes of those records."""
    kept: dict[int, tuple[str, list[Any]]] = field(default_factory=dict)
    """Entries that can't be run again: where their outputs are kept until the function has returned."""
    gradients: list[Gradients] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    """Arguments that are measured: they are calculated with, and may leave the range of whole numbers."""
    within: dict[tuple[int, int], tuple[Any, Any, int | None]] = field(default_factory=dict)
    """What can be measured, by entry and output: the node, dtype and number of elements of a tensor."""
    updates: bool = False
    """Whether it computes gradients and writes variables: a training step."""
    compiled: bool = False
    """Whether XLA compiles it: then nothing in it can be looked at."""
    draws: bool = False
    """Whether it draws random numbers by a seed and was traced before the recording: then it is run as it is,
    since a copy of it would begin anew."""
    added: list[str] = field(default_factory=list)
    """Names of the functions made for this plan."""
    repeats: bool = False
    """Whether each call runs the same nodes, and none of them is asked for later."""
    alike: list[Any] = field(default_factory=list)
    """Calls as patterns for those like them (`again.Again`)."""
    _expected: list[list[TensorFact]] | None = None

    @property
    def unseen(self) -> bool:
        """Whether nothing in it can be looked at."""
        return self.compiled or self.draws

    @property
    def title(self) -> str:
        """What the user calls the function: ``step`` for ``__inference_step_42``."""
        return re.sub(r"^__(?:inference|forward|backward)_|_\d+(?:_graphdebug_\d+)?$", "", self.name)

    def expected(self, level: Level) -> list[list[TensorFact]]:
        """Return the facts of all entries if nothing is wrong, which is nearly always."""
        if self._expected is None:
            every = (self.slots, *(call.slots for call in self.calls)) if level == "health" else ()
            looked = {place for slots in every for place in slots.looked}
            self._expected = [
                [replace(fact, finite=True) if (index, output) in looked else fact
                 for output, fact in enumerate(entry.outputs)]
                for index, entry in enumerate(self.entries)
            ]  # fmt: skip
        return self._expected

    def size(self) -> tuple[int, int, int]:
        """Return how much has been read into it."""
        return len(self.entries), len(self.calls), len(self.gradients)

    def shorten(self, size: tuple[int, int, int]) -> None:
        """Forget what was read into it since it was of that size."""
        del self.entries[size[0] :], self.calls[size[1] :], self.gradients[size[2] :]
        for index in [one for one in self.kept if one >= size[0]]:
            del self.kept[index]

    def find(self, is_wanted: Callable[[Entry], bool]) -> list[tuple[Plan, int]]:
        """Return the plan and number of an entry, behind those of the branches and loops it is in."""
        for index, entry in enumerate(self.entries):
            if is_wanted(entry):
                return [(self, index)]
            for part in entry.control.parts if entry.control is not None else ():
                inner = part.find(is_wanted)
                if inner:
                    return [(self, index), *inner]
        return []

    def controls(self) -> Iterator[Control]:
        """Yield the branches and loops of this plan, inner ones after their outer ones."""
        for entry in self.entries:
            if entry.control is not None:
                yield entry.control
                for body in entry.control.bodies:
                    yield from body.controls()
