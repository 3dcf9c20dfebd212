"""A program of the suite: a script as users write it, whose comments mark the fault, its mend and its modes.

A trailing comment carries the mark, and no mark is in the text that is run:

    x = x.view(-1, 3136)  # FAULT: x = x.flatten(1)     the fault is here; this mends it
    self.fc = Linear(9, 3)  # FAULT                     the fault is here, too
    crop = 24  # MENDED: crop = 28                      no fault, but changed in the clean twin
    loss = log(p)  # BORN                               the first bad node runs here, if not on a FAULT line
    model = Net()  # COMPILED: model = compile(Net())   how this line reads in the compiled mode
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODES", "Mode", "Program", "Text", "programs"]

_FOLDER = Path(__file__).parent / "programs"
_MARK = re.compile(r"[ ]*# (FAULT|MENDED|BORN|COMPILED)\b(?::[ ]?(.*))?$")


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to execute a graph: which programs can run in it, and what needs to be imported for it."""

    name: str
    folder: str
    imports: tuple[str, ...]
    """What is imported once, before the programs are run: the framework, and what it imports late."""
    compiled: bool = False
    static: bool = False
    """Whether the graph is built before it runs."""


_TORCH = ("torch", "torch._dynamo", "torch._inductor.compile_fx")
_TENSORFLOW = ("tensorflow", "tensorflow.compat.v1", "keras")
MODES = (
    Mode("torch eager", "torch", _TORCH),
    Mode("torch.compile", "torch", _TORCH, compiled=True, static=True),
    Mode("TF eager", "tf2", _TENSORFLOW),
    Mode("tf.function", "tf2", _TENSORFLOW, compiled=True, static=True),
    Mode("TF1 session", "tf1", _TENSORFLOW, static=True),
)
"""The modes that are compared, dynamic and static."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is run: the program's text in one mode, faulty or mended, and the lines (from 1) of its marks."""

    source: str
    faults: frozenset[int]
    births: frozenset[int]


@dataclass(frozen=True, slots=True)
class Program:
    """One faulty program: its first line says what is wrong as ``# kind: description``."""

    case: str
    path: Path

    @property
    def kind(self) -> str:
        """The kind of fault: ``shape``, ``silent fold``, ``non-finite`` ..."""
        return self._head()[0]

    @property
    def description(self) -> str:
        """What is wrong, in a few words."""
        return self._head()[1]

    @property
    def compiles(self) -> bool:
        """Whether the program says how it is written in the compiled mode."""
        return "# COMPILED:" in self.path.read_text("utf-8")

    def text(self, mode: Mode, *, mended: bool = False) -> Text:
        """Return what is run in `mode`, as the faulty program or as its clean twin."""
        lines: list[str] = []
        faults: set[int] = set()
        births: set[int] = set()
        for number, line in enumerate(self.path.read_text("utf-8").splitlines(), start=1):
            mark = _MARK.search(line)
            if mark is None:
                lines.append(line)
                continue
            word, other = mark.groups()
            if word == "FAULT":
                faults.add(number)
            elif word == "BORN":
                births.add(number)
            replaced = (word == "COMPILED" and mode.compiled) or (word in ("FAULT", "MENDED") and mended)
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(indent + other if replaced and other is not None else line[: mark.start()])
        return Text("\n".join(lines) + "\n", frozenset(faults), frozenset(births or faults))

    def _head(self) -> tuple[str, str]:
        first = self.path.read_text("utf-8").partition("\n")[0]
        kind, _, description = first.removeprefix("#").partition(":")
        return kind.strip(), description.strip()


def programs(mode: Mode) -> list[Program]:
    """Return the programs that can be run in `mode`, by name."""
    found = [Program(path.stem, path) for path in sorted((_FOLDER / mode.folder).glob("[a-z]*.py"))]
    return [one for one in found if one.compiles or not mode.compiled]
