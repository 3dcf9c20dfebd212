"""The note on the exception of a long run comes at once, and says what the whole log says."""

from __future__ import annotations

import torch
from torch import nn

import graphdebug
from graphdebug import diagnosis, recording
from graphdebug.log import seeking
from graphdebug.log.reader import LogFile
from tests.diagnosis import both_torch, torch_faults
from tests.diagnosis.programs import programs, recorded


def test_a_log_read_by_bisection_explains_failures_as_the_whole_log_does(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_LARGE", 0)
    monkeypatch.setattr(seeking, "_NEAR", 1 << 9)
    compared = 0
    for name, program in (programs(torch_faults) | programs(both_torch)).items():
        torch.manual_seed(0)
        log = tmp_path / f"{name}.jsonl"
        run, error = recorded(program, log)
        assert not run.tool_errors
        if error is not None:  # others are found without a note
            assert error.__notes__ == [graphdebug.load(log).findings[0].text], name
            compared += 1
    assert compared >= 35


def train(steps):
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.rand(4, 3)).square().mean().backward()
        optimizer.step()
    return net


def test_every_question_has_the_same_answer_as_from_the_whole_log(tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl") as run:
        train(200)
    whole = LogFile(tmp_path / "run.jsonl")
    sought = seeking.SeekingLog(tmp_path / "run.jsonl", run._recorder.others, run._recorder.forms)
    assert list(sought.tail(100)) == list(whole.tail(100))
    assert list(sought.tail(100)[7:]) == list(whole.tail(93))
    assert sought.tail(100)[-1] == whole.tail(1)[0]
    assert list(sought.tail(10**6)) == list(whole.events())
    for step in (0, 1, 77, 199, 200, 500):
        for kind in (graphdebug.Node, type(whole.of_step(graphdebug.Node, 3)[0])):
            assert list(sought.of_step(kind, step)) == list(whole.of_step(kind, step))
    for event in [*whole.events()][::37]:
        assert sought.by_seq(event.seq) == event
    assert sought.by_seq(10**9) is None
    for kind in {type(event) for event in whole.events()}:
        assert list(sought.of_kind(kind)) == list(whole.of_kind(kind))
    assert list(sought.steps()) == list(whole.steps())


def test_of_a_long_run_that_raised_its_own_error_the_last_events_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_LARGE", 0)
    monkeypatch.setattr(diagnosis, "_TAIL", 400)

    def program():
        net = train(100)
        loss = torch.log(net(torch.rand(4, 3)).sum() * 0)
        if not torch.isfinite(loss):
            raise ValueError("the loss is not finite")

    run, error = recorded(program, tmp_path / "run.jsonl")
    assert len(run.events) > 2000
    assert "log is not finite" in error.__notes__[0]
    assert graphdebug.load(tmp_path / "run.jsonl").findings[0].text == error.__notes__[0]


def test_what_was_born_before_the_last_events_is_left_to_explain(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_LARGE", 0)
    monkeypatch.setattr(diagnosis, "_TAIL", 400)

    def program():
        net = nn.Linear(3, 1)
        with torch.no_grad():
            net.weight.div_(torch.zeros(()))
        for _ in range(300):
            net(torch.rand(4, 3)).sum()
        raise ValueError("no progress")

    _, error = recorded(program, tmp_path / "run.jsonl")
    assert not getattr(error, "__notes__", [])
    (found, *_) = graphdebug.load(tmp_path / "run.jsonl").findings
    assert "div" in found.text.splitlines()[0]
