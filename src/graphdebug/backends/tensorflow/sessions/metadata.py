"""What TensorFlow says it executed: the partition graphs of RunMetadata, held against the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.sessions.calls import is_call
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.model.event import Event, Notice

__all__ = ["has_watches", "partition_graphs", "verify"]

_OWN = "graphdebug"
_PLUMBING = ("_Arg", "_Retval", "_Send", "_Recv", "_HostSend", "_HostRecv", "_FeedTensor", "_FetchTensor")


class _Asked:
    """Buffers for the C API: options that ask for partition graphs, and the place for the answer."""

    def __init__(self) -> None:
        from tensorflow.core.protobuf import config_pb2
        from tensorflow.python.client import pywrap_tf_session as api

        asked = config_pb2.RunOptions(output_partition_graphs=True)
        self._api = api
        self.options = api.TF_NewBufferFromString(asked.SerializeToString())
        self.metadata = api.TF_NewBuffer()

    def graphs(self) -> dict[str, str]:
        """Return the op types by name of all that was executed."""
        from tensorflow.core.protobuf import config_pb2

        answer = config_pb2.RunMetadata()
        answer.ParseFromString(self._api.TF_GetBuffer(self.metadata))
        return {node.name: node.op for graph in answer.partition_graphs for node in graph.node}

    def free(self) -> None:
        """Give the buffers back."""
        self._api.TF_DeleteBuffer(self.options)
        self._api.TF_DeleteBuffer(self.metadata)


def has_watches(options: Any) -> bool:
    """Whether the options of a run (a buffer of the C API) have TensorFlow's own debugger watch it."""
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.client import pywrap_tf_session as api

    asked = config_pb2.RunOptions.FromString(api.TF_GetBuffer(options))
    return bool(asked.debug_options.debug_tensor_watch_opts)


@contextmanager
def partition_graphs() -> Iterator[_Asked]:
    """Ask for the partition graphs of one run."""
    asked = _Asked()
    try:
        yield asked
    finally:
        asked.free()


def verify(executed: Mapping[str, str], probed: Probed, sink: Sink) -> Sequence[Event]:
    """Correct in `probed` what was predicted wrongly, and say what was fused, removed or not seen."""
    if not executed:
        return ()
    for node in probed.plan.nodes:
        seen, said = node.op.name in executed, probed.execution[node.index]
        if seen and said != "executed":
            probed.execution[node.index] = "executed"
            probed.execution[node.index] = probed.seen_as(node)
        elif not seen and said == "executed" and not is_call(node.op) and not node.fed:
            probed.execution[node.index] = "removed"
    names = {
        one: [node.op.name for node in probed.plan.nodes if probed.execution[node.index] == one]
        for one in ("fused", "removed")
    }
    if not names["fused"] and not names["removed"]:
        return ()
    text = (
        f"TensorFlow's graph optimizer fused {len(names['fused'])} and removed {len(names['removed'])} "
        f"of {len(probed.plan.nodes)} nodes; they are in the log without statistics"
    )
    return [Notice(sink.next_seq(), "fused", text, detail={**names, "made": _made(executed, probed)})]


def _made(executed: Mapping[str, str], probed: Probed) -> list[str]:
    """Return the names of the nodes that ran and that the optimizer put there."""
    graph = probed.plan.graph
    calls = tuple(f"{node.op.name}/" for node in probed.plan.nodes if is_call(node.op))
    known = {op.name for op in graph.get_operations()}
    return [
        name
        for name, op in executed.items()
        if name not in known and not name.startswith(calls) and not _is_plumbing(name, op)
    ]


def _is_plumbing(name: str, op: str) -> bool:
    return op in _PLUMBING or _OWN in name or name.startswith("_") or op == "NoOp" or op == "Const"
