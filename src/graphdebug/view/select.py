"""Selection: which nodes of a run somebody wants to see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from graphdebug.errors import OptionError
from graphdebug.model.event import Node, Site
from graphdebug.model.run import Run
from graphdebug.model.store import TextSearch
from graphdebug.view.where import Condition

__all__ = ["Selection", "parse_line", "parse_steps", "selected"]

Watch = Callable[[Sequence[Any]], Iterable[Any]]
"""Passes nodes on and may show progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a node must be to be shown; what is empty asks for nothing."""

    modules: tuple[str, ...] = ()
    """Module paths or glob patterns; a path takes in what is below it."""
    ops: tuple[str, ...] = ()
    """Op or function names, or glob patterns of them."""
    line: tuple[str, int] | None = None
    """End of a file's path, and a line in it (0 for any)."""
    phases: tuple[str, ...] = ()
    steps: tuple[int, int] | None = None
    """First and last step."""
    nonfinite: bool = False
    where: Condition | None = None

    def is_empty(self) -> bool:
        """Whether every node is wanted."""
        return self == Selection()

    def wants(self, node: Node) -> bool:
        """Whether `node` is wanted."""
        return (
            (not self.phases or node.phase in self.phases)
            and (self.steps is None or self.steps[0] <= node.step <= self.steps[1])
            and (not self.nonfinite or any(fact.finite is False for fact in node.outputs))
            and (not self.modules or any(_in_module(node.module or node.name, one) for one in self.modules))
            and (not self.ops or any(_is_op(node, pattern) for pattern in self.ops))
            and (self.line is None or _at(node.site, *self.line) or _at(node.run_site, *self.line))
            and (self.where is None or self.where.holds(node))
        )

    def fields(self) -> set[str]:
        """The fields of a node that `wants` looks at."""
        asked: dict[tuple[str, ...], object] = {
            ("phase",): self.phases,
            ("step",): self.steps,
            ("outputs",): self.nonfinite,
            ("module", "name"): self.modules,
            ("op", "function"): self.ops,
            ("site", "run_site"): self.line,
        }
        fields = {name for names, wanted in asked.items() if wanted for name in names}
        return fields | (self.where.fields if self.where else set())

    def texts(self) -> list[str]:
        """What the line of every wanted node holds, as it is written in the log."""
        found = ['"finite":false'] if self.nonfinite else []
        for patterns in (self.modules, self.ops):
            found += [_literal(one) for one in patterns if len(patterns) == 1]
        if self.line is not None:
            found.append(_in_json(os.path.basename(self.line[0])))
            found += [f'"line":{self.line[1]},'] if self.line[1] else []
        if len(self.phases) == 1 and self.phases[0] != "forward":
            found.append(f'"phase":"{self.phases[0]}"')
        return [text for text in found if text]


def selected(run: Run, selection: Selection, watch: Watch | None = None) -> Iterator[Node]:
    """Yield the nodes of `run` that `selection` wants, in order."""
    nodes = _candidates(run, selection)
    for node in watch(nodes) if watch else nodes:
        if node is not None and selection.wants(node):
            yield node


def _candidates(run: Run, selection: Selection) -> Sequence[Node | None]:
    if selection.steps is not None and selection.steps[0] == selection.steps[1]:
        return run.step(selection.steps[0]).nodes
    if selection.is_empty() or not isinstance(run.store, TextSearch):
        return run.nodes
    return run.store.sifted(Node, selection.texts(), selection.fields(), selection.wants)


def parse_line(text: str) -> tuple[str, int]:
    """Return file and line of ``net.py:31`` (or ``net.py``); OptionError if it is neither."""
    file, colon, number = text.rpartition(":")
    if not colon:
        return text, 0
    if not file or not (number.isascii() and number.isdigit()):
        raise OptionError(f"--line {text!r} is not a place in a file: write it as net.py:31")
    return file, int(number)


def parse_steps(text: str) -> tuple[int, int]:
    """Return first and last step of ``7`` or ``3-9``; OptionError if it is neither."""
    first, dash, last = text.partition("-")
    if not all(part.isascii() and part.isdigit() for part in ([first, last] if dash else [first])):
        raise OptionError(f"--step {text!r} is not a step: write a number (7) or a range (3-9)")
    return int(first), int(last if dash else first)


def _in_module(module: str, pattern: str) -> bool:
    if any(one in pattern for one in "*?["):
        return fnmatchcase(module, pattern)
    return module == pattern or module.startswith((pattern + ".", pattern + "/"))


def _is_op(node: Node, pattern: str) -> bool:
    names = (node.op, node.function, node.op.rpartition("::")[2])
    return any(fnmatchcase(name, pattern) for name in names)


def _at(site: Site | None, file: str, line: int) -> bool:
    if site is None or (line and not site.line <= line <= max(site.line, site.end_line)):
        return False
    return site.file == file or site.file.endswith(("/" + file, "\\" + file))


def _literal(pattern: str) -> str:
    """The longest piece of a glob pattern that must occur as it stands."""
    if "[" in pattern:
        pattern = pattern.partition("[")[0]
    return _in_json(max(pattern.replace("?", "*").split("*"), key=len))


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
