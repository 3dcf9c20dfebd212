"""Run: the events of one execution, indexed and queryable; the same in memory as read from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from graphdebug.errors import GraphDebugError
from graphdebug.model.event import (
    Declaration,
    End,
    Event,
    Failure,
    Framework,
    Gradient,
    Node,
    Notice,
    Operand,
    RunStart,
    Shape,
    Source,
    ToolError,
)
from graphdebug.model.finding import Finding
from graphdebug.model.store import EventStore

__all__ = ["Run", "StepSlice"]


class StepSlice:
    """The part of a run that belongs to one step."""

    def __init__(self, store: EventStore, number: int) -> None:
        self._store = store
        self.number = number

    @property
    def nodes(self) -> Sequence[Node]:
        """Nodes executed in this step, in order."""
        return self._store.of_step(Node, self.number)

    @property
    def gradients(self) -> Sequence[Gradient]:
        """Gradients of this step, in order."""
        return self._store.of_step(Gradient, self.number)


class Showing(Protocol):
    """What shows a run: the views, which the model does not know."""

    def html(self, run: Run) -> str:
        """Return `run` as HTML for a notebook."""
        ...

    def arrow(self, run: Run) -> Any:
        """Return the nodes of `run` as an Arrow table."""
        ...

    def pandas(self, run: Run) -> Any:
        """Return the nodes of `run` as a pandas frame."""
        ...


class Run:
    """One recorded execution: its events, its nodes, and the findings drawn from them.

    Args:
        store: where the events are.
        diagnose: makes findings of a run; without it `findings` is empty.
        showing: shows the run in notebooks and as tables; without it the run has neither.

    """

    def __init__(
        self,
        store: EventStore,
        *,
        diagnose: Callable[[Run], Sequence[Finding]] | None = None,
        showing: Showing | None = None,
    ) -> None:
        self._showing = showing
        self._store = store
        self._diagnose = diagnose
        self._findings: Sequence[Finding] | None = None
        self._sources: dict[str, list[str]] | None = None

    @property
    def store(self) -> EventStore:
        """Where the events are."""
        return self._store

    @property
    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        return self.store.events()

    @property
    def nodes(self) -> Sequence[Node]:
        """Every execution of every op, in order."""
        return self.store.of_kind(Node)

    @property
    def gradients(self) -> Sequence[Gradient]:
        """Gradients of parameters, and of intermediate tensors where recorded."""
        return self.store.of_kind(Gradient)

    @property
    def failures(self) -> Sequence[Failure]:
        """Exceptions that framework calls raised, those that were caught included."""
        return self.store.of_kind(Failure)

    @property
    def declarations(self) -> Sequence[Declaration]:
        """Layers, parameters, variables and placeholders, with the lines that made them."""
        return self.store.of_kind(Declaration)

    @property
    def notices(self) -> Sequence[Notice]:
        """Where the recorder was blind or changed what ran."""
        return self.store.of_kind(Notice)

    @property
    def tool_errors(self) -> Sequence[ToolError]:
        """Failures of graphdebug itself."""
        return self.store.of_kind(ToolError)

    @property
    def frameworks(self) -> Sequence[Framework]:
        """The frameworks that were recorded, with their versions."""
        return self.store.of_kind(Framework)

    @property
    def start(self) -> RunStart | None:
        """The first event: what was run, where, with which options."""
        return next(iter(self.store.of_kind(RunStart)), None)

    @property
    def end(self) -> End | None:
        """The last event, or None where the run was cut off (or is still going on).

        With ranks: that of a rank that did not complete, if there is one.
        """
        ends = list(self.store.of_kind(End))
        failed = next((end for end in ends if end.status != "completed"), None)
        if failed is not None or not ends:
            return failed
        return ends[0] if len(ends) >= len(self.ranks) else None

    @property
    def damage(self) -> Sequence[str]:
        """One line for each thing in the log that could not be read."""
        return self.store.damage

    @property
    def findings(self) -> Sequence[Finding]:
        """What the diagnosis says of this run, the most certain first."""
        if self._findings is None:
            self._findings = tuple(self._diagnose(self)) if self._diagnose else ()
        return self._findings

    @property
    def steps(self) -> Sequence[int]:
        """The numbers of the steps that have nodes, rising."""
        return self.store.steps()

    def step(self, number: int) -> StepSlice:
        """Return the nodes and gradients of step `number` (counted from 0)."""
        return StepSlice(self.store, number)

    def event(self, seq: int) -> Event | None:
        """Return the event with this sequence number, or None."""
        return self.store.by_seq(seq)

    def node(self, seq: int | None) -> Node | None:
        """Return the node with this sequence number, or None if there is none."""
        event = None if seq is None else self.store.by_seq(seq)
        return event if isinstance(event, Node) else None

    def producer(self, operand: Operand) -> Node | None:
        """Return the node that made `operand`, or None if no recorded node did."""
        return self.node(operand.producer)

    def chain(self, operand: Operand) -> Iterator[Node]:
        """Yield the producers of `operand`, nearest first, following each node's first produced input."""
        node = self.producer(operand)
        while node is not None:
            yield node
            following = (self.producer(one) for one in node.inputs if one.producer is not None)
            node = next((one for one in following if one is not None and one.seq < node.seq), None)

    @property
    def ranks(self) -> Sequence[int]:
        """The ranks of the distributed job that recorded this run; empty where there are none."""
        return [start.rank for start in self.store.of_kind(RunStart) if start.rank is not None]

    def rank(self, event: Event) -> int | None:
        """Return the rank that recorded `event`, or None where there are no ranks."""
        return self.store.rank_of(event.seq)

    def first_nonfinite(self) -> Node | None:
        """Return the first node with a NaN or Inf in an output, or None; level health or above."""
        return next((node for node in self.nodes if any(fact.finite is False for fact in node.outputs)), None)

    def shape_of(self, name: str) -> Shape:
        """Return the shape of what the module, layer or node `name` put out last in forward.

        Args:
            name: a module path (``encoder.conv2``), its last part (``conv2``), or a node's name or scope.

        Raises:
            LookupError: nothing of that name was recorded; the message lists what was.

        """
        return self.output_of(name).outputs[0].shape or ()

    def output_of(self, name: str) -> Node:
        """Return the last forward node of the module, layer or node `name`; raises as `shape_of` does."""
        places = [(place, node) for node in self.nodes if node.phase == "forward" and node.outputs
                  for place in {node.module, node.name} if place]  # fmt: skip
        for is_it in (_is_in, _ends_in):
            found = [node for place, node in places if is_it(place, name)]
            if found:
                return found[-1]
        known = ", ".join(dict.fromkeys(place for place, _ in places)) or "no module or named node"
        raise LookupError(f"no module, layer or node {name!r} was recorded: there are {known}")

    def declaration(self, name: str) -> Declaration | None:
        """Return the declaration of the layer, parameter, variable or placeholder `name`, or None."""
        return next((one for one in self.declarations if one.name == name), None)

    def source_lines(self, file: str) -> Sequence[str]:
        """Return the lines of a user's file as it was when recorded; empty if the log lacks it."""
        return self._kept_sources().get(file, ())

    @property
    def source_files(self) -> Sequence[str]:
        """The user's files whose text the log has."""
        return list(self._kept_sources())

    def _kept_sources(self) -> dict[str, list[str]]:
        if self._sources is None:
            self._sources = {one.file: one.text.splitlines() for one in self.store.of_kind(Source)}
        return self._sources

    def to_arrow(self) -> Any:
        """Return the nodes as a pyarrow.Table, one typed row a node (docs/view.md lists the columns).

        Raises:
            GraphDebugError: pyarrow is not installed, or this run was made by hand.

        """
        return self._shown_by().arrow(self)

    def to_pandas(self) -> Any:
        """Return the nodes as a pandas.DataFrame, with the columns of `to_arrow`.

        Raises:
            GraphDebugError: pandas or pyarrow is not installed, or this run was made by hand.

        """
        return self._shown_by().pandas(self)

    def _repr_html_(self) -> str | None:
        return None if self._showing is None else self._showing.html(self)

    def _shown_by(self) -> Showing:
        if self._showing is None:
            raise GraphDebugError("this run has no tables: read it with graphdebug.load, or record it")
        return self._showing


def _is_in(place: str, name: str) -> bool:
    """Whether the module path or node name `place` is `name` or below it."""
    return place == name or place.startswith((f"{name}.", f"{name}/"))


def _ends_in(place: str, name: str) -> bool:
    """Whether `name` is a part of the path `place` in its own right."""
    return f".{name}." in f".{place.replace('/', '.')}."
