"""Words: Keras's layers and operations in the words that every framework shares (docs/format.md)."""

from __future__ import annotations

import re
from typing import Any

import keras
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.merging.base_merge import Merge
from keras.src.layers.pooling.base_global_pooling import BaseGlobalPooling
from keras.src.layers.pooling.base_pooling import BasePooling

from graphdebug.model.event import Family

__all__ = ["attributes_of", "family_of", "function_of"]


def family_of(operation: Any) -> Family:
    """Return the family of a layer, or of an operation on symbolic tensors."""
    named = next((family for kind, family in _FAMILIES if isinstance(operation, kind)), None)
    return named or _OPERATIONS.get(type(operation).__name__, "other")


def function_of(operation: Any) -> str:
    """Return the function word of a layer or operation."""
    rank = getattr(operation, "rank", 2)
    words: dict[Family, str] = {"linear": "linear", "conv": f"conv{rank}d", "upsample": f"upsample{rank}d"}
    if isinstance(operation, BaseConvTranspose):
        return f"conv_transpose{rank}d"
    own = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(operation).__name__).lower()
    return words.get(family_of(operation), own)


def attributes_of(operation: Any) -> dict[str, Any]:
    """Return what an operation was asked to do: strides, padding, axes."""
    layout = {"channels_last": "N{}C", "channels_first": "NC{}"}.get(getattr(operation, "data_format", ""), "")
    rank = getattr(operation, "rank", getattr(operation, "_rank", 2))
    sides = {1: "L", 2: "HW", 3: "DHW"}.get(rank, "HW")
    found = {
        "kernel": getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None),
        "stride": getattr(operation, "strides", None),
        "padding": getattr(operation, "padding", None),
        "dilation": getattr(operation, "dilation_rate", None),
        "groups": getattr(operation, "groups", None),
        "axis": getattr(operation, "axis", None),
        "layout": layout.format(sides),
        "transposed": isinstance(operation, BaseConvTranspose) or None,
        "weight_layout": {"linear": "IO", "conv": "HWIO"}.get(family_of(operation)),
        "target": getattr(operation, "target_shape", None) or getattr(operation, "newshape", None),
    }  # fmt: skip
    if isinstance(operation, keras.layers.Reshape):
        found["target"] = (-1, *operation.target_shape)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in found.items()
        if isinstance(value, int | str | tuple | list) and value not in ("", ())
    }


_FAMILIES: tuple[tuple[type, Family], ...] = (
    (keras.layers.Dense, "linear"),
    (BaseConvTranspose, "conv"),
    (BaseConv, "conv"),
    (BasePooling, "pool"),
    (BaseGlobalPooling, "reduce"),
    (keras.layers.Reshape, "reshape"),
    (keras.layers.Flatten, "reshape"),
    (keras.layers.Permute, "permute"),
    (keras.layers.BatchNormalization, "norm"),
    (keras.layers.LayerNormalization, "norm"),
    (keras.layers.Embedding, "index"),
    (keras.layers.Concatenate, "cat"),
    (Merge, "elementwise"),
    (keras.layers.ZeroPadding2D, "pad"),
    (keras.layers.UpSampling1D, "upsample"),
    (keras.layers.UpSampling2D, "upsample"),
    (keras.layers.UpSampling3D, "upsample"),
    (keras.layers.Dropout, "dropout"),
    (keras.layers.Softmax, "softmax"),
    (keras.layers.Activation, "elementwise"),
    (keras.layers.ReLU, "elementwise"),
    (keras.layers.LeakyReLU, "elementwise"),
    (keras.layers.InputLayer, "placeholder"),
)
_OPERATIONS: dict[str, Family] = {
    **dict.fromkeys(
        ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power", "Exp", "Log",
         "Sqrt", "Square", "Tanh", "Sigmoid", "Relu", "Abs", "Absolute", "Negative"), "elementwise",
    ),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Prod"), "reduce"),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), "reshape"),
    **dict.fromkeys(("Transpose", "Swapaxes", "Moveaxis"), "permute"),
    **dict.fromkeys(("Concatenate", "Stack"), "cat"),
    **dict.fromkeys(("GetItem", "Take", "TakeAlongAxis"), "index"),
    "Matmul": "matmul",
    "Einsum": "matmul",
    "Softmax": "softmax",
    "Cast": "cast",
}  # fmt: skip
"""Operations of ``keras.ops`` on symbolic tensors, by class."""
