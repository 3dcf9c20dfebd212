"""The bytes of a log: one strict JSON object a line, tagged by its ``event`` key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from graphdebug.model.batch import Batch
from graphdebug.model.event import (
    Declaration,
    End,
    Event,
    Failure,
    Framework,
    Gradient,
    Node,
    Notice,
    RunStart,
    Source,
    ToolError,
)

__all__ = ["KINDS", "decode", "encode", "outline"]

_AnyEvent = RunStart | Framework | Source | Declaration | Node | Gradient | Failure | Notice | ToolError | End
KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        RunStart,
        Framework,
        Source,
        Declaration,
        Node,
        Gradient,
        Failure,
        Notice,
        ToolError,
        End,
    )
}
"""The event kinds by their ``event`` tag."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_AnyEvent)


def outline(kind: type[Event], fields: Collection[str]) -> Callable[[bytes], Any]:
    """Return a decoder of lines of one kind that reads only `fields`, which takes a fraction of the time.

    What it gives has these fields as attributes and no others; it raises as `decode` does.
    """
    known = [
        (one.name, one.type) if one.required else (one.name, one.type, one.default)
        for one in msgspec.structs.fields(kind)
        if one.name in fields
    ]
    sketch = msgspec.defstruct(f"{kind.__name__}Outline", known, gc=False, kw_only=True)
    return msgspec.json.Decoder(sketch).decode


def encode(events: Sequence[Event]) -> bytes:
    """Return `events` as lines, without a last newline."""
    if isinstance(events, Batch):
        return events.lines()
    return _encoder.encode_lines(events)[:-1]


def decode(line: bytes) -> Event:
    """Return the event on one line.

    Raises:
        msgspec.DecodeError: the line is not JSON, or not an event of this version.

    """
    event: Event = _decoder.decode(line)
    return event
