"""Locality: hit, rank, noise, space, graph and time of one output against the true fault lines.

No established measure of an error message's locality was found; these are defined in docs/locality.md.
A distance is None where it can't be taken (the fault is never named, or the nodes are not connected) and
is never averaged over such misses.
"""

from __future__ import annotations

import msgspec

from graphdebug.locality.oracle import Oracle
from graphdebug.locality.output import Output
from graphdebug.locality.program import Text

__all__ = ["Locality", "measure"]


class Locality(msgspec.Struct, frozen=True):
    """How far one output stands from the fault."""

    hit: bool
    """Whether a fault line is named anywhere in the output."""
    rank: int | None
    """Place (from 1) of the first fault line among the distinct user lines named, in the better of the two
    orders of reading."""
    noise: int | None
    """Lines of output above the line that first names a fault line."""
    lines: int
    """Lines of output in all."""
    space: int | None
    """User frames between the innermost user frame and the first fault line; 0 where it is one itself."""
    graph: int | None
    """Dataflow hops from the first bad node to the node that is reported first."""
    nodes: int | None
    """Nodes executed from the birth of the first bad node to the report; 0 where it never came to run."""
    seconds: float | None
    """Seconds from the birth of the first bad node to the report, in the recorded run."""
    named: tuple[int, ...]
    """The user lines that the output points to, in order."""


def measure(output: Output, text: Text, oracle: Oracle | None) -> Locality:
    """Return the locality of `output` for the program `text`.

    Args:
        output: what was printed.
        text: the program with its marks.
        oracle: what the recorded run knows of the first bad node; without one the last three are None.

    """
    down, up = output.readings()
    ranks = down.rank(text.faults), up.rank(text.faults)
    reading = up if ranks[0] is not None and ranks[1] is not None and ranks[1] < ranks[0] else down
    rank = reading.rank(text.faults)
    at = output.first_naming(text.faults)
    return Locality(
        hit=rank is not None,
        rank=rank,
        noise=None if at is None else at - 1,
        lines=len(output.lines),
        space=reading.space(text.faults),
        graph=oracle.hops_to(reading.places) if oracle is not None else None,
        nodes=oracle.nodes_until_report() if oracle is not None and rank is not None else None,
        seconds=oracle.seconds_until_report() if oracle is not None and rank is not None else None,
        named=tuple(reading.places),
    )
