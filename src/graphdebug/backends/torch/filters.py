"""Which nodes are wanted: the patterns over module paths, ops and phases of a recording's options."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.options import Options

__all__ = ["Filters"]


class Filters:
    """The filters of one recording."""

    def __init__(self, options: Options) -> None:
        self.active = bool(options.modules or options.ops or options.phases)
        self._phases = frozenset(options.phases)
        self._modules = tuple(options.modules)
        self._ops = tuple(options.ops)
        self._module_wanted = lru_cache(maxsize=4096)(lambda path: _matches(path, self._modules))
        self._op_wanted = lru_cache(maxsize=4096)(self._matches_op)

    def wants(self, op: Op, phase: str, module: str) -> bool:
        """Whether a node is wanted; a backward node has no module of its own yet and passes that filter."""
        if self._phases and phase.partition(" ")[0] not in self._phases:
            return False
        if self._ops and not self._op_wanted(op.name, op.function):
            return False
        return not self._modules or phase.startswith("backward") or self._module_wanted(module)

    def _matches_op(self, name: str, function: str) -> bool:
        bare = name.partition("::")[2]
        return any(_matches(word, self._ops) for word in (name, bare, function))


def _matches(word: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, pattern) for pattern in patterns)
