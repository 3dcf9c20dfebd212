"""Causes: why an op of finite inputs gives NaN or Inf, and why its derivative does, in one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.model.event import Node, Stats, TensorFact

__all__ = ["OVERFLOWING", "came_out", "derivative", "only_grows", "reason", "risk", "ways_out"]

OVERFLOWING = frozenset(
    {"linear", "matmul", "bmm", "einsum", "conv1d", "conv2d", "conv3d", "add", "sub", "mul", "square", "sum",
     "mean", "mse_loss", "cumsum", "addcmul", "lerp", "batch_norm", "layer_norm", "norm"}
)  # fmt: skip
"""Functions that leave the finite numbers only because values have grown too large, never by their domain."""

_FORWARD: dict[str, dict[str, str]] = {
    "log": {"-inf": "log(0) is -inf", "nan": "the log of a negative number is NaN"},
    "log1p": {"-inf": "log1p(-1) is -inf", "nan": "log1p of a number below -1 is NaN"},
    "log2": {"-inf": "log2(0) is -inf", "nan": "the log of a negative number is NaN"},
    "log10": {"-inf": "log10(0) is -inf", "nan": "the log of a negative number is NaN"},
    "sqrt": {"nan": "the square root of a negative number is NaN"},
    "rsqrt": {"inf": "rsqrt(0) is inf", "nan": "rsqrt of a negative number is NaN"},
    "reciprocal": {"inf": "1/0 is inf"},
    "div": {"nan": "0/0 is NaN", "inf": "a division by 0 is inf"},
    "addcdiv": {"nan": "0/0 is NaN", "inf": "a division by 0 is inf"},
    "exp": {"inf": "exp overflows: in float32 above 88.7, in float16 above 11.1"},
    "expm1": {"inf": "expm1 overflows: in float32 above 88.7, in float16 above 11.1"},
    "cosh": {"inf": "cosh overflows above 89.4"},
    "sinh": {"inf": "sinh overflows above 89.4"},
    "pow": {
        "nan": "a negative number to a fractional power is NaN",
        "inf": "0 to a negative power, or overflow",
    },
    "acos": {"nan": "acos is NaN outside [-1, 1]"},
    "asin": {"nan": "asin is NaN outside [-1, 1]"},
    "atanh": {"inf": "atanh(1) is inf", "nan": "atanh is NaN outside [-1, 1]"},
    "erfinv": {"inf": "erfinv(1) is inf"},
    "logit": {"inf": "logit of 0 or 1 is infinite", "-inf": "logit of 0 or 1 is infinite"},
    "softmax": {"nan": "a row of the softmax is -inf everywhere (all masked), or holds inf"},
    "log_softmax": {"nan": "a row of the softmax is -inf everywhere (all masked), or holds inf"},
    "mean": {"nan": "the mean of no elements is NaN"},
    "std": {"nan": "the standard deviation of a single element is NaN"},
    "var": {"nan": "the variance of a single element is NaN"},
    "bce": {"inf": "log(0): a predicted probability is exactly 0 or 1"},
    "nll_loss": {"nan": "no target counts (all are ignored): the mean of nothing is NaN"},
    "cross_entropy": {"nan": "no target counts (all are ignored), or a logit is not finite"},
    "ctc_loss": {"inf": "a target does not fit into the steps of its input: no alignment is possible"},
    "remainder": {"nan": "the remainder of a division by 0 is NaN"},
    "empty": {"nan": "memory that was never filled"},
    "linalg_inv_ex": {"nan": "a singular matrix has no inverse", "inf": "a singular matrix has no inverse"},
}
_BACKWARD = {
    "sqrt": "the derivative of sqrt is 1/(2 sqrt(x)), inf at 0",
    "rsqrt": "the derivative of rsqrt is -x^(-3/2)/2, inf at 0",
    "log": "the derivative of log is 1/x, inf at 0",
    "log2": "the derivative of log2 is 1/(x ln 2), inf at 0",
    "log10": "the derivative of log10 is 1/(x ln 10), inf at 0",
    "log1p": "the derivative of log1p is 1/(1 + x), inf at -1",
    "div": "the derivative of a/b by b is -a/b^2, infinite at b = 0",
    "reciprocal": "the derivative of 1/x is -1/x^2, infinite at 0",
    "pow": "the derivative of x^p is p x^(p-1), inf at 0 for p below 1",
    "norm": "the derivative of the norm is x/|x|, 0/0 at 0",
    "std": "the derivative of the standard deviation is 0/0 where all elements are equal",
    "acos": "the derivative of acos is -1/sqrt(1 - x^2), infinite at 1 and -1",
    "asin": "the derivative of asin is 1/sqrt(1 - x^2), inf at 1 and -1",
    "atan2": "the derivative of atan2 is 0/0 at (0, 0)",
    "exp": "the derivative of exp is exp(x), which overflowed",
    "logit": "the derivative of logit is 1/(x(1 - x)), inf at 0 and 1",
    "xlogy": "the derivative of x log y is inf at y = 0",
    "bce": "the derivative of the log is inf where a probability is exactly 0 or 1",
}
_TRIES: dict[str, Sequence[str]] = {
    "log": ("keep its input above 0: log(max(x, eps))", "log_softmax, or a loss on logits"),
    "log1p": ("clamp its input above -1",),
    "sqrt": ("add a small eps under the root",),
    "rsqrt": ("add a small eps under the root",),
    "div": ("add a small eps to the divisor, or mask the zeros before dividing",),
    "reciprocal": ("add a small eps to the divisor",),
    "exp": ("subtract the maximum first (logsumexp, softmax); softplus for log(1 + exp(x))", "clamp its input"),
    "softmax": ("leave at least one position of each row unmasked",),
    "pow": ("add a small eps to the base",),
    "norm": ("add a small eps to the norm",),
    "std": ("add a small eps, or take more than one element",),
    "acos": ("clamp its input to [-1 + eps, 1 - eps]",),
    "asin": ("clamp its input to [-1 + eps, 1 - eps]",),
    "bce": ("take the loss on logits (bce_with_logits)",),
    "mean": ("skip empty batches or masks",),
    "ctc_loss": ("keep more steps than a target has labels (less stride or pooling)", "zero_infinity=True"),
    "nll_loss": ("skip batches without a valid target",),
    "linalg_inv_ex": ("add a small multiple of the identity", "take the pseudo-inverse (pinv)"),
}  # fmt: skip
_ALIKE = {"log2": "log", "log10": "log", "log_softmax": "softmax", "var": "std", "xlogy": "log",
          "expm1": "exp", "cross_entropy": "nll_loss", "floor_divide": "div", "addcdiv": "div",
          "remainder": "div"}  # fmt: skip


def reason(node: Node) -> str:
    """Say why a forward node of finite inputs gave what it gave."""
    function, kinds = node.function.removesuffix("_backward"), _kinds(node)
    known = {} if only_grows(node) else _FORWARD.get(function, {})
    if not any(fact.finite is False for fact in node.outputs):  # it was not looked at itself
        return " or ".join(dict.fromkeys(known.values()))
    for kind in kinds:
        if kind in known:
            return known[kind]
    if "inf" in known and "-inf" in kinds:
        return known["inf"]
    if only_grows(node) and (kinds[:1] != ["nan"] or function == "pow"):
        return f"{function} overflowed {node.outputs[0].dtype}: its values have grown too large"
    return ""


def derivative(function: str) -> str:
    """Say where the derivative of a forward function is not finite."""
    return _BACKWARD.get(function, "")


def ways_out(function: str) -> list[str]:
    """Return what to try for a function that left the finite numbers."""
    return list(_TRIES.get(_ALIKE.get(function, function), ()))


def only_grows(node: Node) -> bool:
    """Whether finite inputs can only overflow here, not leave a domain: sums and products, whole powers."""
    function, power = node.function.removesuffix("_backward"), node.attributes.get("exponent")
    if function == "pow":
        return isinstance(power, int | float) and power >= 1 and float(power).is_integer()
    return function in OVERFLOWING and not any(0 in (one.fact.shape or ()) for one in node.inputs)


def risk(node: Node) -> int:
    """Return how readily an op makes a non-finite number of finite ones: 2 by its domain, 1 by overflow."""
    function = node.function.removesuffix("_backward")
    if only_grows(node):
        return 1
    return 2 if function in _FORWARD or function in _BACKWARD else 1 if function in OVERFLOWING else 0


def came_out(fact: TensorFact) -> str:
    """Return ``NaN in 3 of 80 elements``."""
    stats = fact.stats
    total = 1
    for size in fact.shape or ():
        total *= size or 1
    if stats is None:
        return "not finite"
    counts = [("NaN", stats.nan), ("inf", stats.pos_inf), ("-inf", stats.neg_inf)]
    words = [f"{word} in {count}" for word, count in counts if count]
    return f"{' and '.join(words)} of {total} element{'s' if total != 1 else ''}" if words else "not finite"


def _kinds(node: Node) -> list[str]:
    bad = next((fact for fact in node.outputs if fact.finite is False), None)
    stats: Stats | None = bad.stats if bad is not None else None
    if stats is None:
        return ["nan", "inf", "-inf"]
    return [k for k, n in (("-inf", stats.neg_inf), ("inf", stats.pos_inf), ("nan", stats.nan)) if n]
