"""The non-tensor arguments of an op, in the shared words of the log format: stride, padding, axis ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from graphdebug.backends.torch.nodes.facts import dtype_word
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.model.event import number

__all__ = ["Call", "attributes_of", "function_of", "plain"]

_LAYOUTS = {3: "NCL", 4: "NCHW", 5: "NCDHW"}


class Call(NamedTuple):
    """One call of an op."""

    op: Op
    values: dict[str, Any]
    """Its non-tensor arguments by name, defaults filled in."""
    shapes: Sequence[Any]
    """Shapes of its tensor inputs, in order."""

    def rank(self) -> int:
        """Number of dimensions of the first input; 0 where not known."""
        return len(self.shapes[0]) if self.shapes and self.shapes[0] is not None else 0


def attributes_of(call: Call) -> dict[str, Any]:
    """Return the attributes of a call, JSON-native; none for a backward op."""
    make = _BY_FAMILY.get(call.op.family)
    return {} if call.op.backward or make is None else make(call)


def function_of(call: Call) -> str:
    """Return the function of a call: torch has one op for all convolutions, the shared words have several."""
    if (
        call.op.name not in ("aten::convolution", "aten::_convolution")
        or len(call.shapes) < 2
        or call.shapes[1] is None
    ):
        return call.op.function
    kind = "conv_transpose" if call.values.get("transposed") else "conv"
    return f"{kind}{len(call.shapes[1]) - 2}d"


def plain(value: Any) -> Any:
    """Return an argument in JSON-native form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, complex):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, torch.dtype):
        return dtype_word(value)
    return str(value)


def _each(value: Any, count: int) -> list[Any]:
    """Spread one number over all spatial dimensions."""
    many = list(value) if isinstance(value, list | tuple) else [value]
    return many * count if len(many) == 1 else many


def _pairs(value: Any, count: int) -> Any:
    if isinstance(value, str):
        return value
    return [[one, one] for one in _each(value, count)]


def _conv(call: Call) -> dict[str, Any]:
    weight = tuple(call.shapes[1]) if len(call.shapes) > 1 and call.shapes[1] is not None else ()
    spatial = max(len(weight) - 2, 0)
    return {
        "stride": _each(call.values.get("stride", 1), spatial),
        "padding": _pairs(call.values.get("padding", 0), spatial),
        "dilation": _each(call.values.get("dilation", 1), spatial),
        "transposed": bool(call.values.get("transposed", "transpose" in call.op.function)),
        "output_padding": _each(call.values.get("output_padding", 0), spatial),
        "groups": call.values.get("groups", 1),
        "layout": _LAYOUTS.get(spatial + 2, ""),
        "kernel": list(weight[2:]),
        "weight_layout": "OIHW",
    }


def _pool(call: Call) -> dict[str, Any]:
    spatial = int(call.op.function[-2]) if call.op.function[-2:-1].isdigit() else max(call.rank() - 2, 0)
    layout = _LAYOUTS.get(spatial + 2, "")
    if "output_size" in call.values and "kernel_size" not in call.values:
        return {"output_size": _each(call.values["output_size"], spatial), "layout": layout}
    kernel = _each(call.values.get("kernel_size", []), spatial)
    return {
        "kernel": kernel,
        "stride": _each(call.values.get("stride") or kernel, spatial),
        "padding": _pairs(call.values.get("padding", 0), spatial),
        "dilation": _each(call.values.get("dilation", 1), spatial),
        "ceil": bool(call.values.get("ceil_mode", False)),
        "layout": layout,
    }


def _linear(call: Call) -> dict[str, Any]:
    return {"weight_layout": "OI" if call.op.name == "aten::linear" else "IO"}


def _matmul(call: Call) -> dict[str, Any]:
    if "equation" in call.values:
        return {"equation": plain(call.values["equation"])}
    return {"transpose_a": False, "transpose_b": False}


def _reshape(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for word, name in (("target", "size"), ("target", "shape"), ("axis", "dim")):
        if name in call.values:
            made[word] = plain(call.values[name])
    if call.op.function == "flatten":
        made["axis"] = [call.values.get("start_dim", 0), call.values.get("end_dim", -1)]
    return made


def _permute(call: Call) -> dict[str, Any]:
    rank = call.rank()
    order = list(range(rank))
    if "dims" in call.values:
        order = list(call.values["dims"])
    elif "dim0" in call.values and rank:
        a, b = call.values["dim0"] % rank, call.values["dim1"] % rank
        order[a], order[b] = order[b], order[a]
    elif call.op.name == "aten::t":
        order.reverse()
    return {"order": order}


def _axis(call: Call) -> dict[str, Any]:
    return {"axis": plain(call.values["dim"])} if "dim" in call.values else {}


def _split(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {"axis": call.values.get("dim", 0)}
    sizes = call.values.get("split_sizes", call.values.get("split_size"))
    if sizes is not None:
        made["sizes"] = plain(sizes)
    return made


def _index(call: Call) -> dict[str, Any]:
    made = _axis(call)
    for word, name in (("start", "start"), ("stop", "end"), ("step", "step"), ("index", "index")):
        if name in call.values:
            made[word] = plain(call.values[name])
    return made


def _elementwise(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if call.op.function == "pow" and "exponent" in call.values:
        made["exponent"] = plain(call.values["exponent"])
    elif "other" in call.values:
        made["scalar"] = plain(call.values["other"])
    elif "self" in call.values:
        made["scalar"] = plain(call.values["self"])
    if call.op.name == "aten::rsub":
        made["reversed"] = True
    if call.values.get("alpha", 1) != 1:
        made["alpha"] = plain(call.values["alpha"])
    if call.values.get("rounding_mode") is not None:
        made["rounding"] = plain(call.values["rounding_mode"])
    for name in ("min", "max", "negative_slope"):
        if call.values.get(name) is not None:
            made[name] = plain(call.values[name])
    return made


def _reduce(call: Call) -> dict[str, Any]:
    axis = call.values.get("dim")
    if axis == []:
        axis = None
    return {
        "axis": plain(axis if axis is None or isinstance(axis, list | tuple) else [axis]),
        "keepdims": bool(call.values.get("keepdim", False)),
    }


def _loss(call: Call) -> dict[str, Any]:
    reduction = call.values.get("reduction", 1)
    made: dict[str, Any] = {"reduction": ("none", "mean", "sum")[reduction]} if reduction in (0, 1, 2) else {}
    if "ignore_index" in call.values:
        made["ignore_index"] = plain(call.values["ignore_index"])
    return made


def _norm(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for word, name in (("eps", "eps"), ("normalized_shape", "normalized_shape"), ("training", "training")):
        if name in call.values:
            made[word] = plain(call.values[name])
    return made


def _dropout(call: Call) -> dict[str, Any]:
    return {"p": plain(call.values["p"])} if "p" in call.values else {}


def _pad(call: Call) -> dict[str, Any]:
    flat = list(call.values.get("pad") or call.values.get("padding") or ())
    pads = [list(pair) for pair in zip(flat[::2], flat[1::2], strict=False)][::-1]
    return {"pads": [[0, 0]] * (call.rank() - len(pads)) + pads}


def _upsample(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if call.values.get("output_size") is not None:
        made["output_size"] = plain(call.values["output_size"])
    scales = [
        call.values[name] for name in ("scales_d", "scales_h", "scales_w") if call.values.get(name) is not None
    ]
    if call.values.get("scale_factors") or scales:
        made["scale"] = plain(call.values.get("scale_factors") or scales)
    return made


def _cast(call: Call) -> dict[str, Any]:
    return {"dtype": plain(call.values["dtype"])} if call.values.get("dtype") is not None else {}


def _fill(call: Call) -> dict[str, Any]:
    return {
        word: plain(call.values[name])
        for word, name in (
            ("target", "size"),
            ("value", "fill_value"),
            ("value", "value"),
            ("stop", "end"),
            ("high", "high"),
        )
        if name in call.values
    }


def _other(call: Call) -> dict[str, Any]:
    return {"diagonal": plain(call.values["diagonal"])} if "diagonal" in call.values else {}


_BY_FAMILY: dict[str, Callable[[Call], dict[str, Any]]] = {
    "conv": _conv, "pool": _pool, "linear": _linear, "matmul": _matmul, "reshape": _reshape,
    "permute": _permute, "cat": _axis, "split": _split, "index": _index, "elementwise": _elementwise,
    "where": _fill, "reduce": _reduce, "softmax": _axis, "loss": _loss, "norm": _norm, "dropout": _dropout,
    "pad": _pad, "upsample": _upsample, "cast": _cast, "fill": _fill, "random": _fill, "other": _other,
}  # fmt: skip
