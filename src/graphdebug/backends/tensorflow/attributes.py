"""What an op was asked to do, in the words that every framework shares: stride, padding, axis, target ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.model.event import Operand, number

__all__ = ["Asked", "attributes_of", "has_attributes"]


class Asked(NamedTuple):
    """What one op was given besides its tensors."""

    attr: Callable[[str], Any]
    """Gives an attribute by TensorFlow's name for it, in Python form, or None if the op has none."""
    constant: Callable[[int], Any]
    """Gives input number i as a numpy array where its value is known, or None. (Axes, targets and paddings
    are inputs in TensorFlow.)"""
    inputs: Sequence[Operand]
    """The operands; their shapes give kernel sizes."""


def attributes_of(op_type: str, asked: Asked) -> dict[str, Any]:
    """Return the JSON-native attributes of one op of type `op_type` (TensorFlow's name: ``Conv2D``)."""
    reader = _READERS.get(op_type)
    if reader is None:
        return {}
    return {key: value for key, value in reader(asked).items() if value is not None}


def has_attributes(op_type: str) -> bool:
    """Whether ops of this type can have any."""
    return op_type in _READERS


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _ints(array: Any) -> list[int] | None:
    return None if array is None else [int(value) for value in array.reshape(-1)]


def _int_or_ints(array: Any) -> int | list[int] | None:
    if array is None:
        return None
    return int(array) if array.ndim == 0 else _ints(array)


def _spatial(values: Sequence[int] | None, layout: str) -> list[int] | None:
    """Keep the entries of the spatial axes of a layout like ``NHWC``."""
    if not values or len(values) != len(layout):
        return None
    return [int(value) for value, axis in zip(values, layout, strict=True) if axis not in "NC"]


def _padding(asked: Asked, layout: str) -> Any:
    word = _text(asked.attr("padding") or "VALID").lower()
    if word != "explicit":
        return word
    flat = list(asked.attr("explicit_paddings") or ())
    pairs = [[int(flat[i]), int(flat[i + 1])] for i in range(0, len(flat), 2)]
    return [pair for pair, axis in zip(pairs, layout, strict=False) if axis not in "NC"]


def _conv(asked: Asked) -> dict[str, Any]:
    layout = _text(asked.attr("data_format") or "NHWC")
    weight = asked.inputs[1].fact.shape if len(asked.inputs) > 1 else None
    kernel = None if weight is None else list(weight[: len(layout) - 2])
    return {
        "stride": _spatial(asked.attr("strides"), layout),
        "dilation": _spatial(asked.attr("dilations"), layout),
        "padding": _padding(asked, layout),
        "groups": 1,
        "transposed": False,
        "layout": layout,
        "kernel": kernel,
        "weight_layout": {"NHWC": "HWIO", "NCHW": "HWIO"}.get(layout, "DHWIO"),
    }


def _depthwise(asked: Asked) -> dict[str, Any]:
    weight = asked.inputs[1].fact.shape if len(asked.inputs) > 1 else None
    groups = weight[2] if weight is not None and len(weight) == 4 else None
    return {**_conv(asked), "groups": groups, "weight_layout": "HWGM"}


def _conv_backward(asked: Asked) -> dict[str, Any]:
    layout = _text(asked.attr("data_format") or "NHWC")
    return {
        "stride": _spatial(asked.attr("strides"), layout),
        "padding": _padding(asked, layout),
        "layout": layout,
    }


def _pool(asked: Asked) -> dict[str, Any]:
    layout = _text(asked.attr("data_format") or "NHWC")
    return {
        "kernel": _spatial(asked.attr("ksize"), layout),
        "stride": _spatial(asked.attr("strides"), layout),
        "padding": _padding(asked, layout),
        "ceil": False,
        "layout": layout,
    }


def _matmul(asked: Asked) -> dict[str, Any]:
    return {"transpose_a": bool(asked.attr("transpose_a")), "transpose_b": bool(asked.attr("transpose_b"))}


def _bmm(asked: Asked) -> dict[str, Any]:
    return {"transpose_a": bool(asked.attr("adj_x")), "transpose_b": bool(asked.attr("adj_y"))}


def _reduce(asked: Asked) -> dict[str, Any]:
    return {"axis": _ints(asked.constant(1)), "keepdims": bool(asked.attr("keep_dims"))}


def _argmax(asked: Asked) -> dict[str, Any]:
    return {"axis": _int_or_ints(asked.constant(1))}


def _strided_slice(asked: Asked) -> dict[str, Any]:
    return {
        "start": _ints(asked.constant(1)),
        "stop": _ints(asked.constant(2)),
        "step": _ints(asked.constant(3)),
        "shrink_axis_mask": int(asked.attr("shrink_axis_mask") or 0) or None,
        "new_axis_mask": int(asked.attr("new_axis_mask") or 0) or None,
    }


def _pads(asked: Asked) -> dict[str, Any]:
    pads = asked.constant(1)
    return {"pads": None if pads is None else [[int(low), int(high)] for low, high in pads]}


def _leading_axis(asked: Asked) -> dict[str, Any]:
    return {"axis": _int_or_ints(asked.constant(0))}


def _concat(asked: Asked) -> dict[str, Any]:
    return {"axis": _int_or_ints(asked.constant(len(asked.inputs) - 1))}


def _axis_attr(asked: Asked) -> dict[str, Any]:
    return {"axis": int(asked.attr("axis") or 0)}


def _cast(asked: Asked) -> dict[str, Any]:
    kind = asked.attr("DstT")
    return {"dtype": None if kind is None else dtype_word(kind)}


def _epsilon(asked: Asked) -> dict[str, Any]:
    return {
        "eps": None if asked.attr("epsilon") is None else number(asked.attr("epsilon")),
        "layout": _text(asked.attr("data_format") or "NHWC"),
        "training": bool(asked.attr("is_training")),
    }


def _equation(asked: Asked) -> dict[str, Any]:
    return {"equation": _text(asked.attr("equation"))}


def _message(asked: Asked) -> dict[str, Any]:
    return {"message": _text(asked.attr("message") or "")}


def _constant_as(name: str, index: int) -> Callable[[Asked], dict[str, Any]]:
    def read(asked: Asked) -> dict[str, Any]:
        return {name: _int_or_ints(asked.constant(index))}

    return read


def _exponent(asked: Asked) -> dict[str, Any]:
    power = asked.constant(1)
    return {"exponent": number(float(power)) if power is not None and power.ndim == 0 else None}


def _batch_norm(asked: Asked) -> dict[str, Any]:
    return {**_epsilon(asked), "layout": _text(asked.attr("data_format") or "NHWC")}


def _last_axis(_asked: Asked) -> dict[str, Any]:
    return {"axis": -1}


_target, _order = _constant_as("target", 1), _constant_as("order", 1)

_READERS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "Conv2D": _conv, "Conv3D": _conv, "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _conv_backward, "Conv2DBackpropFilter": _conv_backward,
    "Conv3DBackpropInputV2": _conv_backward, "Conv3DBackpropFilterV2": _conv_backward,
    "MaxPool": _pool, "AvgPool": _pool, "MaxPool3D": _pool, "AvgPool3D": _pool, "MaxPoolWithArgmax": _pool,
    "MatMul": _matmul, "BatchMatMul": _bmm, "BatchMatMulV2": _bmm, "BatchMatMulV3": _bmm, "Einsum": _equation,
    "Reshape": _target, "BroadcastTo": _target, "Tile": _constant_as("multiples", 1),
    "ExpandDims": _constant_as("axis", 1), "Transpose": _order,
    "Squeeze": lambda asked: {"axis": [int(one) for one in asked.attr("squeeze_dims") or ()]},
    **dict.fromkeys(("Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm"), _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin", "Cumsum", "Cumprod"), _argmax),
    "ConcatV2": _concat, "Concat": _leading_axis, "Split": _leading_axis, "Pack": _axis_attr,
    "Unpack": _axis_attr, "OneHot": _axis_attr, "SplitV": _constant_as("axis", 2),
    "GatherV2": _constant_as("axis", 2), "StridedSlice": _strided_slice,
    "Slice": lambda asked: {"start": _ints(asked.constant(1)), "sizes": _ints(asked.constant(2))},
    "Pow": _exponent, "Pad": _pads, "PadV2": _pads, "MirrorPad": _pads, "Cast": _cast,
    "ResizeBilinear": _constant_as("output_size", 1), "ResizeNearestNeighbor": _constant_as("output_size", 1),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    "CheckNumerics": _message, "CheckNumericsV2": _message,
    "Softmax": _last_axis,
    "LogSoftmax": _last_axis,
}  # fmt: skip
