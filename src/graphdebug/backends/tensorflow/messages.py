"""TensorFlow's error messages read into the categories and details of docs/format.md."""

# ruff: noqa: E501 -- a rule is one line
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["ON_TENSORS", "Reading", "node_name", "python_frames", "read_message", "shapes_in", "unwrapped"]

_LIST = re.compile(r"(?<!\w)\[((?:\d+,)*\d+)\]")
_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+), in (\S+)', re.MULTILINE)
_FRAMES = re.compile(r'File "([^"]+)", line (\d+)(, in )?')
_REPLACES = re.compile(r"Exception encountered when calling|\W*(?:\[1m)?(?:We c|C)ould not automatically infer")
_NODE = re.compile(r"\{\{node ([^}]*)\}\}")


ON_TENSORS = r"'[\w.]*(?:Tensor|Variable)' object (?:does not support item assignment|has no attribute '(?P<attribute>\w+)')"
"""What Python says of a tensor that can't do what its own values can."""


class Reading(NamedTuple):
    """What a message says."""

    category: str
    detail: dict[str, Any]


def node_name(message: str) -> str:
    """Return the name of the node that a message of the runtime names first, or an empty name."""
    found = _NODE.search(message)
    return found.group(1).rpartition(" ")[2] if found else ""


def shapes_in(message: str) -> list[tuple[int, ...]]:
    """Return the shapes that a message of the runtime gives as ``[8,4]``, in order."""
    return [tuple(int(size) for size in found.split(",") if size) for found in _LIST.findall(message)]


def python_frames(message: str) -> list[tuple[str, int, str]]:
    """Return file, line and function of the traceback of a Python function of the user's that an op has called."""
    _, _, trace = message.partition("Traceback (most recent call last)")
    return [(file, int(line), name) for file, line, name in _FRAME.findall(trace)]


def unwrapped(error: BaseException) -> BaseException:
    """Return the exception that Keras has replaced by one that tells the arguments of the layers too."""
    while error.__context__ is not None and _REPLACES.match(str(error)):
        error = error.__context__
    return error


def read_message(message: str) -> Reading:
    """Return the category and detail of an error message; ``other`` where no rule knows it."""
    for pattern, category, detail in _RULES:
        found = pattern.search(message)
        if found:
            return Reading(category, detail(found.groupdict()))
    return Reading("other", {})


def _numbers(groups: dict[str, str]) -> dict[str, Any]:
    """Return the groups, as numbers where they are."""
    return {key: int(text) if text.lstrip("-").isdigit() else text for key, text in groups.items() if text}


def _shapes(groups: dict[str, str]) -> dict[str, Any]:
    return {key: _sizes(text) if key in ("expected", "found") else text for key, text in groups.items()}


def _ragged(groups: dict[str, str]) -> dict[str, Any]:
    return {"component": "0", **_shapes(groups)}


def _parts(groups: dict[str, str]) -> dict[str, Any]:
    return {
        "axis": int(groups["dimension"]),
        "parts": int(groups["expected"]),
        "found": _sizes(groups["found"]),
    }


def _sizes(text: str) -> list[int | None]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [int(word) if word.isdigit() else None for word in words]


def _index(groups: dict[str, str]) -> dict[str, Any]:
    found = _numbers(groups)
    element = [int(one) for one in re.findall(r"\d+", groups.get("index") or "")]
    return {**found, "index": element} if element else found


def _labels(groups: dict[str, str]) -> dict[str, Any]:
    values = [int(one) for one in (groups.pop("all") or "").split() if one != "-"]
    return {**_index(groups), **({"least": min(values)} if values else {})}


def _steps(groups: dict[str, str]) -> dict[str, Any]:
    """Return how many steps the sequences have at most."""
    return {"steps": int(groups["expected"])}


def _axis(groups: dict[str, str]) -> dict[str, Any]:
    """Return the axis that was asked for, and the range of those that there are, up to `high` or `last`."""
    found = {key.removesuffix("_"): int(text) for key, text in groups.items() if text}
    high = found.get("high", found.get("last", -1) + 1)
    return {"axis": found["axis"], "low": -high, "high": high}


def _dtypes(groups: dict[str, str]) -> dict[str, Any]:
    words = {"float": "float32", "double": "float64", "half": "float16"}
    return {key: words.get(text, text) for key, text in groups.items() if text}


def _cardinality(groups: dict[str, str]) -> dict[str, Any]:
    found = re.findall(r"'(\w+)' sizes: ([\d, ]+)", groups["sizes"])
    return {"sizes": {name: [int(one) for one in re.findall(r"\d+", sizes)] for name, sizes in found}}


def _innermost(groups: dict[str, str]) -> dict[str, Any]:
    """Return the innermost line of a stack in a message that is not in an installed library."""
    frames = [
        (file, line) for file, line, _ in _FRAMES.findall(groups["trace"]) if "/site-packages/" not in file
    ]
    return {"file": frames[-1][0], "line": int(frames[-1][1])} if frames else {}


def _rule(pattern: str, category: str, detail: Callable[[dict[str, str]], dict[str, Any]] = _numbers) -> Any:
    return re.compile(pattern, re.DOTALL), category, detail


_RULES: list[tuple[re.Pattern[str], str, Callable[[dict[str, str]], dict[str, Any]]]] = [
    _rule(r"feed a value for placeholder tensor '(?P<placeholder>[^']*)'", "unfed"),
    _rule(r"Attempting to use uninitialized value (?P<variable>\S+)", "uninitialized"),
    _rule(r"(?P<table>Table) not initialized", "uninitialized"),
    _rule(r"the (?P<iterator>iterator) has not been initialized", "uninitialized"),
    _rule(r"(?:reading resource variable|Could not find variable) (?P<variable>[^\s.]+)", "uninitialized"),
    _rule(r"Resource [^/\s]+/(?P<variable>\S+)/\S* does not exist", "uninitialized"),
    _rule(r"Could not find resource: [^/\s]+/(?P<variable>[^\s)]+)\)", "uninitialized"),
    _rule(r"Variable (?P<variable>\S+) does not exist, or was not created", "variable_missing"),
    _rule(r"Trying to share variable (?P<variable>\S+), but specified shape \((?P<found>[^)]*)\) and found shape \((?P<expected>[^)]*)\)", "variable_shared", _shapes),
    _rule(r"non-persistent GradientTape can only be used", "tape_used"),
    _rule(r"Can not cast TensorSpec\(shape=\((?P<found>[^)]*)\), dtype=tf\.(?P<found_dtype>\w+).*? to TensorSpec\(shape=\((?P<expected>[^)]*)\), dtype=tf\.(?P<expected_dtype>\w+)", "signature", _shapes),
    _rule(r"'(?P<variable>\w+)' has shape \((?P<expected>[^)]*)\) before the loop, but (?:has )?shape \((?P<found>[^)]*)\) after one iteration", "shape", _shapes),
    _rule(r"`generator` yielded an element of shape \((?P<found>[^)]*)\) where an element of shape \((?P<expected>[^)]*)\) was expected", "data", _shapes),
    _rule(r"`generator` yielded an element that (?P<refused>did not match|could not be converted)", "data"),
    _rule(r"Cannot feed value of shape \((?P<found>[^)]*)\) for Tensor (?P<placeholder>\S+), which has shape \((?P<expected>[^)]*)\)", "feed_shape", _shapes),
    _rule(r"The value of a feed cannot be a tf\.Tensor", "tensor_fed"),
    _rule(r"Cannot use '[^']*' as input to '[^']*' because '(?P<tensor>[^']*)' is in a (?P<scope>while loop|\w+)", "inner_graph"),
    _rule(r"(?:is out of scope and cannot be used here|cannot be accessed from)(?P<trace>.*)", "inner_graph", _innermost),
    _rule(r"Variable (?P<variable>\S+) already exists, disallowed(?:.*?File \"(?P<file>[^\"]+)\", line (?P<line>\d+))?", "variable_exists"),
    _rule(r"only supports singleton tf\.Variables|tried to create variables on (?:non-first|a second) call", "variable_late"),
    _rule(r"Failed to find any matching files for (?P<path>[^\n]+)", "missing_file"),
    _rule(r"(?P<path>[^\s:;][^\n;]*); No such file or directory", "missing_file"),
    _rule(r"corrupted record at (?P<offset>\d+)|truncated record at (?P<cut>\d+)|bad magic number|[Cc]hecksum does not match", "damaged_file"),
    _rule(r"is closed and has insufficient elements", "starved"),
    _rule(r"enters the loop with shape \((?P<expected>[^)]*)\), but has shape \((?P<found>[^)]*)\) after one iteration", "shape", _shapes),
    _rule(r"Key (?P<variable>\S+) not found in checkpoint", "checkpoint"),
    _rule(r"Assign requires shapes of both tensors to match\. lhs shape= ?\[(?P<expected>[^\]]*)\] rhs shape= ?\[(?P<found>[^\]]*)\](?=.*(?:[Cc]heckpoint|restor))", "checkpoint", _shapes),
    _rule(r"tensor_name = (?P<variable>[^;]+); (?:expected )?shape in shape_and_slice spec \[(?P<expected>[^\]]*)\] does not match the shape stored in checkpoint: \[(?P<found>[^\]]*)\]", "checkpoint", _shapes),
    _rule(r"Invalid dtype: object|Unsupported object type|Failed to convert a NumPy array to a Tensor", "dtype", lambda _: {"found": "object"}),
    _rule(r"Received incompatible tensor with shape \((?P<found>[^)]*)\) when attempting to restore variable with shape \((?P<expected>[^)]*)\) and name (?P<variable>[^\s:]+)", "checkpoint", _shapes),
    _rule(r"objects could not be loaded.*?Layer '(?P<layer>[^']+)' expected (?P<wanted>\d+) variables, but received (?P<had>\d+) variables during loading", "checkpoint"),
    _rule(ON_TENSORS, "plain_python"),
    _rule(r"cannot convert it to a (?P<attribute>NumPy) array|Cannot convert a symbolic tf\.Tensor .* to a numpy array", "plain_python", lambda _: {"attribute": "numpy"}),
    _rule(r"Graph is finalized and cannot be modified", "finalized"),
    _rule(r"is not an element of this graph|must be from the same graph|from a different graph", "other_graph"),
    _rule(r"The Session graph is empty", "other_graph"),
    _rule(r"No gradients provided for any variable", "no_gradient"),
    _rule(r"assertion failed|Condition .+ did not hold", "assertion"),
    _rule(r"Input shape axis (?P<dimension>-?\d+) must equal (?P<expected>\d+), got shape \[(?P<found>[^\]]*)\]", "shape", _parts),
    _rule(r"dimension (?P<dimension>-?\d+) must have size (?P<expected>\d+)\.\s+Received size (?P<found>\d+)", "shape"),
    _rule(r"sequence_length\(\d+\) <= (?P<expected>\d+)", "shape", _steps),
    _rule(r"Tensor had (?P<values>[\w, +-]*(?:NaN|Inf)[\w, +-]*) values", "nonfinite"),
    _rule(r"reduction dimension \(?(?P<axis>-?\d+) for input with (?P<high>\d+)", "index", _axis),
    _rule(r"in (?:the )?range \[-\d+, (?P<high>\d+)\).*(?:Received: dim=|but got )(?P<axis>-?\d+)", "index", _axis),
    _rule(r"(?:Dimension \(|Argument `axis` = )(?P<axis>-?\d+)\)? (?:must be|not) in (?:the )?range \[-\d+, (?P<high>\d+)\)", "index", _axis),
    _rule(r"'axis'\[\d+\] = (?P<axis>-?\d+) is out of valid range \[-?\d+, (?P<last>\d+)", "index", _axis),
    _rule(r"dim index (?P<axis>-?\d+) for tensor with (?P<last>\d+)|dim (?P<axis_>-?\d+) not in the interval \[-\d+, (?P<last_>\d+)\]", "index", _axis),
    _rule(r"Received a label value of (?P<value>-?\d+) which is outside the valid range of \[(?P<low>\d+), (?P<high>\d+)\)(?:\.\s+Label values: (?P<all>[-\d ]+))?", "index", _labels),
    _rule(r"indices\[?(?P<index>[\d,]*)\]? = \[?(?P<value>-?\d+)\]? is not in \[(?P<low>\d+), (?P<high>\d+)\)", "index", _index),
    _rule(r"slice index (?P<value>-?\d+) of dimension \d+ out of bounds", "index", _index),
    _rule(r"indices\[(?P<index>[\d,]*)\] = \[[^\]]*\] does not index into", "index", _index),
    _rule(r"Input '\w+' of '\w+' Op has type (?P<found>\w+) that does not match type (?P<expected>\w+)", "dtype", _dtypes),
    _rule(r"Tensor conversion requested dtype (?P<expected>\w+) for Tensor with dtype (?P<found>\w+)", "dtype", _dtypes),
    _rule(r"passed to parameter .* has DataType (?P<found>\w+) not in list of allowed", "dtype", _dtypes),
    _rule(r"Expected (?P<expected>\w+)(?: passed to parameter .*?)?, (?:but )?got .* of type '(?P<found>\w+)'", "dtype", _dtypes),
    _rule(r"expected to be a (?P<expected>\w+) tensor but is a (?P<found>\w+) tensor", "dtype", _dtypes),
    _rule(r"Dimensions must be equal, but are (?P<expected>\d+) and (?P<found>\d+)", "shape"),
    _rule(r"Dimension (?P<dimension>\d+) in both shapes must be equal, but are (?P<expected>\d+) and (?P<found>\d+)", "shape"),
    _rule(r"must have the same type\(s\)\. Received (?P<expected>\w+) from 'true_fn' and (?P<found>\w+) from 'false_fn'", "dtype", _dtypes),
    _rule(r"must have the same dtype, got (?:tf\.)?(?P<expected>\w+) != (?:tf\.)?(?P<found>\w+)", "dtype", _dtypes),
    _rule(r"[Ss]hapes? must be equal rank, but are (?P<expected>\d+) and (?P<found>\d+)|shape\.rank` must equal", "shape"),
    _rule(r"in both shapes must be equal|Ranks of all input tensors should match", "shape"),
    _rule(r"must be rank (?P<expected>\d+) but is rank (?P<found>\d+)", "shape"),
    _rule(r"Cannot update variable with shape \[(?P<expected>[^\]]*)\] using a Tensor with shape \[(?P<found>[^\]]*)\]", "shape", _shapes),
    _rule(r"calculated input (?P<gradient>gradient)\. Forward operation: (?P<forward>[^\s]+)\. .*Original input shape: \((?P<expected>[^)]*)\)\.\s+Calculated input gradient shape: \((?P<found>[^)]*)\)", "shape", _shapes),
    _rule(r"Size of out_backprop doesn't match computed: actual = (?P<found>\d+), computed = (?P<expected>\d+) *spatial_dim: \d+ input: (?P<asked>\d+)", "shape"),
    _rule(r"ndims must be >= (?P<expected>\d+)", "shape"),
    _rule(r"Input to reshape is a tensor with (?P<found>\d+) values, but the requested shape (?:has|requires a multiple of) (?P<expected>\d+)", "shape"),
    _rule(r"Cannot reshape a tensor with (?P<found>\d+) elements to shape .* \((?P<expected>\d+) elements\)", "shape"),
    _rule(r"[Ii]ncompatible shapes|size-incompatible|[Ss]hapes? .* (?:incompatible|not compatible)|must have the same (?:first dimension|shape|size)", "shape"),
    _rule(r"Dimensions? .*(?:not compatible|should match|must match)|must be (?:broadcastable|divisible)|[Ii]nvalid (?:static )?shape", "shape"),
    _rule(r"logits and labels must|must be (?:at least )?(?:rank )?\d-?[dD]|Negative dimension size|input shapes: \[", "shape"),
    _rule(r"must have the same (?:rank|shape up until)|must equal `logits.shape`|`\w+.shape` must", "shape"),
    _rule(r"Arguments? `?(?:output|target)[^.]* must have|`(?:target|output)` .* must have", "shape"),
    _rule(r"Data cardinality is ambiguous(?P<sizes>.*)", "data", _cardinality),
    _rule(r"the generator must return a tuple", "data", lambda _: {"yields": "input"}),
    _rule(r"expects (?P<expected>\d+) (?:named )?input\(s\).* it received (?P<found>\d+) input", "data"),
    _rule(r"Cannot add tensor to the batch: number of elements does not match\. Shapes are: \[tensor\]: \[(?P<found>[^\]]*)\], \[batch\]: \[(?P<expected>[^\]]*)\]", "data", _ragged),
    _rule(r"Cannot batch tensors with different shapes in component (?P<component>\d+)\. First element had shape \[(?P<expected>[^\]]*)\] and element \d+ had shape \[(?P<found>[^\]]*)\]", "data", _shapes),
    _rule(r"The path: \('(?P<output>[^']*)',\) in the `(?P<argument>\w+)` argument, can't be found", "data"),
    _rule(r"Expected dimension (?P<expected>\d+) at axis (?P<dimension>\d+) of the input shaped .* but got dimension (?P<found>\d+)", "shape"),
    _rule(r"Value for attr '\w+' of (?P<found>\w+) is not in the list of allowed values", "dtype", _dtypes),
    _rule(r"[Cc]an ?not squeeze dim\[|expects a vector of size \d+\. But input|should evenly divide the split dimension|non-rectangular|must be at least rank \d+ but", "shape"),
    _rule(r"OOM when allocating|Out of memory|failed to allocate", "memory"),
    _rule(r"Cannot assign a device", "device"),
]  # fmt: skip
