"""A folder of logs of ranks is one run."""

from __future__ import annotations

import pytest

import graphdebug
from graphdebug.cli import main
from graphdebug.errors import LogError
from graphdebug.log.writer import LogWriter
from graphdebug.model.event import End, Failure, Node, Operand, RunStart, TensorFact

FACT = TensorFact(shape=(2,), dtype="float32", alias_of=1)


def write_rank(path, rank, world=2, nodes=3, started="2026-01-01T00:00:00"):
    log = LogWriter(path)
    start = RunStart(
        0, schema=1, graphdebug="0", started=started, python="3", platform="x", argv=(), cwd="/", pid=1,
        options={}, rank=rank, world_size=world, host="h",
    )  # fmt: skip
    log.write([start])
    for seq in range(1, nodes + 1):
        operand = Operand(FACT, producer=seq - 1)
        node = Node(seq, seq // 2, "aten::add", "add", "elementwise", "torch", "eager", inputs=(operand,),
                    outputs=(FACT,), forward=1)  # fmt: skip
        log.write([node])
    failure = Failure(
        nodes + 1, 0, "E", f"of rank {rank}", detail={"saved_by": 2, "mutated_by": [1, 3]}, node=nodes
    )
    log.write([failure, End(nodes + 2, "completed", 1, nodes + 3, 0.1)])
    log.close()


@pytest.fixture
def folder(tmp_path):
    write_rank(tmp_path / "run.rank0.jsonl", 0)
    write_rank(tmp_path / "run.rank1.jsonl", 1, nodes=5)
    return tmp_path


def test_events_of_all_ranks_have_numbers_of_their_own_and_keep_their_rank(folder):
    run = graphdebug.load(folder)
    seqs = [event.seq for event in run.events]
    assert len(set(seqs)) == len(seqs) == 6 + 8
    assert run.ranks == [0, 1]
    assert [run.rank(node) for node in run.nodes] == [0, 1, 0, 1, 0, 1, 1, 1]
    assert all(run.event(event.seq) == event for event in run.events)
    assert [run.events[i] for i in range(len(run.events))] == list(run.events)
    assert run.events[2:5] == list(run.events)[2:5]


def test_references_lead_to_events_of_the_same_rank(folder):
    run = graphdebug.load(folder)
    assert run.steps == [0, 1, 2]
    for node in run.nodes:
        assert run.rank(node) == run.rank(run.event(node.forward))
        maker = run.event(node.inputs[0].producer)
        assert maker.seq == node.seq - 2
        assert node.inputs[0].fact.alias_of == node.outputs[0].alias_of == node.forward
    of_rank_1 = run.failures[1]
    assert run.node(of_rank_1.node) is not None
    assert [run.rank(run.node(seq)) for seq in of_rank_1.detail["mutated_by"]] == [1, 1]
    assert run.rank(run.node(of_rank_1.detail["saved_by"])) == 1


def test_the_name_given_to_record_stands_for_the_logs_of_its_ranks(folder):
    assert graphdebug.load(folder / "run.jsonl").ranks == [0, 1]


def test_a_folder_with_one_log_reads_like_the_log(tmp_path):
    write_rank(tmp_path / "run.jsonl", None, world=None)
    assert list(graphdebug.load(tmp_path).events) == list(graphdebug.load(tmp_path / "run.jsonl").events)
    assert graphdebug.load(tmp_path).ranks == []


def test_a_missing_rank_is_named(folder):
    (folder / "run.rank1.jsonl").unlink()
    assert graphdebug.load(folder).damage == [f"{folder}: there is no log of rank 1 of 2"]


def test_what_an_earlier_launch_left_behind_is_left_out_and_named(folder):
    old = folder / "run.rank2.jsonl"
    write_rank(old, 2, world=4, started="2025-01-01T00:00:00")
    run = graphdebug.load(folder)
    assert run.ranks == [0, 1]
    assert run.damage == [f"{old} was left out: of another launch (world size 4, not 2)"]


def test_two_runs_in_a_folder_are_refused_with_the_way_out(folder):
    write_rank(folder / "other.rank0.jsonl", 0)
    with pytest.raises(LogError) as caught:
        graphdebug.load(folder)
    assert str(caught.value) == (
        f"{folder} holds more than one run (other.rank0.jsonl, run.rank0.jsonl, run.rank1.jsonl): "
        "give one of these files"
    )


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(LogError) as caught:
        graphdebug.load(tmp_path)
    assert str(caught.value) == (
        f"there are no logs in {tmp_path}: record into it with graphdebug.record('{tmp_path}/run.jsonl')"
    )


def test_the_command_line_takes_the_folder(folder):
    from click.testing import CliRunner

    result = CliRunner().invoke(main, ["explain", str(folder)])
    assert result.exit_code == 0, result.output
