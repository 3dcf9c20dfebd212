"""Compiled: functions that can't be looked into, which are computed once more, op by op, for their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.plan import Plan
from graphdebug.backends.tensorflow.two.replaying import Replay
from graphdebug.model.event import Notice, TensorFact

__all__ = ["Compiled"]


class Compiled:
    """One call of a function that XLA compiles, or that is run as it is: made before the call, asked after it.

    It can't be looked into without changing it. What it gave is looked at, and the variables that it
    wrote; if that is not finite, or at levels that ask for statistics, its ops run once more, eagerly, from the
    same arguments and from the variables as they were.

    Args:
        observer: the recording.
        plan: the function's plan.
        inputs: what it is called with.

    """

    def __init__(self, observer: Observer, plan: Plan, inputs: Sequence[Any]) -> None:
        self._observer = observer
        self._plan = plan
        self._inputs = inputs
        self._written = sorted({
            entry.inputs[0][0].at for entry in plan.entries
            if entry.family == "assign" and entry.inputs and entry.inputs[0][0].kind == "argument"
        })  # fmt: skip
        self._before = self._read()

    def facts(
        self, outputs: Sequence[Any], kept: Callable[[], Mapping[int, Sequence[Any]]]
    ) -> Mapping[int, Sequence[TensorFact]]:
        """Return the facts of the outputs of each entry that was computed again, which may be none.

        Args:
            outputs: what the call gave.
            kept: takes what was kept of ops that give something else each time.

        """
        observer = self._observer
        is_asked = observer.level in ("stats", "values")
        if observer.level == "shapes" or not (is_asked or self._went_wrong(outputs)):
            return {}
        replay = Replay(self._plan, self._inputs, kept(), self._before)
        replay.everything()
        found = {index: tensors for index, tensors in replay.tensors.items() if tensors}
        facts = {index: [observer.fact(one) for one in tensors] for index, tensors in found.items()}
        if not is_asked:
            self._tell(replay.obstacle)
        return facts

    def _went_wrong(self, outputs: Sequence[Any]) -> bool:
        """Whether the call made something that is not finite of variables that were."""
        return self._is_bad([*outputs, *self._read().values()]) and not self._is_bad(self._before.values())

    def _is_bad(self, tensors: Any) -> bool:
        return any(one.dtype.is_floating and self._observer.fact(one).finite is False for one in tensors)

    def _read(self) -> dict[int, Any]:
        """Return the variables that the function writes, by the number of their argument."""
        found = {}
        for at in self._written:
            handle = self._inputs[at]
            data = getattr(handle, "_handle_data", None)
            if data is not None and data.shape_and_type:
                dtype = tf.as_dtype(data.shape_and_type[0].dtype)
                found[at] = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
        return found

    def _tell(self, obstacle: str) -> None:
        text = (
            f"{self._plan.title} is compiled by XLA and gave numbers that are not finite: it was computed once "
            "more, op by op, from the same arguments; the last bits may differ from XLA's"
        )
        if self._plan.draws:
            text = (
                f"{self._plan.title} gave numbers that are not finite: it was computed once more, op by op, "
                "from the same arguments"
            )
        if obstacle:
            text += f"; not all could be: {obstacle}"
        self._observer.emit(Notice(self._observer.sink.next_seq(), "replay", text))
