"""The bytes of a log: one strict JSON object a line, tagged by its ``event`` key."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

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

__all__ = ["KINDS", "decode", "encode"]

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


def encode(events: Sequence[Event]) -> bytes:
    """Return `events` as lines, without a last newline."""
    return _encoder.encode_lines(events)[:-1]


def decode(line: bytes) -> Event:
    """Return the event on one line.

    Raises:
        msgspec.DecodeError: the line is not JSON, or not an event of this version.

    """
    event: Event = _decoder.decode(line)
    return event
