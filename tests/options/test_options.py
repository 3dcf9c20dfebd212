"""Every option means the same in each framework and mode: one set of checks over training loops of all."""

from __future__ import annotations

import io
import math
import signal

import pytest

import graphdebug
from tests.options import tf1_loops, tf2_loops, torch_loops

LOOPS = {**torch_loops.LOOPS, **tf1_loops.LOOPS, **tf2_loops.LOOPS}


@pytest.fixture(params=LOOPS)
def loop(request):
    return LOOPS[request.param]()


def not_finite_at(bad):
    return lambda step, x: x * math.inf if step == bad else x


def notices(run, topic):
    return [one.text for one in run.notices if one.topic == topic]


def trained(run):
    """The steps in which an update was recorded."""
    return [step for step in run.steps if any(node.phase == "optimizer" for node in run.step(step).nodes)]


def written(run):
    return [step for step in run.steps if len(run.step(step).nodes)]


def is_relu(node, loop):
    return node.phase == "forward" and loop.relu in (node.op, node.function)


def test_a_step_ends_with_its_update_and_has_all_its_phases_and_gradients(loop):
    with graphdebug.record() as run:
        loop.train(3)
    assert trained(run) == [0, 1, 2]
    for step in range(3):
        assert {node.phase for node in run.step(step).nodes} >= {"forward", "backward", "optimizer"}
        assert {one.name for one in run.step(step).gradients} == loop.parameters


def test_the_users_word_counts_for_steps(loop):
    with graphdebug.record() as run:
        for steps in (1, 2, 3):
            loop.train(steps)
            run.step()
    counts = [sum(is_relu(node, loop) for node in run.step(step).nodes) for step in run.steps]
    assert [count for count in counts if count] == [1, 2, 3]


def test_every_third_step_is_recorded(loop, tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", every=3):
        loop.train(7)
    assert trained(graphdebug.load(tmp_path / "run.jsonl")) == [0, 3, 6]


def test_a_filter_of_modules_keeps_what_it_names_and_nothing_else(loop):
    with graphdebug.record(modules=[loop.encoder], phases=["forward"]) as run:
        loop.train(2)
    assert any(is_relu(node, loop) or node.family in ("linear", "matmul") for node in run.nodes)
    stem = loop.encoder.removesuffix("*")
    assert [node.module for node in run.nodes if stem not in node.module] == []
    assert {node.phase for node in run.nodes} == {"forward"}


def test_a_filter_of_ops_keeps_what_it_names_and_nothing_else(loop):
    with graphdebug.record(ops=[loop.relu]) as run:
        loop.train(2)
    assert run.nodes
    assert [node.op for node in run.nodes if loop.relu not in (node.op, node.function)] == []


def test_a_filter_of_phases_keeps_what_it_names_and_nothing_else(loop):
    with graphdebug.record(phases=["backward"]) as run:
        loop.train(2)
    assert {node.phase for node in run.nodes} == {"backward"}


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
def test_a_level_has_its_facts_and_none_of_a_higher_one(loop, level):
    with graphdebug.record(level=level) as run:
        loop.train(2)
    nodes = [node for node in run.step(1).nodes if node.execution == "executed" and not node.mutates]
    facts = [fact for node in nodes for fact in node.outputs if "float" in fact.dtype]
    assert all(fact.shape is not None for fact in facts)
    assert any(fact.finite is True for fact in facts) == (level != "shapes")
    forward = [fact for node in nodes if node.phase == "forward" for fact in node.outputs if fact.shape != ()]
    known = any(fact.stats is not None for fact in forward)  # of losses and small gradients they always are
    assert known == (level in ("stats", "values"))
    assert any(len(fact.values) > 0 for fact in facts) == (level == "values")


@pytest.mark.parametrize("gradients", ["none", "parameters", "all"])
def test_gradients_are_recorded_of_what_is_asked_for(loop, gradients):
    with graphdebug.record(gradients=gradients) as run:
        loop.train(2)
    named = {one.name for one in run.gradients if one.name} - {"x:0"}  # "all" has the feed's too
    others = [one for one in run.gradients if not one.name]
    assert named == (set() if gradients == "none" else loop.parameters)
    assert bool(others) == (gradients == "all")
    assert all(run.node(one.node).phase == "forward" for one in others)


def test_the_flight_recorder_writes_nothing_of_a_run_that_goes_well(loop, tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", keep_last=2):
        loop.train(5)
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert list(run.nodes) == []
    assert run.end.status == "completed"


def test_the_flight_recorder_writes_the_last_steps_when_a_value_is_not_finite(loop, tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", keep_last=2):
        loop.train(5, spoil=not_finite_at(4))
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert written(run)[:2] == [3, 4]
    told = notices(run, "flight")
    assert told[0] == "the flight recorder wrote steps 3 to 4: a value in step 4 is not finite"
    assert len(told) == 1 + loop.looks_ahead  # Keras reads its metrics after the last step
    assert {node.phase for node in run.step(4).nodes} >= {"forward", "backward", "optimizer"}
    assert run.findings[0].kind in ("nonfinite", "divergence")


def test_the_flight_recorder_writes_the_last_steps_when_an_exception_leaves_the_block(loop, tmp_path):
    def before(step):
        if step == 3:
            raise OSError("the disk is full")

    def steps_of(path, **options):
        with pytest.raises(OSError, match="the disk is full"), graphdebug.record(path, **options):
            loop.train(4, before=before)
        run = graphdebug.load(path)
        assert run.end.status == "failed"
        return written(run)

    whole = steps_of(tmp_path / "whole.jsonl")
    assert whole == [0, 1, 2, 3] if loop.looks_ahead else [0, 1, 2]
    assert steps_of(tmp_path / "held.jsonl", keep_last=2) == whole[-2:]


def test_the_flight_recorder_writes_the_last_steps_when_gradients_spike(loop, tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", keep_last=3, level="stats"):
        loop.train(7, spoil=lambda step, x: x * 30 if step == 5 else x)
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert written(run) == [3, 4, 5]
    (text,) = notices(run, "flight")
    assert text.startswith("the flight recorder wrote steps 3 to 5: the gradient norm of step 5, ")
    assert " is a spike (median " in text


def test_the_flight_recorder_writes_when_asked(loop, tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", keep_last=1) as run:
        loop.train(4, before=lambda step: run.dump() if step == 2 else None)
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert written(run) == [2 if loop.looks_ahead else 1]


def test_the_debugger_opens_where_a_value_that_is_not_finite_is_born(loop, monkeypatch, capsys):
    def too_large(step, x):
        return x * 1e30 if step == 1 else x  # its square is infinite

    monkeypatch.setattr("sys.stdin", io.StringIO("c\n" * 400))
    interrupted = signal.getsignal(signal.SIGINT)
    with graphdebug.record(break_on="nonfinite"):
        loop.train(1)
        assert "graphdebug: " not in capsys.readouterr().out
        loop.train(2, spoil=too_large)
    assert "graphdebug: " in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is interrupted


def test_a_predicate_is_asked_for_each_node(loop):
    asked = []
    with graphdebug.record(break_on=lambda node, _value: asked.append(node.seq)) as run:
        loop.train(2)
    recorded = [node.seq for node in run.nodes]
    assert asked
    assert set(asked) <= set(recorded)
    assert any(is_relu(run.node(seq), loop) for seq in asked)
