"""Patterns: events rendered from an earlier run are the events that would have been made and encoded anew."""

from __future__ import annotations

import pytest

from graphdebug.backends.pattern import Pattern
from graphdebug.log.codec import decode, encode
from graphdebug.model.event import Event, Gradient, Node, Operand, Stats, TensorFact

TEXT = b'{"zero":2,"min":-1.5,"max":7.0,"mean":2.25,"l2":8.0}'


def run(first: int, step: int, time: float, outer: int, stats: Stats, name: str = "net/MatMul") -> list[Event]:
    """Return what a small run gives: a node, a view of it, a gradient."""
    made = TensorFact((2, 3), "float32", finite=True, stats=stats)
    view = TensorFact((6,), "float32", alias_of=first, finite=True)
    given = Operand(TensorFact((2,), "int32"), "node", outer)
    earlier = Operand(TensorFact((2,), "int32"), "node", 3)
    return [
        Node(first, step, "MatMul", "matmul", "matmul", "tensorflow", "session", name=name,
             inputs=(given, earlier), outputs=(made,), time=time),
        Node(first + 1, step, "Reshape", "reshape", "reshape", "tensorflow", "session",
             inputs=(Operand(made, "node", first),), outputs=(view,), forward=first, time=time),
        Gradient(first + 2, step, made, "w", first, producer=first + 1),
    ]  # fmt: skip


def pattern_of(events: list[Event]) -> Pattern:
    node = events[0]
    assert isinstance(node, Node)
    return Pattern(events, {id(node.outputs[0]): 0}, places=1, time=1.25, outer=[7])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["net/MatMul", "a 71000000000000000 of the user's", 'ünï %d "quoted"'])
def test_a_run_made_from_a_pattern_is_the_run_made_anew(name):
    first = pattern_of(run(10, 4, 1.25, 7, Stats(min=0.5, max=2.0), name))
    batch = first.again(100, 9, [TEXT], time=2.5, outer=[55])
    expected = run(100, 9, 2.5, 55, Stats(zero=2, min=-1.5, max=7.0, mean=2.25, l2=8.0), name)
    assert list(batch) == expected
    assert [decode(line) for line in encode(batch).splitlines()] == expected


def test_a_batch_answers_as_a_list_of_events_does():
    batch = pattern_of(run(10, 4, 1.25, 7, Stats(min=0.5))).again(20, 5, [TEXT], time=3.0, outer=[8])
    assert (len(batch), batch[0].seq, batch[-1].seq, [one.seq for one in batch[1:]]) == (3, 20, 22, [21, 22])
