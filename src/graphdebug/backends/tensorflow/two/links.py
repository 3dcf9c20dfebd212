"""Links: which op of a traced function is the backward of which, learnt while TensorFlow traces it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.two.handles import variable_above
from graphdebug.backends.tensorflow.two.ledger import Ledger, Made, Ran
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Phase, TensorFact

__all__ = ["Links"]

_NOTHING = TensorFact(None, "")
"""The tensors of a function being traced have no facts yet; only who made them matters."""


class TracedGradient(NamedTuple):
    """A gradient of a variable or of a forward op's output in a traced function, by their names."""

    variable: str
    tensor: str
    forward: str = ""
    output: int = 0


class Links:
    """The backward ops of functions that were traced while recording.

    An op that is being built is known to the ledger by a negative number, so that the tape ties it to its
    forward op as it ties eager ops.
    """

    def __init__(self, ledger: Ledger, sink: Sink) -> None:
        self._ledger = ledger
        self._sink = sink
        self._names: dict[int, str] = {}
        self._forward: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()
        self._phases: weakref.WeakKeyDictionary[Any, dict[str, Phase]] = weakref.WeakKeyDictionary()
        self._gradients: weakref.WeakKeyDictionary[Any, list[TracedGradient]] = weakref.WeakKeyDictionary()
        self._layers: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()
        self._traced: weakref.WeakSet[Any] = weakref.WeakSet()
        self._last = 0

    def built(
        self, op_type: str | bytes, inputs: Sequence[Any], outputs: Sequence[Any], op_name: Any, graph: Any
    ) -> None:
        """TensorFlow added an op to a function it is tracing."""
        state = self._ledger.state
        if state.busy:
            return  # a function of ours
        self._last -= 1
        self._traced.add(graph)
        kind = op_type.decode() if isinstance(op_type, bytes) else str(op_type)
        name = op_name.decode() if isinstance(op_name, bytes) else str(op_name)
        self._names[self._last] = name
        if self._sink.module:
            self._layers.setdefault(graph, {})[name.rpartition("/")[0]] = self._sink.module
        unknown = Made(_NOTHING, "unknown")
        made = tuple(self._ledger.made.get(getattr(one, "_id", -1)) or unknown for one in inputs)
        if "VariableOp" in kind or kind.startswith("Resource"):
            variable = variable_above(sys._getframe(2))
            handle: Any = getattr(variable, "_handle", None)  # a variable being made has none yet
            if hasattr(handle, "_numpy_internal"):
                self._ledger.variables.setdefault(handle._id, self._ledger.name_of(variable))
        family = word(kind)
        self._ledger.ran[self._last] = Ran(kind, made, family.function, family.family)
        for index, tensor in enumerate(outputs):
            self._ledger.made[tensor._id] = Made(_NOTHING, "node", self._last, index)
        if self._sink.phase is not None and not state.backward:
            self._phases.setdefault(graph, {})[name] = self._sink.phase
        elif state.backward:
            self._phases.setdefault(graph, {})[name] = "backward"
            forward = self._ledger.forward_of(kind, inputs, outputs)
            if forward is not None and forward in self._names:
                self._forward.setdefault(graph, {})[name] = self._names[forward]

    def gradient(self, variable: str, tensor: Any) -> None:
        """The tape, while traced, gave `tensor` as the gradient of a variable."""
        self._gradients.setdefault(tensor.graph, []).append(TracedGradient(variable, tensor.name))

    def incoming(self, forward: int, output: int, tensor: Any) -> None:
        """The tape, while traced, gave a gradient function `tensor` as the gradient of what `forward` gave."""
        name = self._names.get(forward)
        if name is not None:
            found = self._gradients.setdefault(tensor.graph, [])
            found.append(TracedGradient("", tensor.name, name, output))

    def traced(self, graph: Any) -> bool:
        """Whether `graph` was traced while recording, or at least in part."""
        return graph in self._traced

    def gradients(self, graph: Any) -> Sequence[TracedGradient]:
        """Return the gradients that `graph` computes."""
        return self._gradients.get(graph, ())

    def forward(self, graph: Any, name: str) -> str | None:
        """Return the name of the forward op of op `name`, if it was seen being built."""
        return self._forward.get(graph, {}).get(name)

    def layer(self, graph: Any, scope: str) -> str | None:
        """Return the path of the layer whose call made the ops in `scope`, if a library above called one: what
        the scope is called is numbered anew each time.
        """
        return self._layers.get(graph, {}).get(scope)

    def phase(self, graph: Any, name: str) -> Phase | None:
        """Return the phase in which op `name` was built, if it was seen."""
        return self._phases.get(graph, {}).get(name)
