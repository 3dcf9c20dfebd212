"""Assertions about a run: each fails with the line of the user's code that broke it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any

from graphdebug.errors import RecordingError
from graphdebug.model.event import Gradient, Level, Node, Shape, Site, Stats, TensorFact
from graphdebug.model.finding import Finding
from graphdebug.model.patterns import matches
from graphdebug.model.run import Run
from graphdebug.recording import Recording, record

__all__ = [
    "assert_finite",
    "assert_gradients_flow",
    "assert_no_broadcast",
    "assert_same_run",
    "assert_shapes",
    "raises",
]

_JOINING = ("elementwise", "where", "loss")
"""Families of ops that broadcast their operands."""

_SHOWN = 5
"""How many offenders a message lists before it only counts them."""


def assert_finite(run: Run, *, allow: Sequence[str] = ()) -> None:
    """Fail where a node put out NaN or Inf.

    A -Inf alone is let pass where the diagnosis sees that it does no harm, as in an attention mask.

    Args:
        run: a run recorded at level health or above.
        allow: glob patterns of functions, ops, modules, node names or ``file.py:line`` that may do so, beside
            those the run was recorded with.

    """
    __tracebackhide__ = True
    _needs_level(run, "assert_finite", "health")
    allow = (*allow, *(run.start.options.get("allow", ()) if run.start is not None else ()))
    bad = [node for node in run.nodes if _nonfinite(node) and not matches(node, allow)]
    faults = [one for one in run.findings if one.kind == "nonfinite"]
    if not faults:
        bad = [node for node in bad if not _is_mask(node)]
    if bad:
        lines = [f"{node.function} at {_place(node.site)} put out {_counts(node)}" for node in bad]
        told = f"\n{faults[0].text}" if faults else ""
        raise AssertionError(_listed(f"{len(bad)} of {len(run.nodes)} nodes are not finite", lines) + told)


def assert_gradients_flow(run: Run, model: Any = None) -> None:
    """Fail where a parameter got no gradient, a gradient of zeros only, or one with NaN or Inf.

    Args:
        run: a run recorded at level stats or above, in which backward ran.
        model: a model whose parameters are meant: it has ``named_parameters()`` or
            ``trainable_variables``. None: all parameters that took part in forward.

    """
    __tracebackhide__ = True
    _needs_level(run, "assert_gradients_flow", "stats")
    got = {one.name: one for one in run.gradients if one.name}
    expected = _used_parameters(run) if model is None else _parameters_of(model)
    lines = [f"{name}: {why}" for name in expected if (why := _why_no_flow(_gradient_of(name, got)))]
    if not expected:
        raise AssertionError("no parameter was seen: did forward and backward run inside the recording?")
    if lines:
        raise AssertionError(
            _listed(f"gradients do not flow to {len(lines)} of {len(expected)} parameters", lines)
        )


def assert_shapes(run: Run, expected: Mapping[str, Sequence[int | None]]) -> None:
    """Fail where the last output of a module, layer or node has another shape than expected.

    Args:
        run: any run.
        expected: shapes by name, as for `Run.shape_of`; None stands for any size.

    """
    __tracebackhide__ = True
    lines = []
    for name, shape in expected.items():
        try:
            node = run.output_of(name)
        except LookupError as error:
            lines.append(f"{name}: {error.args[0]}")
            continue
        found = node.outputs[0].shape
        if found is None or len(found) != len(shape) or not all(map(_fits, shape, found)):
            lines.append(f"{name}: expected {_shape(shape)}, found {_shape(found)} at {_place(node.site)}")
    if lines:
        raise AssertionError(_listed(f"{len(lines)} of {len(expected)} shapes are not as expected", lines))


def assert_no_broadcast(run: Run, *, allow: Sequence[str] = ()) -> None:
    """Fail where an operation stretched its operands against each other, as ``(8,) - (8, 1)`` does.

    An operand that is stretched to the other's shape alone, as a bias is, is let pass: the output is then
    no larger than the larger operand.

    Args:
        run: any run.
        allow: glob patterns of functions, ops, modules, node names or ``file.py:line`` that may do so.

    """
    __tracebackhide__ = True
    nodes = [node for node in run.nodes if node.phase == "forward" and not matches(node, allow)]
    lines = [_stretching(node) for node in nodes if node.family in _JOINING and _is_stretched(node)]
    if lines:
        raise AssertionError(
            _listed(f"operands are stretched against each other in {len(lines)} of {len(nodes)} nodes", lines)
        )


def assert_same_run(run: Run, other: Run, tolerance: float = 0.0) -> None:
    """Fail at the first node where two runs differ: in what ran, in shapes and types, or in the numbers.

    Args:
        run: a run recorded at level stats or above.
        other: the run it should equal, recorded likewise.
        tolerance: largest difference of a statistic (min, max, mean, std, l2), relative to the larger value.

    """
    __tracebackhide__ = True
    for one in (run, other):
        _needs_level(one, "assert_same_run", "stats")
    for index, (a, b) in enumerate(zip(run.nodes, other.nodes, strict=False)):
        difference = _difference(a, b, tolerance)
        if difference:
            place = f"{a.function} at {_place(a.site)} (step {a.step}, {a.phase})"
            raise AssertionError(f"the runs differ first in node {index}, {place}:\n  {difference}")
    if len(run.nodes) != len(other.nodes):
        raise AssertionError(f"one run has {len(run.nodes)} nodes, the other {len(other.nodes)}; the first "
                             f"{min(len(run.nodes), len(other.nodes))} are the same")  # fmt: skip


class raises:  # noqa: N801 - read as pytest.raises is
    """A block in which graphdebug must report a fault of one kind, at one line.

    The block is recorded; an exception that leaves it is what the fault is explained by, and ends here if
    the report is the expected one. ``as`` gives the run.

    Args:
        kind: the finding's kind, e.g. ``shape_mismatch`` (docs/findings.md), or several of which one will do.
        at: the culprit line as ``model.py:18``, with as much of the folder as is needed; None for any line.
        level: how much to record.

    Raises:
        AssertionError: nothing, or something else, was reported. The user's exception is its cause.

    """

    def __init__(self, kind: str | Sequence[str], *, at: str | None = None, level: Level = "stats") -> None:
        self._kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        self._at = at
        self._run = record(level=level)

    def __enter__(self) -> Recording:
        return self._run.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        self._run.__exit__(kind, error, trace)
        if error is not None and not isinstance(error, Exception):
            return False
        findings = self._run.findings
        if any(one.kind in self._kinds and _is_at(one.site, self._at) for one in findings):
            return True
        wanted = f"{' or '.join(self._kinds)} at {self._at or 'any line'}"
        raise AssertionError(f"expected {wanted}, but graphdebug reported {_reported(findings)}") from error


def _difference(a: Node, b: Node, tolerance: float) -> str:
    """Say in what two nodes of two runs differ; empty if they don't."""
    for word, one, two in (("op", a.op, b.op), ("module", a.module, b.module), ("phase", a.phase, b.phase)):
        if one != two:
            return f"{word}: {one or 'none'} against {two or 'none'}"
    if len(a.outputs) != len(b.outputs):
        return f"number of outputs: {len(a.outputs)} against {len(b.outputs)}"
    for one_fact, two_fact in zip(a.outputs, b.outputs, strict=True):
        if one_fact.shape != two_fact.shape:
            return f"shape: {_shape(one_fact.shape)} against {_shape(two_fact.shape)}"
        if one_fact.dtype != two_fact.dtype:
            return f"dtype: {one_fact.dtype} against {two_fact.dtype}"
        apart = _statistics_apart(one_fact.stats, two_fact.stats, tolerance)
        if apart:
            return apart
    return ""


def _statistics_apart(a: Stats | None, b: Stats | None, tolerance: float) -> str:
    if a is None or b is None:
        return ""
    for word in ("nan", "pos_inf", "neg_inf", "min", "max", "mean", "std", "l2"):
        one, two = getattr(a, word), getattr(b, word)
        if one is None or two is None:
            continue
        distance = abs(float(one) - float(two))
        if distance > tolerance * max(abs(float(one)), abs(float(two))):
            return f"{word}: {float(one):.9g} against {float(two):.9g}"
    return ""


def _needs_level(run: Run, who: str, least: str) -> None:
    from graphdebug.options import LEVELS

    level = run.start.options.get("level", "") if run.start is not None else ""
    if level in LEVELS and LEVELS.index(level) < LEVELS.index(least):
        raise RecordingError(f"{who} needs level={least!r}: this run was recorded at level={level!r}")


def _nonfinite(node: Node) -> TensorFact | None:
    return next((fact for fact in node.outputs if fact.finite is False), None)


def _is_mask(node: Node) -> bool:
    """Whether all that isn't finite in the node's outputs is -Inf."""
    return all(
        fact.finite is not False or (fact.stats is not None and not fact.stats.nan and not fact.stats.pos_inf)
        for fact in node.outputs
    )


def _counts(node: Node) -> str:
    fact = _nonfinite(node)
    if fact is None or fact.stats is None:
        return "NaN or Inf"
    counts = (("NaN", fact.stats.nan), ("+Inf", fact.stats.pos_inf), ("-Inf", fact.stats.neg_inf))
    found = ", ".join(f"{count} {word}" for word, count in counts if count)
    return f"{found} in {_shape(fact.shape)}"


def _used_parameters(run: Run) -> list[str]:
    used = (one for node in run.nodes if node.phase == "forward" for one in node.inputs)
    return list(dict.fromkeys(one.name for one in used if one.origin in ("parameter", "variable") and one.name))


def _parameters_of(model: Any) -> list[str]:
    if hasattr(model, "named_parameters"):
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if hasattr(model, "trainable_variables"):
        return [str(getattr(variable, "path", variable.name)) for variable in model.trainable_variables]
    raise RecordingError(f"{type(model).__name__} has neither named_parameters() nor trainable_variables")


def _gradient_of(name: str, got: Mapping[str, Gradient]) -> Gradient | None:
    """Return the gradient of parameter `name`, also where one of the two names has the owner's in front."""
    if name in got:
        return got[name]
    alike = [
        full
        for full in got
        if full.endswith((f".{name}", f"/{name}")) or name.endswith((f".{full}", f"/{full}"))
    ]
    if len(alike) > 1:
        raise RecordingError(f"{name} may be any of {', '.join(alike)}: pass the whole model, or None")
    return got[alike[0]] if alike else None


def _why_no_flow(gradient: Gradient | None) -> str:
    if gradient is None:
        return "no gradient"
    stats, shape = gradient.fact.stats, gradient.fact.shape
    if gradient.fact.finite is False:
        return "a gradient with NaN or Inf"
    if stats is not None and 0 < _size(shape) == stats.zero:
        return "a gradient of zeros only"
    return ""


def _stretching(node: Node) -> str:
    operands = " with ".join(_shape(one.fact.shape) for one in node.inputs)
    return f"{node.function} at {_place(node.site)}: {operands} gives {_shape(node.outputs[0].shape)}"


def _is_stretched(node: Node) -> bool:
    sizes = [_size(one.fact.shape) for one in node.inputs]
    output = _size(node.outputs[0].shape) if node.outputs else 0
    return len(sizes) > 1 and 0 < max(sizes) < output and 0 not in sizes


def _size(shape: Shape | None) -> int:
    return 0 if shape is None else prod(size or 0 for size in shape)


def _fits(wanted: int | None, found: int | None) -> bool:
    return wanted is None or wanted == found


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "?"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def _place(site: Site | None) -> str:
    return f"{Path(site.file).name}:{site.line}" if site is not None else "an unknown line"


def _is_at(site: Site | None, at: str | None) -> bool:
    if at is None:
        return True
    return site is not None and f"/{site.file}:{site.line}".replace("\\", "/").endswith(f"/{at}")


def _reported(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing"
    return f"{findings[0].kind} at {_place(findings[0].site)}:\n{findings[0].text}"


def _listed(head: str, lines: Sequence[str]) -> str:
    shown = [f"  {line}" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"  and {len(lines) - _SHOWN} more")
    return "\n".join([f"{head}:", *shown])
