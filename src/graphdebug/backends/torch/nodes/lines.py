"""Lines of nodes filled into stencils: what executions of one op at one place share is rendered once.

Most nodes of a training program need nothing but a stencil (`stencil.py`), which here has holes also for the
numbers among an op's arguments that changed (Adam's factors, the place in a sequence); `NodeBuilder` builds all
others, and the first of each sort, from which the stencil is cut.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from graphdebug.backends.stencil import HOLE, cut, cut_gradient
from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.records import Record
from graphdebug.backends.torch.nodes.templates import Template
from graphdebug.backends.torch.nodes.writing import NodeBuilder
from graphdebug.model.batch import Batch
from graphdebug.model.event import Event, Gradient, Node, Stats

__all__ = ["Lines"]

_encoder = msgspec.json.Encoder()


class Lines:
    """Writes the lines of records, with the help of a builder and its memory of forward nodes."""

    def __init__(self, builder: NodeBuilder) -> None:
        self._builder = builder
        self._stencils = RECORD.Stencils(Stats, _encoder.encode)

    def batch(self, raws: list[Record], zero: float) -> Batch:
        """Return the events of `raws`, whose times count from `zero`: as lines where a file takes them."""
        gradients = sum(raw[10] is not None and len(raw[14]) > 0 for raw in raws)
        return Batch(
            len(raws) + gradients, lambda: self._builder.build(raws, zero), lambda: self._write(raws, zero)
        )

    def _write(self, raws: list[Record], zero: float) -> bytes:
        """Return the lines of `raws`, most of them filled into stencils."""
        lines: list[bytes] = []
        builder, fill = self._builder, self._stencils.fill
        users = builder.users if builder.gradients else None
        at = 0
        while at < len(raws):
            start = at
            at = fill(
                raws, at, zero, builder.forwards, builder.sources, users, builder.finished, builder.users_step
            )
            if at > start:
                lines.append(self._stencils.take())
            elif raws[at][3] == "forward" and raws[at][1] != builder.users_step:
                builder.enter_step(raws[at][1], raws[at][0])
            else:
                lines.append(_encoder.encode_lines(self._build(raws[at], zero))[:-1])
                at += 1
        builder.forget()
        return b"\n".join(filter(None, lines))

    def _build(self, raw: Record, zero: float) -> list[Event]:
        """Build the events of one record, and cut a stencil for the next ones like it."""
        builder = self._builder
        events: list[Event] = []
        try:
            builder.build_one(raw, zero, events)
            node, *gradients = events
            if isinstance(node, Node):
                left = [cut_gradient(one) for one in gradients if isinstance(one, Gradient)]
                pair = builder.forwards.get(raw[0])
                template = builder.template(raw)
                text, gradient = _cut(node, template), left[0] if left else None
                stencil = (template.statics, raw[9], raw[5], pair, text, gradient, template.shown)
                self._stencils.learn(raw, builder.forwards, stencil)
        except Exception as error:
            builder.sink.tool_error("building a node", error)
        return events


def _cut(node: Node, template: Template) -> bytes:
    """Return a node's line with zero bytes for holes."""
    attributes = node.attributes | {template.loose[slot]: HOLE for slot in template.shown}
    return cut(replace(node, attributes=attributes), "duration", "thread")
