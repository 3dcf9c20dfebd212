"""Steps, filters, every=N and the flight recorder over real training loops, eager and compiled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphdebug


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))


@pytest.fixture(params=["eager", "aot_eager"])
def trainer(request):
    """A function that trains `steps` steps; `spoil` changes the input of a step."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    net = Net()
    model = net if request.param == "eager" else torch.compile(net, backend=request.param)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-5)

    def train(steps, spoil=lambda step, x: x, before=lambda step: None):
        for step in range(steps):
            before(step)
            x = spoil(step, torch.randn(16, 4))
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    yield train
    torch._dynamo.reset()


def steps_written(path):
    return list(graphdebug.load(path).steps)


def notices(run, topic):
    return [one.text for one in run.notices if one.topic == topic]


def test_steps_are_found_from_the_optimizer(trainer):
    with graphdebug.record() as run:
        trainer(3)
    assert list(run.steps) == [0, 1, 2]
    for step in range(3):
        phases = {node.phase for node in run.step(step).nodes}
        assert phases >= {"forward", "backward", "optimizer"}
        assert {one.name for one in run.step(step).gradients} == {
            "encoder.weight", "encoder.bias", "head.weight", "head.bias",
        }  # fmt: skip


def test_the_users_word_counts_for_steps(trainer):
    with graphdebug.record() as run:
        for steps in (1, 2, 3):
            trainer(steps)
            run.step()
    per_step = [len([n for n in run.step(s).nodes if n.phase == "optimizer"]) for s in run.steps]
    assert per_step == [per_step[0] * count for count in (1, 2, 3)]


def test_every_third_step_is_recorded(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, every=3):
        trainer(7)
    assert steps_written(path) == [0, 3, 6]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"modules": ["encoder*"], "phases": ["forward"]}, lambda node: node.module == "encoder"),
        ({"ops": ["relu", "aten::mul"]}, lambda node: node.function in ("relu", "mul")),
        ({"phases": ["backward"]}, lambda node: node.phase == "backward"),
    ],
    ids=["modules", "ops", "phases"],
)
def test_filters_keep_what_they_name_and_nothing_else(trainer, filters, kept):
    with graphdebug.record(**filters) as run:
        trainer(1)
    assert run.nodes
    assert [node.function for node in run.nodes if not kept(node)] == []


def test_the_flight_recorder_writes_nothing_of_a_run_that_goes_well(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=2):
        trainer(5)
    run = graphdebug.load(path)
    assert list(run.nodes) == []
    assert run.end.status == "completed"


def test_the_flight_recorder_writes_the_last_steps_when_a_value_is_not_finite(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=2):
        trainer(5, spoil=lambda step, x: x.log() if step == 4 else x)
    run = graphdebug.load(path)
    assert list(run.steps) == [3, 4]
    assert notices(run, "flight") == ["the flight recorder wrote steps 3 to 4: a value in step 4 is not finite"]
    assert {node.phase for node in run.step(4).nodes} >= {"forward", "backward", "optimizer"}
    assert run.findings[0].kind == "nonfinite"


def test_the_flight_recorder_writes_the_last_steps_when_an_exception_leaves_the_block(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with pytest.raises(RuntimeError) as caught, graphdebug.record(path, keep_last=2):
        trainer(4, spoil=lambda step, x: x[:, :3] if step == 3 else x)
    run = graphdebug.load(path)
    assert list(run.steps) == [2, 3]
    assert run.end.status == "failed"
    assert caught.value.__notes__[0].startswith("graphdebug: shape mismatch in linear")


def test_the_flight_recorder_writes_the_last_steps_when_gradients_spike(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=3, level="stats"):
        trainer(7, spoil=lambda step, x: x * 30 if step == 5 else x)
    run = graphdebug.load(path)
    assert list(run.steps) == [3, 4, 5]
    (text,) = notices(run, "flight")
    assert text.startswith("the flight recorder wrote steps 3 to 5: the gradient norm of step 5, ")
    assert " is a spike (median " in text


def test_the_flight_recorder_writes_when_asked(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=1) as run:
        trainer(4, before=lambda step: run.dump() if step == 2 else None)
    assert steps_written(path) == [1]
