"""Breakpoints: the debugger opens at the user's line, eager and compiled, and goes on as it is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings

import pytest
import torch

import graphdebug

PROGRAM = """
import sys
import torch
import graphdebug

def net(x):
    a = x * 2 - 3
    b = a.log()
    return (torch.relu(b) + a).mean()

def train(x):
    loss = program(x)
    loss.backward()
    after = "still here"
    return x.grad

program = net if sys.argv[1] == "eager" else torch.compile(net, backend=sys.argv[1])
conditions = {
    "nonfinite": "nonfinite",
    "predicate": lambda node, tensor: node.function == "log",
    "sums": lambda node, tensor: node.function == "sum" and tensor.item() > 3,
    "faulty": lambda node, tensor: node.no_such_thing,
}
with graphdebug.record(sys.argv[2], level=sys.argv[3], break_on=conditions[sys.argv[4]]):
    print(train(torch.full((5,), float(sys.argv[5]), requires_grad=True)))
print("the end")
"""
LINES = {text.strip(): number for number, text in enumerate(PROGRAM.splitlines(), 1)}
BACKENDS = ["eager", "aot_eager", "inductor"]


@pytest.fixture
def debugged(tmp_path):
    """Runs the program with these commands at the debugger's prompt; returns what it printed, and the run."""
    program, log = tmp_path / "program.py", tmp_path / "run.jsonl"
    program.write_text(PROGRAM)

    def run(backend, commands, *, level="health", condition="nonfinite", value=1.0):
        done = subprocess.run(
            [sys.executable, program, backend, log, level, condition, str(value)],
            input="".join(f"{one}\n" for one in commands), capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONBREAKPOINT": "", "HOME": str(tmp_path)},
        )  # fmt: skip
        return done, graphdebug.load(log)

    return run


def stops(text):
    """The lines that the debugger stood at."""
    return [int(number) for number in re.findall(r"> .*program\.py\((\d+)\)", text)]


@pytest.mark.parametrize(
    ("backend", "level"), [("eager", "stats"), ("aot_eager", "shapes"), ("inductor", "shapes")]
)
def test_the_debugger_opens_at_the_birth_of_a_nan_wherever_it_runs(backend, level, debugged):
    done, run = debugged(backend, ["p offending", "p sorted(dir())", *["c"] * 40], level=level)
    first = next(line for line in done.stdout.splitlines() if line.startswith("graphdebug: "))
    calls = {"eager": "b = a.log()"}
    if backend == "eager":
        assert first == "graphdebug: aten::log (forward) made offending, 5"
    else:
        assert (
            first == f"graphdebug: aten::log (forward) made offending, 5, at program.py:{LINES['b = a.log()']}"
        )
        assert "\n  b = a.log()\n" in done.stdout
    assert stops(done.stdout)[0] == LINES[calls.get(backend, "loss = program(x)")]
    assert "(Pdb) tensor([nan, nan, nan, nan, nan]" in done.stdout
    assert "'offending'" in done.stdout
    assert done.stdout.rstrip().endswith("the end")
    assert not list(run.tool_errors)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_predicate_is_asked_with_the_node_and_its_tensor_wherever_it_runs(backend, debugged):
    condition = "sums" if backend == "inductor" else "predicate"
    done, run = debugged(backend, ["p offending.sum()", "c"] * 3, condition=condition, value=2.0)
    told = [line for line in done.stdout.splitlines() if line.startswith("graphdebug: ")]
    if backend == "inductor":
        assert told == [], "no sum of this program is in memory: what never is can't be asked about"
    else:
        assert len(told) == 1
        assert told[0].startswith("graphdebug: aten::log (forward) made offending, 5")
    assert done.stdout.rstrip().endswith("the end")
    assert not list(run.tool_errors)


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_the_debugger_steps_on_in_the_users_code(backend, debugged):
    done, _ = debugged(backend, ["n", "p offending", "n", "p after", "c"])
    if backend == "eager":
        expected = [LINES["b = a.log()"], LINES["return (torch.relu(b) + a).mean()"]]
        assert stops(done.stdout)[:2] == expected
    else:
        expected = [LINES["loss = program(x)"], LINES["loss.backward()"], LINES['after = "still here"']]
        assert stops(done.stdout) == expected
    assert "(Pdb) tensor([nan" in done.stdout
    assert done.stdout.rstrip().endswith("the end")


@pytest.mark.parametrize("backend", BACKENDS)
def test_quitting_the_debugger_ends_the_program_as_in_any_other(backend, debugged):
    done, run = debugged(backend, ["q"])
    assert done.returncode == 1
    assert "bdb.BdbQuit" in done.stderr
    assert "the end" not in done.stdout
    assert run.end.status == "failed"
    assert not list(run.tool_errors)
    assert any(fact.finite is False for node in run.nodes for fact in node.outputs), "what ran is in the log"


@pytest.mark.parametrize("backend", ["aot_eager"])
def test_a_predicate_that_fails_is_one_warning_and_the_program_goes_on(backend, debugged):
    done, run = debugged(backend, [], condition="faulty")
    assert done.returncode == 0
    assert done.stderr.count("graphdebug failed in break_on, which is not asked again (AttributeError: ") == 1
    assert len(list(run.tool_errors)) == 1
    assert done.stdout.rstrip().endswith("the end")


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_breakpoint_inside_a_compiled_program_changes_no_bit(backend, monkeypatch):
    torch._dynamo.reset()

    def net(x):
        return (x.exp().log() * 3).sin().sum()

    compiled = torch.compile(net, backend=backend)
    results = []
    asked = []
    for options in (None, {"break_on": "nonfinite"}, {"break_on": lambda node, _: asked.append(node.function)}):
        torch.manual_seed(0)
        x = torch.randn(64, requires_grad=True)
        if options is None:
            loss = compiled(x)
            loss.backward()
        else:
            with warnings.catch_warnings(), graphdebug.record(level="shapes", **options) as run:
                warnings.simplefilter("error")
                loss = compiled(x)
                loss.backward()
            assert not run.tool_errors
        results.append((loss.detach(), x.grad))
    assert all(torch.equal(a, b) for one in results[1:] for a, b in zip(results[0], one, strict=True))
    assert "sum" in asked
    torch._dynamo.reset()
