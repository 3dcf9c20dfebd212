"""Ranks under torchrun write a log each; the logs are read as one run, and the ranks compared."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import graphdebug
from graphdebug.cli import main

PROGRAM = Path(__file__).with_name("ranks_program.py")


def line_of(text):
    lines = PROGRAM.read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip() == text)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Folders of logs of two ranks: ddp, fsdp, nan (on rank 1), module (not reduced), dead (rank 1 fails)."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    done = subprocess.run(
        [sys.executable, *command, str(PROGRAM), str(folder)],
        capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return folder, done


def test_training_gives_the_same_bits_on_every_rank(logs):
    _, done = logs
    assert "AssertionError" not in done.stderr
    assert "graphdebug: shape mismatch in matmul" in done.stderr, "the failing rank explains itself"


def test_a_dtensor_has_its_own_shape_and_the_statistics_of_its_shard_without_a_collective(logs):
    folder, _ = logs  # the program itself compares them, and records on rank 0 alone
    (path,) = folder.glob("dtensor*.jsonl")
    run = graphdebug.load(path)
    assert run.end.status == "completed"
    assert not run.tool_errors
    checked = [fact for node in run.nodes for fact in node.outputs if fact.stats is not None]
    assert len(checked) > 10


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "fsdp1"])
def test_each_rank_writes_a_file_with_rank_world_size_and_host(logs, kind):
    folder, _ = logs
    assert sorted(path.name for path in (folder / kind).iterdir()) == ["run.rank0.jsonl", "run.rank1.jsonl"]
    starts = [graphdebug.load(folder / kind / f"run.rank{rank}.jsonl").start for rank in (0, 1)]
    assert [(start.rank, start.world_size, start.host) for start in starts] == [
        (0, 2, socket.gethostname()),
        (1, 2, socket.gethostname()),
    ]


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "fsdp1"])
def test_the_folder_is_one_run_and_ranks_that_agree_give_no_finding(logs, kind):
    folder, _ = logs
    run = graphdebug.load(folder / kind)
    assert run.ranks == [0, 1]
    assert not run.tool_errors
    assert not run.damage
    assert {run.rank(node) for node in run.nodes if node.family == "collective"} == {0, 1}
    assert list(run.findings) == []


def test_gradients_are_recorded_as_the_optimizer_was_given_them(logs):
    folder, _ = logs
    combined = [one for one in graphdebug.load(folder / "ddp").step(1).gradients if one.stage == "combined"]
    norms = {}
    for one in combined:
        norms.setdefault(one.name, []).append(float(one.fact.stats.l2))
    assert len(norms) == 4
    assert all(a == b for a, b in norms.values())
    shards = [one for one in graphdebug.load(folder / "fsdp").step(1).gradients if one.stage == "shard"]
    assert {one.fact.shape for one in shards if one.name.endswith("0.weight")} == {(8, 8)}


def test_the_first_node_with_bad_values_on_one_rank_is_named_with_the_rank(logs):
    folder, _ = logs
    finding = next(one for one in graphdebug.load(folder / "nan").findings if one.kind == "rank_mismatch")
    assert finding.site.line == line_of("x = x.clamp(min=0).log().neg().log()") or finding.site.line == line_of(
        "out = forward(x)"
    )
    assert ", rank 1)" in finding.text.splitlines()[0]


def test_gradients_that_were_not_combined_are_named(logs):
    folder, _ = logs
    (finding,) = graphdebug.load(folder / "module").findings
    assert finding.kind == "rank_mismatch"
    lines = finding.text.splitlines()
    assert lines[0].startswith("graphdebug: ranks step with different gradients of module.0.weight, at ")
    assert lines[0].endswith(f":{line_of('out = forward(x)')} (optimizer, step 1, rank 0)")
    assert [line.split(", norm")[0] for line in lines[3:5]] == [
        "  rank 0  16x8 float32",
        "  rank 1  16x8 float32",
    ]
    assert lines[5].startswith("  or: ")
    assert lines[5].endswith(
        f":{line_of('net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))')} (declared here)"
    )
    assert lines[6].startswith("  try: call the wrapped model, not its .module")


def test_the_command_line_explains_a_rank_that_died(logs):
    folder, _ = logs
    result = CliRunner().invoke(main, ["explain", str(folder / "dead")])
    assert result.exit_code == 0
    assert "shape mismatch in matmul" in result.output
    assert ", rank 1)" in result.output.splitlines()[0]


def narrowed(x, rank):
    return x[:, : 7 - rank]  # another size


def halved(x, rank):
    return x.to(torch.bfloat16 if rank else torch.float32)  # another dtype


@pytest.mark.parametrize(
    ("change", "mark", "why", "facts"),
    [
        (narrowed, "# another size", "shape of slice", ("4x7 float32", "4x6 float32")),
        (halved, "# another dtype", "dtype of mul", ("4x8 float32", "4x8 bfloat16")),
    ],
)
def test_the_first_node_of_another_size_or_dtype_on_one_rank_is_named(
    change, mark, why, facts, tmp_path, monkeypatch
):
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        with graphdebug.record(tmp_path / "run.jsonl") as run:
            for step in range(2):
                x = torch.randn(4, 8)
                (change(x, rank if step else 0) * 2).relu().sum()  # what follows it
                run.step()
    (finding,) = graphdebug.load(tmp_path).findings
    here = Path(__file__).read_text().splitlines()
    at = mark if change is narrowed else "# what follows it"
    line = next(n for n, text in enumerate(here, 1) if text.endswith(at))
    first, *rest = finding.text.splitlines()
    assert first.startswith(f"graphdebug: ranks differ in {why}, at ")
    assert first.endswith(f":{line} (forward, step 1, rank 1)")
    told = [one.partition(", ")[0] for one in rest if one.startswith("  rank ")]
    assert told == [f"  rank {rank}  {fact}" for rank, fact in enumerate(facts)]
