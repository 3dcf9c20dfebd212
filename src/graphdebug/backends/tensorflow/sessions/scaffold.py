"""What is built beside a user's graph, and found again: each of our ops is made once for a graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["SCOPE", "building", "joined", "once", "read_of", "remembered"]

SCOPE = "graphdebug"
"""Name scope of all that is ours."""
_known_probes: weakref.WeakKeyDictionary[Any, dict[tuple[str, str], str]] = weakref.WeakKeyDictionary()
"""For each graph, the names of our tensors by what they tell of which: it is probed once."""


@contextmanager
def building(graph: Any) -> Iterator[None]:
    """Make `graph` the default graph, outside every scope, also if it was finalized; as before afterwards."""
    finalized = graph.finalized
    if finalized:
        graph._unsafe_unfinalize()
    try:
        with (
            graph.as_default(),
            graph.control_dependencies(None),
            graph.name_scope(f"{SCOPE}/"),
            graph.device(None),
            graph._original_op(None),
        ):
            yield
    finally:
        if finalized:
            graph.finalize()


def remembered(graph: Any, of: str, what: str, build: Callable[[], Any]) -> Any:
    """Return the tensor that `build` makes, or the one of before if `graph` has it already."""
    known = _known_probes.setdefault(graph, {})
    name = known.get((of, what))
    if name is None:
        made = build()
        known[of, what] = made.name
        return made
    return graph.get_tensor_by_name(name)


def read_of(handle: Any) -> Any:
    """Return a read of the variable of `handle`."""
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(handle.op.get_attr("dtype"))
    read = tf.raw_ops.ReadVariableOp
    return remembered(handle.graph, handle.name, "read", lambda: read(resource=handle, dtype=dtype))


def once(tensor: Any, what: str, build: Callable[[Any], Any]) -> Any:
    """Return what `build` makes of `tensor`, on its device."""

    def placed() -> Any:
        with tensor.graph.device(tensor.op.device or None):
            return build(tensor)

    return remembered(tensor.graph, tensor.name, what, placed)


def joined(vectors: Sequence[Any]) -> Any:
    """Return vectors end to end, in one that their graph has already if there is one."""
    import tensorflow as tf

    if len(vectors) == 1:
        return vectors[0]
    what = "+".join(vector.name for vector in vectors[1:])
    return once(vectors[0], what, lambda _: tf.concat(vectors, 0))
