"""What a recording holds, against what TensorFlow says it executed: the partition graphs of RunMetadata."""

from __future__ import annotations

from collections import defaultdict

import pytest
import tensorflow as tf
from tests.tf1.networks import CASES, built

import graphdebug

tf1 = tf.compat.v1

RAN, LEFT_OUT = {"executed", "inferred"}, {"fused", "removed"}
CALLS = ("If", "While", "PartitionedCall")


def executed(session, network, step):
    """Run a step of the user's with RunMetadata asked for; return the op types of all that ran, by name."""
    metadata = tf1.RunMetadata()
    options = tf1.RunOptions(output_partition_graphs=True)
    session.run(network.fetches, network.feeds(step), options=options, run_metadata=metadata)
    return {node.name: node.op for graph in metadata.partition_graphs for node in graph.node}


@pytest.fixture(
    scope="module",
    params=[*((*case, "resource") for case in CASES), ("cnn", "v2", "reference"), ("lstm", "v1", "reference")],
    ids=lambda param: "-".join(param),
)
def verified(request):
    """A recorded network: the recording, what ran without and with it, all ops of the user."""
    name, version, kind = request.param
    with built(name, version, references=kind == "reference") as network, tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        users = {op.name: op for op in tf1.get_default_graph().get_operations()}
        plain = executed(session, network, 0)
        with graphdebug.record(level="stats", gradients="all") as run:
            for _ in range(2):  # the first one is held against shape inference, and fetches more
                session.run(network.fetches, network.feeds(0))
            recorded = executed(session, network, 0)
        fed = {tensor.op.name for tensor in network.feeds(0)}
    users = {name: op for name, op in users.items() if name not in fed}
    return run, plain, recorded, users


def how(run):
    found = defaultdict(set)
    for node in run.step(2).nodes:
        found[node.name].add(node.execution)
    return found


def test_every_node_that_ran_is_recorded_as_having_run(verified):
    run, _, recorded, users = verified
    said = how(run)
    ran = [name for name in recorded if name in users]
    assert len(ran) > 40
    assert [name for name in ran if not said[name]] == []
    assert [name for name in ran if not said[name] & RAN] == []


def test_what_did_not_run_is_said_to_be_fused_or_removed(verified):
    run, _, recorded, users = verified
    gone = {
        name: said for name, said in how(run).items()
        if name in users and name not in recorded and not users[name].type.endswith(CALLS)
    }  # fmt: skip
    in_frames = {name for name in gone if users[name]._get_control_flow_context() is not None}
    assert {name for name, said in gone.items() if not said <= LEFT_OUT} <= in_frames
    notice = [one for one in run.notices if one.topic == "fused"][-1]
    assert set(notice.detail["fused"]) | set(notice.detail["removed"]) >= gone.keys() - in_frames


def test_numbers_are_there_for_nearly_all_that_ran(verified):
    run, _, recorded, _ = verified
    floats = [
        node for node in run.step(2).nodes
        if node.name in recorded and node.outputs and node.outputs[0].dtype.startswith("float")
        and node.op not in ("Enter", "Merge", "Switch", "Exit", "NextIteration", "Const", "VariableV2")
        and not node.op.startswith(("Assign", "Scatter", "Apply"))
    ]  # fmt: skip
    seen = [node for node in floats if node.outputs[0].finite is not None]
    assert len(seen) >= 0.8 * len(floats), [node.name for node in floats if node.outputs[0].finite is None]
    assert not run.tool_errors


def test_the_recording_changes_no_op_that_computes(verified):
    _, plain, recorded, _ = verified

    def computing(ran):
        kinds = [
            op for name, op in ran.items() if "Fused" in op or op.startswith(("MatMul", "Conv2D", "BatchMat"))
        ]
        return sorted(kinds)

    assert computing(plain) == computing({k: v for k, v in recorded.items() if not k.startswith("graphdebug")})
