"""Integers that wrap: a difference of unsigned numbers, made before they were cast to floats."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Node
from graphdebug.model.finding import Finding

__all__ = ["IntegerWatch"]

_WRAPPING = ("sub", "neg", "rsub")
_RANGE = {"uint8": "0 to 255", "uint16": "0 to 65535", "uint32": "0 to 4294967295", "uint64": "0 to 2^64 - 1"}


class IntegerWatch:
    """Looks for unsigned differences that are then taken as real numbers."""

    families = ("elementwise", "cast")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._wrapped: dict[int, Node] = {}
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one node."""
        fact = node.outputs[0] if node.outputs else None
        if fact is None or node.phase != "forward":
            return
        if node.function in _WRAPPING and fact.dtype in _RANGE and len(self._wrapped) < 1000:
            self._wrapped[node.seq] = node
        elif self._wrapped and "float" in fact.dtype and not self._found:
            made = next((self._wrapped[o.producer] for o in node.inputs if o.producer in self._wrapped), None)
            if made is not None:
                self._report(made, node)

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _report(self, node: Node, cast: Node) -> None:
        dtype = node.outputs[0].dtype
        self._found.append(
            self._evidence.finding(
                "integer_wrap",
                what=f"{node.function} in {dtype} wraps around below zero",
                candidates=[
                    *made_by(node, f"the {node.function}"),
                    *made_by(cast, f"the {cast.function} after it"),
                ],
                confidence=0.75,
                when=f"{node.phase}, step {node.step}; nothing failed",
                body=[
                    (
                        f"  {shape_words(node.outputs[0].shape)} {dtype} holds {_RANGE[dtype]}; then it became "
                        f"{cast.outputs[0].dtype}"
                    )
                ],
                tries=["cast to float before the difference"],
                operands=node.inputs,
                evidence=(node.seq, cast.seq),
            )
        )
