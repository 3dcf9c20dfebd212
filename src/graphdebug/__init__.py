"""graphdebug: debug instrumentation for the computation graphs of PyTorch and TensorFlow.

``with graphdebug.record("run.jsonl"):`` around any program records every node; ``graphdebug.load`` reads
a run back. Importing this package loads no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphdebug._version import VERSION as __version__

if TYPE_CHECKING:
    from graphdebug.backends.torch.comparing.compare import compare_compiled
    from graphdebug.errors import (
        GraphDebugError,
        GraphDebugWarning,
        LogError,
        OptionError,
        RecordingError,
    )
    from graphdebug.loading import load
    from graphdebug.model.event import Event, Node, Site, TensorFact
    from graphdebug.model.finding import Finding
    from graphdebug.model.run import Run
    from graphdebug.recording import Recording, record
    from graphdebug.testing.assertions import (
        assert_finite,
        assert_gradients_flow,
        assert_no_broadcast,
        assert_same_run,
        assert_shapes,
        raises,
    )

__all__ = [
    "Event",
    "Finding",
    "GraphDebugError",
    "GraphDebugWarning",
    "LogError",
    "Node",
    "OptionError",
    "Recording",
    "RecordingError",
    "Run",
    "Site",
    "TensorFact",
    "__version__",
    "assert_finite",
    "assert_gradients_flow",
    "assert_no_broadcast",
    "assert_same_run",
    "assert_shapes",
    "compare_compiled",
    "load",
    "raises",
    "record",
]

_HOME = {
    "compare_compiled": "backends.torch.comparing.compare",
    "Event": "model.event",
    "Finding": "model.finding",
    "GraphDebugError": "errors",
    "GraphDebugWarning": "errors",
    "LogError": "errors",
    "Node": "model.event",
    "OptionError": "errors",
    "Recording": "recording",
    "RecordingError": "errors",
    "Run": "model.run",
    "Site": "model.event",
    "TensorFact": "model.event",
    "assert_finite": "testing.assertions",
    "assert_gradients_flow": "testing.assertions",
    "assert_no_broadcast": "testing.assertions",
    "assert_same_run": "testing.assertions",
    "assert_shapes": "testing.assertions",
    "load": "loading",
    "raises": "testing.assertions",
    "record": "recording",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
