"""The flight recorder writes what it holds when something goes wrong, and only then."""

from __future__ import annotations

from itertools import count

import pytest

from graphdebug.log.flight import FlightRecorder
from graphdebug.model.event import Declaration, End, Failure, Gradient, Node, Stats, TensorFact
from graphdebug.model.store import MemoryStore


def node(seq, step, *, finite=True):
    fact = TensorFact(shape=(2,), dtype="float32", finite=finite)
    return Node(seq, step, "aten::add", "add", "elementwise", "torch", "eager", outputs=(fact,))


def gradient(seq, step, l2):
    return Gradient(seq, step, TensorFact(shape=(2,), dtype="float32", stats=Stats(l2=l2)), name="w")


@pytest.fixture
def log():
    return MemoryStore()


@pytest.fixture
def flight(log):
    return FlightRecorder(log, 2, count(1000).__next__)


def written(log):
    return [event.seq for event in log.events() if event.seq < 1000]


def test_a_run_without_trouble_writes_what_describes_it_and_no_nodes(log, flight):
    for step in range(5):
        flight.write([node(step, step)])
    flight.write([Declaration(10, "fc", "Linear"), End(11, "completed", 5, 7, 0.1)])
    flight.close()
    assert written(log) == [10, 11]


def test_a_nonfinite_value_writes_the_held_steps_and_the_rest_of_its_own(log, flight):
    for step in range(4):
        flight.write([node(step, step)])
    flight.write([node(4, 4), node(5, 4, finite=False)])
    flight.write([node(6, 4)])
    flight.write([node(7, 5)])
    assert written(log) == [3, 4, 5, 6]
    assert [one.text for one in log.events() if one.kind == "notice"] == [
        "the flight recorder wrote steps 3 to 4: a value in step 4 is not finite"
    ]


def test_a_gradient_spike_against_the_median_of_the_steps_before_writes(log, flight):
    for step, norm in enumerate([1.0, 1.2, 0.9, 1.1, 40.0, 1.0]):
        flight.write([gradient(step, step, norm)])
    assert written(log) == [3, 4]
    assert [one.text for one in log.events() if one.kind == "notice"] == [
        "the flight recorder wrote steps 3 to 4: the gradient norm of step 4, 40, is a spike (median 1.1)"
    ]


def test_a_spike_in_the_last_step_writes_before_the_end(log, flight):
    for step, norm in enumerate([1.0, 1.2, 0.9, 40.0]):
        flight.write([gradient(step, step, norm)])
    flight.write([End(9, "completed", 4, 5, 0.1)])
    assert written(log) == [2, 3, 9]


def test_a_failure_writes_and_asking_writes(log, flight):
    flight.write([node(0, 0)])
    flight.write([Failure(1, 0, "RuntimeError", "boom")])
    flight.write([node(2, 1)])
    flight.dump()
    assert written(log) == [0, 1, 2]
    texts = [one.text for one in log.events() if one.kind == "notice"]
    assert texts == [
        "the flight recorder wrote steps 0 to 0: RuntimeError was raised",
        "the flight recorder wrote steps 0 to 1: asked for",
    ]
