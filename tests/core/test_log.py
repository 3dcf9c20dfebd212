"""Logs as they are met in life: killed writers, full disks, damage, foreign and newer files."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import graphdebug
from graphdebug.cli import main
from graphdebug.model.event import SCHEMA_VERSION, Declaration
from graphdebug.recording import Recording

GOLDEN = Path(__file__).parent / "golden" / "format_1.jsonl"


def python(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], **options)


def explain(*arguments: object):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


def test_a_run_in_memory_equals_the_run_read_from_its_file(tmp_path):
    def recorded(path) -> Recording:
        with graphdebug.record(path) as run:
            run._recorder.emit([Declaration(run._recorder.next_seq(), "x", "Placeholder")])
            run.step()
        return run

    memory, file = recorded(None), recorded(tmp_path / "run.jsonl")
    read = graphdebug.load(tmp_path / "run.jsonl")
    assert list(read.events) == list(file.events)
    assert [event.kind for event in read.events] == [event.kind for event in memory.events]
    assert memory.declarations == read.declarations


def test_a_process_killed_mid_run_leaves_a_log_that_opens(tmp_path):
    path = tmp_path / "run.jsonl"
    code = f"""
        import graphdebug, time
        from graphdebug.model.event import Declaration
        with graphdebug.record({str(path)!r}) as run:
            n = 0
            while True:
                n += 1
                run._recorder.emit([Declaration(run._recorder.next_seq(), "x" * 1000, "Placeholder")] * 50)
    """
    process = python(code)
    while not (path.exists() and path.stat().st_size > 500_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = graphdebug.load(path)
    assert len(run.declarations) > 400
    assert run.end is None
    assert len(run.damage) <= 1


def test_a_log_torn_in_its_last_line_is_read_up_to_there(tmp_path):
    path = tmp_path / "torn.jsonl"
    path.write_bytes(GOLDEN.read_bytes()[:-30])
    run = graphdebug.load(path)
    assert len(run.events) == 9
    assert list(run.damage) == [f"{path}: line 10 is cut off (the writer was stopped); all before it was read"]


def test_lines_that_are_not_events_are_counted_and_the_rest_is_read(tmp_path):
    path = tmp_path / "bad.jsonl"
    lines = GOLDEN.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"\x00\xff garbage\n", b"[]\n", *lines[3:]]))
    run = graphdebug.load(path)
    assert len(run.events) == 10
    assert list(run.damage) == [f"{path}: 2 lines are not events (the first is line 4); the rest was read"]


def test_an_event_with_a_wrong_field_is_passed_over(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(GOLDEN.read_bytes().replace(b'"name":"fc","type":"Linear"', b'"name":17,"type":"Linear"'))
    run = graphdebug.load(path)
    assert list(run.declarations) == []
    assert len(list(run.events)) == 9
    assert "an event could not be read" in run.damage[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: the recording never started, or it is not a graphdebug log"),
        (b"hello\n", "is not a graphdebug log: its first line is not a `run` event"),
        (b'{"loss": 1.0}\n{"loss": 2.0}\n', "is not a graphdebug log: its first line is not a `run` event"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a graphdebug log: its first line is not a `run` event"),
    ],
    ids=["empty", "text", "foreign json lines", "binary"],
)
def test_a_file_that_is_no_log_is_one_line_and_exit_2(tmp_path, content, says):
    path = tmp_path / "some.file"
    path.write_bytes(content)
    done = explain(path)
    assert done.exit_code == 2
    assert done.stderr == f"graphdebug: {path} {says}\n"


def test_a_missing_log_and_a_folder_say_so(tmp_path):
    missing = explain(tmp_path / "no.jsonl")
    assert missing.exit_code == 2
    assert missing.stderr.startswith(f"graphdebug: there is no log at {tmp_path / 'no.jsonl'}: record one with")
    folder = explain(tmp_path)
    assert folder.exit_code == 2
    assert len(folder.stderr.splitlines()) == 1


def test_a_log_of_a_newer_version_is_read_as_far_as_possible(tmp_path):
    path = tmp_path / "new.jsonl"
    newer = GOLDEN.read_bytes().replace(b'"schema":1', b'"schema":3')
    path.write_bytes(newer + b'{"event":"hologram","seq":10}\n')
    run = graphdebug.load(path)
    assert len(run.nodes) == 1
    assert any(
        line == f"{path} has format 3, this graphdebug reads up to {SCHEMA_VERSION}: "
        "upgrade with `pip install -U graphdebug`; what could be read is shown"
        for line in run.damage
    )


def test_a_path_that_can_not_be_written_is_refused_on_entering(tmp_path):
    (tmp_path / "file").write_text("not a log")
    with pytest.raises(graphdebug.LogError) as foreign, graphdebug.record(tmp_path / "file"):
        pass
    assert str(foreign.value) == (
        f"can't write the log {tmp_path / 'file'}: the file there is not a graphdebug log; move it away"
    )
    with pytest.raises(graphdebug.LogError) as below, graphdebug.record(tmp_path / "file" / "run.jsonl"):
        pass
    assert str(below.value).startswith(f"can't write the log {tmp_path / 'file' / 'run.jsonl'}: ")
    with pytest.raises(graphdebug.LogError, match="it is a folder"), graphdebug.record(tmp_path):
        pass


def test_an_earlier_log_is_replaced(tmp_path):
    for _ in range(2):
        with graphdebug.record(tmp_path / "run.jsonl") as run:
            pass
    assert run.events[0].kind == "run"
    assert sum(event.kind == "run" for event in graphdebug.load(tmp_path / "run.jsonl").events) == 1


def test_a_full_disk_is_one_warning_and_the_program_goes_on(tmp_path):
    """A limit on the size of files makes the kernel refuse the write, as a full disk does."""
    path = tmp_path / "run.jsonl"
    code = f"""
        import resource, signal, graphdebug
        from graphdebug.model.event import Declaration
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with graphdebug.record({str(path)!r}) as run:
            for n in range(1000):
                run._recorder.emit([Declaration(run._recorder.next_seq(), "x" * 100, "Placeholder")])
        print("trained to the end")
    """
    process = python(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, errors = process.communicate()
    assert (process.returncode, out) == (0, "trained to the end\n")
    assert errors.count("GraphDebugWarning") == 1
    assert (
        f"graphdebug can't write {path} any more (File too large); your program goes on, unrecorded" in errors
    )
    run = graphdebug.load(path)
    assert len(run.declarations) > 50
    assert list(run.damage) == []


def _declared_in_turns(path: Path, count: int) -> list[str]:
    """The lines of a log whose events carry a number each."""
    with graphdebug.record(path) as run:
        run._recorder.emit(
            [Declaration(run._recorder.next_seq(), "x" * 400, "Placeholder") for _ in range(count)]
        )
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize("order", ["as written", "two threads in turns", "backwards", "some left out"])
def test_an_event_is_found_by_its_number_in_whatever_order_the_lines_stand(tmp_path, order):
    head, *lines = _declared_in_turns(tmp_path / "run.jsonl", 6000)
    if order == "two threads in turns":  # each writes batches, and its numbers rise
        lines = [line for at in range(0, len(lines), 100) for line in (lines[at + 1 : at + 100 : 2] +
                                                                      lines[at : at + 100 : 2])]  # fmt: skip
    elif order == "backwards":
        lines.reverse()
    elif order == "some left out":
        lines = [line for at, line in enumerate(lines) if at % 3]
    (tmp_path / "run.jsonl").write_text("".join([head, *lines]))
    run = graphdebug.load(tmp_path / "run.jsonl")
    there = {event.seq for event in run.events}
    for seq in [*sorted(there)[::7], *range(max(there) + 3)[::11], -1]:
        found = run.event(seq)
        assert (found.seq if found is not None else None) == (seq if seq in there else None)


def test_asking_for_events_that_were_filtered_out_does_not_search_the_whole_log_each_time(tmp_path):
    head, *lines = _declared_in_turns(tmp_path / "run.jsonl", 20_000)
    (tmp_path / "run.jsonl").write_text("".join([head, *lines[::2]]))
    run = graphdebug.load(tmp_path / "run.jsonl")
    seqs = [event.seq for event in run.events][2:-2]
    run.event(seqs[0] + 1)  # looks where the numbers are
    began = time.process_time()
    for seq in seqs:
        run.event(seq)
    found = time.process_time() - began
    began = time.process_time()
    assert [one for seq in seqs if (one := run.event(seq + 1)) is not None] == []
    assert time.process_time() - began < found  # it decodes nothing
