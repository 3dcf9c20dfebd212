"""Folding: a log that says of runs alike only what differs reads as the log that says all of each."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from graphdebug.backends.pattern import Pattern
from graphdebug.log import folding
from graphdebug.log.codec import decode
from graphdebug.log.reader import LogFile
from graphdebug.log.seeking import SeekingLog
from graphdebug.log.writer import LogWriter
from graphdebug.model.event import End, Event, Gradient, Node, Notice, RunStart, Stats
from tests.core.make_golden import EVENTS
from tests.core.test_pattern import pattern_of, run

GOLDEN = Path(__file__).parent / "golden" / "format_2.jsonl"
START = next(event for event in EVENTS if isinstance(event, RunStart))
TEXTS = (b'{"zero":2,"min":-1.5,"l2":8.0}', b'{"min":0.25,"max":1e-9}')
STATS = (Stats(zero=2, min=-1.5, l2=8.0), Stats(min=0.25, max=1e-9))


def write(path: Path, steps: int, *, tail: list[Event] | None = None) -> list[Event]:
    """Write a log of `steps` runs alike of two sorts, with a notice now and then; return its events."""
    writer, events = LogWriter(path), [START]
    writer.write([START])
    patterns: list[Pattern] = []
    for step in range(steps):
        first, sort = 10 + 4 * step, step % 2
        made = run(first, step, 1.5 + step, 7, STATS[step % 3 % 2], f'net/{"%s%d"[sort:]} ünï "{sort}"')
        if len(patterns) < 2:
            patterns.append(pattern_of_any(made, 1.5 + step))
            writer.write(made)
        else:
            batch = patterns[sort].again(first, step, [TEXTS[step % 3 % 2]], time=1.5 + step, outer=[7])
            writer.write(batch)
        events += made
        if step % 5 == 4:
            events.append(Notice(first + 3, "blind", f"at {step}"))
            writer.write(events[-1:])
    writer.write(tail or [])
    writer.close()
    return [*events, *(tail or [])]


def pattern_of_any(events: list[Event], time: float) -> Pattern:
    assert isinstance(events[0], Node)
    return Pattern(events, {id(events[0].outputs[0]): 0}, places=1, time=time, outer=[7])  # type: ignore[arg-type]


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A folded log and the same in full, and what both hold."""
    events = write(tmp_path / "folded.jsonl", 60, tail=[End(999, "completed", 60, 3, 1.0)])
    monkeypatch.setattr(folding, "_IN_FULL", 10**9)
    assert write(tmp_path / "full.jsonl", 60, tail=[End(999, "completed", 60, 3, 1.0)]) == events
    return tmp_path / "folded.jsonl", tmp_path / "full.jsonl", events


def test_a_folded_log_holds_the_same_events_in_a_fraction_of_the_bytes(logs):
    folded, full, events = logs
    assert list(LogFile(folded).events()) == list(LogFile(full).events()) == events
    kinds = [json.loads(line)["event"] for line in folded.read_text().splitlines()]
    assert (kinds.count("form"), kinds.count("filled")) == (2, 54)
    assert folded.stat().st_size < full.stat().st_size / 3
    assert "filled" not in full.read_text()


def test_every_question_has_the_answer_that_the_log_in_full_gives(logs):
    folded, full = (LogFile(path) for path in logs[:2])
    assert folded.steps() == full.steps()
    for kind in (Node, Gradient, Notice, End):
        assert folded.of_kind(kind) == full.of_kind(kind)
        for step in (0, 3, 31, 59, 60):
            assert list(folded.of_step(kind, step)) == list(full.of_step(kind, step))
    for words in (["ünï"], ["MatMul", '%d ünï \\"1'], ['"zero":2'], ["nothing"]):
        assert list(folded.containing(Node, words)) == list(full.containing(Node, words))
    sifted = [list(log.sifted(Node, [], ["op"], lambda node: node.op == "Reshape")) for log in (folded, full)]
    assert sifted[0] == sifted[1]
    assert list(folded.tail(17)) == list(full.tail(17))
    numbers = [event.seq for event in logs[2]]
    random.Random(0).shuffle(numbers)
    assert [folded.by_seq(seq) for seq in numbers] == [full.by_seq(seq) for seq in numbers]
    assert folded.by_seq(5000) is None
    assert [folded.events()[at] for at in (5, 100, 3, -1)] == [full.events()[at] for at in (5, 100, 3, -1)]


def test_a_folded_log_read_by_bisection_gives_the_same(logs, monkeypatch):
    from graphdebug.log import seeking

    monkeypatch.setattr(seeking, "_NEAR", 1 << 9)
    folded, full, events = logs
    lines = folded.read_bytes().splitlines(keepends=True)
    places = [sum(map(len, lines[:at])) for at, line in enumerate(lines) if line.startswith(b'{"event":"form"')]
    others = [event for event in events if not isinstance(event, Node | Gradient)]
    sought, whole = SeekingLog(folded, others, places), LogFile(full)
    for count in (1, 4, 50, 10**6):
        assert list(sought.tail(count)) == list(whole.tail(count))
    for step in (0, 3, 31, 59, 60):
        assert list(sought.of_step(Node, step)) == list(whole.of_step(Node, step))
        assert list(sought.of_step(Gradient, step)) == list(whole.of_step(Gradient, step))
    assert [sought.by_seq(event.seq) for event in events] == events
    assert sought.by_seq(5000) is None


def test_a_log_cut_anywhere_loses_the_step_that_was_cut_and_no_more(tmp_path):
    events = write(tmp_path / "whole.jsonl", 12)
    data = (tmp_path / "whole.jsonl").read_bytes()
    cut = tmp_path / "cut.jsonl"
    for size in range(len(data) - 600, len(data) + 1):
        cut.write_bytes(data[:size])
        log = LogFile(cut)
        got = list(log.events())
        assert got == events[: len(got)]
        rest = data[:size].rpartition(b"\n")[2]
        whole = data[size : size + 1] == b"\n" and not rest.startswith(b'{"event":"form"')
        assert (log.damage == []) == (not rest or whole)
        if rest and log.damage:
            line = data[:size].count(b"\n") + 1
            assert log.damage[0].startswith(f"{cut}: line {line} is cut off")
    assert list(LogFile(cut).events()) == events


def test_a_log_that_grows_is_followed(tmp_path):
    events = write(tmp_path / "whole.jsonl", 30)
    data = (tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "growing.jsonl"
    path.write_bytes(data[:3000])
    log = LogFile(path)
    for size in range(3000, len(data) + 97, 97):
        path.write_bytes(data[:size])
        log.refresh()
        got = list(log.events())
        assert got == events[: len(got)]
        assert len(got) >= len(list(LogFile(path).events())) - 3  # a last line that may go on is left for later
    assert list(log.events()) == events
    assert list(log.damage) == []


def test_a_log_whose_json_was_written_anew_by_another_tool_reads_the_same(tmp_path):
    events = write(tmp_path / "run.jsonl", 12)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    (tmp_path / "anew.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(LogFile(tmp_path / "anew.jsonl").events()) == events


@pytest.mark.parametrize(
    "spoilt",
    [
        (b'"form":1,"texts"', b'"form":17,"texts"'),
        (b'"form":1,"texts":[', b'"form":1,"textz":['),
        (b'"form":1,"texts":[', b'"form":1,"texts":[],"more":['),
        (b'"gaps":[0,', b'"gaps":[0,0,'),
        (b'{"event":"form","form":1', b'{"event":"form","form":"one"'),
    ],
    ids=["unknown form", "no texts", "too few texts", "too many gaps", "wrong form"],
)
def test_what_can_not_be_unfolded_is_damage_and_the_rest_is_read(tmp_path, spoilt):
    events = write(tmp_path / "run.jsonl", 40)
    path = tmp_path / "spoilt.jsonl"
    data = (tmp_path / "run.jsonl").read_bytes()
    at = data.rfind(spoilt[0])
    path.write_bytes(data[:at] + spoilt[1] + data[at + len(spoilt[0]) :])
    log = LogFile(path)
    got = list(log.events())
    assert len(got) < len(events)
    assert [event for event in events if event in got] == got
    first = data[:at].count(b"\n") + 1
    assert f"the first is line {first}" in log.damage[0]


def test_lines_longer_than_what_is_read_at_once_are_unfolded(tmp_path, monkeypatch):
    from graphdebug.log import index, unfolding

    events = write(tmp_path / "run.jsonl", 40)
    for block in (64, 300, 2000):
        monkeypatch.setattr(index, "_BLOCK", block)
        monkeypatch.setattr(unfolding, "_BLOCK", block)
        log = LogFile(tmp_path / "run.jsonl")
        assert list(log.events()) == events
        assert [log.by_seq(event.seq) for event in events] == events


def test_what_waits_is_not_written_again_by_a_forked_child(tmp_path):
    writer = LogWriter(tmp_path / "run.jsonl")
    writer.write([START])
    pattern = pattern_of(run(10, 4, 1.25, 7, STATS[0]))
    for step in range(8):
        writer.write(pattern.again(20 + 3 * step, step, TEXTS[:1], time=2.5, outer=[7]))
    child = os.fork()
    if not child:
        writer.close()
        os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    assert [event.seq for event in LogFile(tmp_path / "run.jsonl").of_kind(Node)] == [
        20 + 3 * step + at for step in range(8) for at in (0, 1)
    ]


def test_the_golden_log_of_format_2_reads_as_it_always_did(tmp_path):
    log = LogFile(GOLDEN)
    assert list(log.damage) == []
    assert list(log.events()) == write(tmp_path / "anew.jsonl", 9)
    assert b'"event":"form"' in GOLDEN.read_bytes()
    assert b'"event":"filled"' in GOLDEN.read_bytes()


def test_the_documented_way_to_unfold_gives_the_events(tmp_path):
    events = write(tmp_path / "run.jsonl", 9)
    documented = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    program = documented.split("```python\n")[1].split("```")[0]
    scope: dict = {"json": json}
    exec(program, scope)
    forms, found = {}, []
    for line in (tmp_path / "run.jsonl").read_text().splitlines():
        one = json.loads(line)
        if one["event"] == "form":
            forms[one["form"]] = one
        else:
            filled = one["event"] == "filled"
            found += scope["unfold"](forms[one["form"]], one).split("\n") if filled else [line]
    assert [decode(line.encode()) for line in found] == events


def test_a_folded_log_damaged_anywhere_is_read_around_the_damage(tmp_path):
    events = write(tmp_path / "run.jsonl", 30)
    data = (tmp_path / "run.jsonl").read_bytes()
    start, chance = data.index(b"\n") + 1, random.Random(1)
    for _ in range(300):
        at, cut = chance.randint(start, len(data)), chance.randint(0, 200)
        junk = chance.choice(
            [b"", b"\n", b"[" * 5000, b"\xff\xfe\0", b'{"event":"form"}\n', b"[-9]", b"9" * 40]
        )
        path = tmp_path / "damaged.jsonl"
        path.write_bytes(data[:at] + junk + data[at + cut :])
        log = LogFile(path)
        got = list(log.events())
        assert len(got) <= len(events)
        assert all("\n" not in line and str(path) in line for line in log.damage)
        for seq in (10, 33, 90):
            log.by_seq(seq)
