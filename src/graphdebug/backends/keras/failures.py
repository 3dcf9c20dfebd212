"""Exceptions that Keras raises in Python: the layer, its line, and what it was called with."""

from __future__ import annotations

import linecache
import re
from typing import Any

import keras

from graphdebug.backends.keras.graph import Graph
from graphdebug.backends.keras.layers import Failed, Layers, fact_of
from graphdebug.backends.keras.words import attributes_of, family_of, function_of
from graphdebug.backends.protocol import Sink
from graphdebug.model.event import Failure, Operand, TensorFact

__all__ = ["failure_of"]

_AXIS = re.compile(
    r"expected axis (?P<dimension>-?\d+) of input shape to have value (?P<expected>\d+), "
    r"but received input with shape \((?P<shape>[^)]*)\)"
)
_WHOLE = re.compile(
    r"[Ee]xpected shape[ =]*\((?P<expected>[\dNone, ]*)\),? (?:but input has incompatible|found) shape[ =]*"
    r"\((?P<found>[\dNone, ]*)\)"
)
_RANK = re.compile(
    r"expected (?:min_|max_)?ndim=(?P<expected>\d+), found (?:min_|max_)?ndim=(?P<found>\d+)"
    r"|with at least (?P<least>\d+) dimensions, received: \((?P<shape>[^)]*)\)"
)
_COUNT = re.compile(
    r"expects (?P<expected>\d+) (?:named )?input\(s\).* it received (?P<found>\d+) input", re.DOTALL
)
_UNKNOWN = re.compile(
    r"Unknown variable: <Variable path=(?P<variable>[^,]+),.*This optimizer can only", re.DOTALL
)
_STORED = re.compile(
    r"variable\.shape=\((?P<expected>[\d, ]*)\), Received: value\.shape=\((?P<found>[\d, ]*)\)"
    r"(?:\. Target variable: <Variable path=(?P<variable>[^,]+),)?"
    r"|weight shape \((?P<own>[\d, ]*)\) is not compatible with provided weight shape \((?P<given>[\d, ]*)\)"
)
_GUESSED = re.compile(r"[Cc]ould not automatically infer the (?:output )?shape")
_SHAPE_WORDS = re.compile(r"[Ss]hape|dimension|rank|ndim|axis|incompatible with the layer")


def failure_of(sink: Sink, layers: Layers, graph: Graph, error: BaseException) -> Failure | None:
    """Return what is known of an exception raised in Keras's own code, else None.

    An error of an op below Keras is left to the framework whose op it is.
    """
    if not isinstance(error, ValueError | TypeError | RuntimeError | AttributeError):
        return None
    if not _is_keras(error) and "incompatible with the layer" not in str(error):
        return None
    category, detail = _read(str(error))
    failed = layers.of(error) if "only supports singleton" not in str(error) else None
    if error.__context__ is not None and _GUESSED.search(str(error)):
        return None  # the user's own code failed while Keras tried it out
    if failed is None and "{{node " in str(error):
        return None  # an op below, whose operands its framework knows
    if failed is None and category == "other":
        return None
    frames = sink.sites.of_error(error)
    common: dict[str, Any] = {
        "error": type(error).__name__, "message": str(error), "category": category, "detail": detail,
        "framework": "keras", "frames": frames, "run_site": frames[-1] if frames else None,
    }  # fmt: skip
    if failed is None:
        loss = _loss(error)
        if loss and keras.backend.backend() == "tensorflow":
            return None  # the framework below knows where its two sides came from
        return Failure(sink.next_seq(), sink.step, site=common["run_site"], **common, **loss)
    layer = failed.layer
    made, _ = layers.site(layer)
    layers.declare_inputs()
    sink.emit(layers.declare(layer))
    return Failure(
        sink.next_seq(), sink.step, op=type(layer).__name__, function=function_of(layer),
        family=family_of(layer), module=layer.path or layer.name, operands=_operands(failed, graph),
        attributes=attributes_of(layer),
        site=common["run_site"] if failed.called_by_user or made is None else made, **common,
    )  # fmt: skip


def _loss(error: BaseException) -> dict[str, Any]:
    """Return what is known of the call, if a loss refused its target and its prediction."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame if traceback is not None else None
    function = _LOSSES.get(frame.f_code.co_name, "") if frame is not None else ""
    if frame is None or not function:
        return {}
    held = [(role, frame.f_locals.get(name)) for name, role in (("output", "logits"), ("target", "labels"))]
    operands = tuple(
        Operand(fact_of(one), "argument", role=role) for role, one in held if hasattr(one, "shape")
    )
    return {"function": function, "family": "loss", "operands": operands}


_LOSSES = {
    "sparse_categorical_crossentropy": "sparse_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "bce",
}


def _operands(failed: Failed, graph: Graph) -> tuple[Operand, ...]:
    found = graph.operands(failed.tensors, ["input"] * len(failed.tensors))
    kernel = getattr(failed.layer, "_kernel", None)
    if kernel is not None:
        weight = TensorFact(tuple(kernel.shape), str(kernel.dtype))
        found.append(Operand(weight, "variable", name=kernel.path, role="weight"))
    return tuple(found)


def _read(message: str) -> tuple[str, dict[str, Any]]:
    axis = _AXIS.search(message)
    if axis is not None:
        sizes = _sizes(axis["shape"])
        dimension = int(axis["dimension"])
        found = sizes[dimension] if -len(sizes) <= dimension < len(sizes) else None
        return "shape", {"dimension": dimension, "expected": int(axis["expected"]), "found": found}
    whole = _WHOLE.search(message)
    if whole is not None:
        return "shape", {key: _sizes(text) for key, text in whole.groupdict().items()}
    unknown = _UNKNOWN.search(message)
    if unknown is not None:
        return "optimizer_variables", {"variable": unknown["variable"]}
    count = _COUNT.search(message)
    if count is not None:
        return "data", {key: int(text) for key, text in count.groupdict().items()}
    stored = _STORED.search(message)
    if stored is not None:
        words = {"own": "expected", "given": "found"}
        return "checkpoint", {
            words.get(key, key): text if key == "variable" else _sizes(text)
            for key, text in stored.groupdict().items() if text is not None
        }  # fmt: skip
    rank = _RANK.search(message)
    if rank is not None and rank["least"] is not None:
        return "shape", {"expected": int(rank["least"]), "found": len(_sizes(rank["shape"]))}
    if rank is not None:
        return "shape", {"expected": int(rank["expected"]), "found": int(rank["found"])}
    return ("shape" if _SHAPE_WORDS.search(message) else "other"), {}


def _sizes(text: str) -> list[int | None]:
    return [None if one.strip() == "None" else int(one) for one in text.split(",") if one.strip()]


def _is_keras(error: BaseException) -> bool:
    """Whether Keras's own code raised: not an op of the framework that its backend called."""
    traceback, last, line = error.__traceback__, "", 0
    while traceback is not None:
        last, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    place = last.replace("\\", "/")
    refused = linecache.getline(last, line).lstrip().startswith("raise ")
    return "/keras/src/" in place and ("/keras/src/backend/" not in place or refused)
