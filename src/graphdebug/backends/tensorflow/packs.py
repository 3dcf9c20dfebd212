"""Packs: elements that come back from a run to be looked at here: small tensors joined, large ones whole.

One pass of the kernel over elements costs less than the five or more ops that would measure them in the graph,
and gives a standard deviation that does not cancel.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from graphdebug.backends.tensorflow.facts import array_fact
from graphdebug.model.event import Level, Stats, TensorFact

kernel: Any
try:
    from graphdebug.backends import _kernel as kernel
except ImportError:  # not compiled on this machine: TensorFlow's own ops measure
    kernel = None

__all__ = ["CODES", "ROOM", "SMALL", "VALUED", "Pack", "Place", "all_finite", "kernel"]

CODES = {
    "float32": 0, "float64": 1, "bfloat16": 2, "float16": 3, "int64": 4, "int32": 5, "int16": 6, "int8": 7,
    "uint8": 8, "bool": 9, "uint16": 10, "uint32": 11, "uint64": 12,
}  # fmt: skip
"""The kernel's numbers for the element types it reads."""
SMALL = 4096
"""Elements up to which a tensor is copied into a pack with others."""
VALUED = 256
"""Elements of a gradient whose statistics are taken at level health; of other tensors, those of one element."""
ROOM = 128_000_000
"""Bytes of large tensors that are kept until the end of a run at most."""

_stats = msgspec.json.Decoder(Stats)

Place = tuple[int, int]
"""A tensor of a plan: node index and output."""


@dataclass(slots=True)
class Pack:
    """Tensors of one dtype that are fetched as one array."""

    dtype: str
    position: int
    """In the probes' fetches."""
    places: list[Place]
    valued: int = 0
    """Of how many, the first ones, statistics are taken at level health, too: losses and small gradients."""

    def texts(self, fetched: Any, counts: bytes) -> list[bytes] | None:
        """Return the JSON of the statistics of its first tensors, which have `counts` elements.

        None where one of all its tensors is not finite.
        """
        found: list[bytes] | None = kernel.stats_texts(_plain(fetched), counts, CODES[self.dtype])
        return found

    def facts(
        self, fetched: Any, shapes: Mapping[Place, tuple[int, ...]], level: Level, devices: Sequence[str]
    ) -> dict[Place, TensorFact]:
        """Return what is known of each tensor.

        Args:
            fetched: the elements.
            shapes: by place.
            level: how much to look at.
            devices: of the nodes.

        """
        first: Level = "stats" if level == "health" else level
        seen = [first] * self.valued + [level] * (len(self.places) - self.valued)
        sizes = np.cumsum([0, *(int(np.prod(shapes[place])) for place in self.places)])
        flat = np.asarray(fetched).reshape(-1)
        return {
            place: self._fact(flat[start:end].reshape(shapes[place]), seen[at], devices[place[0]])
            for at, (place, (start, end)) in enumerate(zip(self.places, pairwise(sizes.tolist()), strict=True))
        }

    def _fact(self, elements: np.ndarray, level: Level, device: str) -> TensorFact:
        fact = array_fact(elements, "health" if elements.size else level, dtype=self.dtype, device=device)
        if level == "health" or not elements.size:
            return fact
        texts = self.texts(elements, array("q", [elements.size]).tobytes())
        if texts is None:
            return array_fact(elements, level, dtype=self.dtype, device=device)
        return msgspec.structs.replace(fact, stats=_stats.decode(texts[0]))


def all_finite(elements: Any, dtype: str) -> bool:
    """Whether no element of a floating array is NaN or infinite."""
    return bool(kernel.all_finite(_plain(elements), CODES[dtype]))


def _plain(elements: Any) -> Any:
    """Return an array that Python's buffer protocol knows: it does not know bfloat16."""
    return elements.view(np.uint16) if elements.dtype.kind == "V" else elements
