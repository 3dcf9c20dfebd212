"""Repro: a stand-alone script that makes the failing call again, without the user's program."""

from __future__ import annotations

import math
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

import msgspec

import graphdebug.backends as _backends
from graphdebug.errors import GraphDebugError
from graphdebug.model.event import Failure, Node, Operand, TensorFact
from graphdebug.model.run import Run

__all__ = ["Repro", "write_repro"]

_OF_MANY_CALLS = ("inplace", "backward_twice", "leaf_inplace", "no_gradient", "uninitialized", "unfed",
                  "feed_shape", "other_graph", "finalized")  # fmt: skip
"""Failures that come of how calls follow each other, not of the tensors that one call was given."""
_GRADIENTS = ("backward", "grad", "gradient", "gradients")
"""Calls that run what many others have left behind."""


@dataclass(frozen=True, slots=True)
class Repro:
    """What was written."""

    script: Path
    tensors: tuple[Path, ...]
    """The safetensors files that the script reads."""
    guessed: tuple[str, ...]
    """The operands whose values the log does not have, made anew by the script."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The call to make again, from a failure or from the node that made a non-finite value."""

    event: Failure | Node
    operands: tuple[Operand, ...]
    heading: str
    nonfinite: bool = False


def write_repro(run: Run, log: Path, script: Path) -> Repro:
    """Write `script`, which makes the failing call of `run` again.

    Args:
        run: a run with a failure, or with a finding about a non-finite value.
        log: where it was read from; saved operands lie beside it.
        script: the file to write; the operands' values go beside it.

    Raises:
        GraphDebugError: the run holds no call that can be made again; the message says why.

    """
    call = _call_of(run)
    words = _words_of(call.event.framework)
    names = _names(call.operands)
    expression = _expression(call, words, names)
    tensors: list[Path] = []
    guessed: list[str] = []
    body: list[str] = []
    for name, operand in zip(names, call.operands, strict=True):
        if not re.search(rf"\b{name}\b", expression):
            continue  # it is an attribute of the call, too
        body.append(f"{name} = {_tensor(operand, name, call, words, log, script, tensors, guessed)}")
    imports = [*words["imports"], *([words["load"]] if tensors else [])]
    ending = [f"result = {expression}", words["result"]["finite"].format()] if call.nonfinite else [expression]
    script.write_text("\n".join([*_heading(call, guessed), *imports, "", *body, "", *ending]) + "\n", "utf-8")
    return Repro(script, tuple(tensors), tuple(guessed))


def _call_of(run: Run) -> _Call:
    failure = next(iter(run.failures), None)
    if failure is not None:
        of_many = failure.category in _OF_MANY_CALLS or failure.function in _GRADIENTS
        if of_many or not failure.operands:
            raise GraphDebugError(
                f"no repro: {failure.error} is not the fault of one call with tensors; "
                "`graphdebug explain` names the lines that lead to it"
            )
        message = failure.message.strip().splitlines() or [""]
        operands = tuple(_with_values(run, one) for one in failure.operands)
        return _Call(failure, operands, f"{failure.error}: {message[0]}")
    node = _nonfinite_node(run)
    if node is None:
        raise GraphDebugError("no repro: the run has no failing call and no node that made a non-finite value")
    operands = tuple(_with_values(run, one) for one in node.inputs)
    if not all(_is_complete(operand.fact) or operand.fact.saved for operand in operands):
        raise GraphDebugError(
            f"no repro: the values that {node.op} was given are not in the log; record with --level values"
        )
    return _Call(node, operands, f"{node.op} makes a non-finite value", nonfinite=True)


def _with_values(run: Run, operand: Operand) -> Operand:
    """Return `operand` with the values that its producer's output has, where it has none itself."""
    made = run.producer(operand)
    if operand.fact.values or operand.fact.saved or made is None or operand.output >= len(made.outputs):
        return operand
    fact = made.outputs[operand.output]
    if fact.shape != operand.fact.shape:
        return operand
    if not fact.values and made.family == "reshape" and made.inputs:  # a view, whose values are elsewhere
        given = _with_values(run, made.inputs[0]).fact.values
        total = math.prod(size or 0 for size in fact.shape or ())
        if len(given) in (1, total):  # one number that was expanded, or the same ones in the same order
            fact = msgspec.structs.replace(fact, values=tuple(given) * (total // len(given)))
    return msgspec.structs.replace(operand, fact=fact)


def _nonfinite_node(run: Run) -> Node | None:
    for finding in run.findings:
        for seq in finding.evidence:
            node = run.node(seq)
            if node is not None and any(fact.finite is False for fact in node.outputs):
                return node
    return None


def _words_of(framework: str) -> dict[str, Any]:
    """Return how calls of `framework` are written; the backend keeps that beside its code."""
    for folder in _backends.__path__:
        path = Path(folder) / framework / "calls.toml"
        if path.exists():
            return tomllib.loads(path.read_text("utf-8"))
    raise GraphDebugError(f"no repro: how calls of {framework} are written is not known")


def _names(operands: Sequence[Operand]) -> list[str]:
    """Return a distinct Python name for each operand: its role, else its own name."""
    names: list[str] = []
    for number, operand in enumerate(operands):
        word = operand.role or operand.name.rpartition(".")[2]
        name = word if word.isidentifier() else f"operand_{number}"
        names.append(f"{name}_{number}" if name in names else name)
    return names


def _expression(call: _Call, words: dict[str, Any], names: Sequence[str]) -> str:
    event = call.event
    layout = f"{event.function}.{event.attributes.get('weight_layout')}"
    functions = words["functions"]
    template = words["ops"].get(event.op) or functions.get(layout) or functions.get(event.function)
    if template is None:
        template = _fallback(event, words["fallback"])
    known = {name: repr(value) for name, value in event.attributes.items()}
    known |= {f"{name}_low": repr(_lows(value)) for name, value in event.attributes.items()}
    known |= {operand.role: name for operand, name in zip(call.operands, names, strict=True) if operand.role}
    filled = []
    for literal, word, _, _ in Formatter().parse(template):
        filled.append(literal)
        if word is not None:
            filled.append(_fill(word, known, names, event.op))
    return _in_mode(event, words, "".join(filled))


def _in_mode(event: Failure | Node, words: dict[str, Any], expression: str) -> str:
    """Return the call as the event's mode makes it: in a function that is compiled, in a graph being built."""
    mode, modes = "build" if event.phase == "build" else event.mode, words["mode"]
    ran = isinstance(event, Failure) and event.node is not None
    template = modes.get(f"{mode}.ran" if ran else mode, modes.get(mode, "{call}"))
    return str(template).replace("{call}", expression)


def _fallback(event: Failure | Node, fallback: dict[str, Any]) -> str:
    """Return how an op is called that has no entry of its own: by its name, with its tensors."""
    prefix = next((one for one in fallback["prefixes"] if event.op.startswith(one)), None)
    if prefix is None or event.family not in fallback["families"]:
        raise GraphDebugError(f"no repro: how to call {event.op} again is not known")
    return str(fallback["prefixes"][prefix]).replace("{name}", event.op.removeprefix(prefix))


def _fill(word: str, known: dict[str, str], names: Sequence[str], op: str) -> str:
    """Return the text for one word of a template: operands by number or role, or an attribute."""
    if word in ("all", "all_but_last"):
        return ", ".join(names if word == "all" else names[:-1])
    if word.isdigit() and int(word) < len(names):
        return names[int(word)]
    if word.endswith("?"):
        return known.get(word[:-1], "None")
    if word not in known:
        raise GraphDebugError(f"no repro: the log does not say the {word} of {op}")
    return known[word]


def _lows(pairs: Any) -> Any:
    if isinstance(pairs, list):
        return [pair[0] if isinstance(pair, list) else pair for pair in pairs]
    return pairs


def _tensor(
    operand: Operand,
    name: str,
    call: _Call,
    words: dict[str, Any],
    log: Path,
    script: Path,
    tensors: list[Path],
    guessed: list[str],
) -> str:
    """Return the expression that makes an operand: loaded, written out, or made anew."""
    fact, made = operand.fact, words["tensor"]
    if fact.saved:
        file, _, key = fact.saved.partition("#")
        copy = _copied((log if log.is_dir() else log.parent) / file, script, tensors)
        return f'load_file("{copy.name}")["{key or name}"]'
    shape = list(fact.shape or ())
    known = {"shape": shape, "dtype": fact.dtype}
    if _is_complete(fact):
        values = ", ".join(_literal(value) for value in fact.values)
        return str(made["values"].format(values=f"[{values}]", **known))
    guessed.append(name)
    comment = "  # the log has no values"
    if fact.dtype.startswith(("float", "bfloat")):
        return str(made["random"].format(**known)) + comment
    return str(made["filled"].format(fill=_fill_value(operand, call), **known)) + comment


def _fill_value(operand: Operand, call: _Call) -> str:
    """Return a value that keeps the fault: where an index is out of range, the one beyond the range."""
    if operand.fact.dtype == "bool":
        return "True"
    failure = call.event if isinstance(call.event, Failure) and call.event.category == "index" else None
    if failure is None or operand.role not in ("labels", "index"):
        return "0"
    indexed = next((one.fact.shape for one in call.operands if one is not operand and one.fact.shape), (0,))
    beyond = indexed[-1] if operand.role == "labels" else indexed[0]
    return str(failure.detail.get("value", failure.detail.get("high", beyond)))


def _copied(saved: Path, script: Path, tensors: list[Path]) -> Path:
    target = script.with_suffix(".safetensors")
    if target not in tensors:
        try:
            shutil.copyfile(saved, target)
        except OSError as error:
            raise GraphDebugError(
                f"no repro: can't read the saved operands {saved}: {error.strerror}"
            ) from error
        tensors.append(target)
    return target


def _is_complete(fact: TensorFact) -> bool:
    if fact.shape is None or None in fact.shape:
        return False
    return len(fact.values) == math.prod(size for size in fact.shape if size is not None)


def _literal(value: float | bool | str) -> str:
    if isinstance(value, str):
        return f'float("{value}")'
    return repr(value)


def _heading(call: _Call, guessed: Sequence[str]) -> Iterator[str]:
    site = call.event.site
    where = f", called at {site.file}:{site.line}" if site is not None else ""
    yield f"# {call.heading}"
    yield f"# {call.event.op}{where}; written by `graphdebug repro`."
    if guessed:
        yield f"# The values of {', '.join(guessed)} were not recorded: these have their shape and dtype."
        yield "# An error that depends on the values may not come again."
