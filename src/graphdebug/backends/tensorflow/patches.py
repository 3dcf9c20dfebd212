"""Replacing attributes of TensorFlow's classes and modules, and putting every one back."""

from __future__ import annotations

from typing import Any

__all__ = ["Patches"]


class Patches:
    """What was replaced, in order."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, value: Any) -> Any:
        """Set ``owner.name`` to `value` and return what was there."""
        before = vars(owner)[name]
        self._saved.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Put everything back, last first. What someone else replaced after us stays as it is now."""
        while self._saved:
            owner, name, before = self._saved.pop()
            setattr(owner, name, before)
