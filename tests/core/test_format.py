"""The log format: strict JSON, one definition, version 1 readable for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import graphdebug
from graphdebug.log.codec import KINDS, encode
from graphdebug.log.writer import LogWriter
from tests.core.make_golden import EVENTS

GOLDEN = Path(__file__).parent / "golden" / "format_1.jsonl"
FORMAT = Path(__file__).parents[2] / "docs" / "format.md"


def test_a_log_of_format_1_still_reads_as_the_same_events():
    run = graphdebug.load(GOLDEN)
    assert list(run.events) == EVENTS
    assert list(run.damage) == []


def test_the_events_of_format_1_are_still_written_to_the_same_bytes(tmp_path):
    writer = LogWriter(tmp_path / "run.jsonl")
    writer.write(EVENTS)
    writer.close()
    assert (tmp_path / "run.jsonl").read_bytes() == GOLDEN.read_bytes()


def test_the_golden_log_holds_every_kind_of_event():
    assert {json.loads(line)["event"] for line in GOLDEN.read_text().splitlines()} == set(KINDS)


def test_every_line_is_strict_json():
    def refuse(word):
        raise AssertionError(f"{word} is not strict JSON")

    for line in GOLDEN.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert '"NaN","Infinity","-Infinity"' in GOLDEN.read_text()


def test_the_check_for_strict_json_can_fail():
    with pytest.raises(AssertionError, match="NaN"):
        json.loads("NaN", parse_constant=lambda word: (_ for _ in ()).throw(AssertionError(word)))


@pytest.mark.parametrize("kind", [*KINDS.values()], ids=[*KINDS])
def test_every_field_is_documented(kind):
    text = FORMAT.read_text()
    missing = [field for field in kind.__struct_fields__ if f"`{field}`" not in text]
    assert not missing


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_the_golden_log_holds_every_field(event):
    written = json.loads(encode([event]))
    assert set(event.__struct_fields__) <= set(written)
