"""Reading torch's error messages: the category of a failure and the numbers the message gives."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["category_of"]

_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("inplace", r"modified by an inplace operation"),
    ("backward_twice", r"backward through the graph a second time"),
    ("leaf_inplace", r"leaf Variable that requires grad .*in-place|is a view and is being modified inplace"),
    ("no_gradient", r"does not require grad|implicitly created only for scalar|not to have been used in the"),
    ("shape", r"attempting to assign a gradient of size|returned an incorrect number of gradients"),
    ("parameters", (r"got an empty parameter list|can't optimize a non-leaf Tensor|can only optimize Tensors"
     r"|in more than one parameter group|argument given to the optimizer should be"
     r"|^Invalid (?:learning rate|momentum|weight_decay|beta parameter|epsilon|lr)\b")),
    ("checkpoint", r"Error\(s\) in loading state_dict"),
    ("values", (r"all elements of (?:input|target) should be between 0 and 1|sorted in decreasing order"
     r"|Length of all samples has to be greater than 0|to satisfy the constraint (?![\s\S]*\bnan\b)")),
    ("no_gradient", r"grad_and_value\(f\).*to return a scalar|Inference tensors cannot be saved for backward"),
    ("mapped", (r"^vmap(?:\(|:)|^Batch norm got a batched tensor|vmap: |functorch|functional_call")),
    ("argument", r"only one element tensors can be converted"),
    ("not_a_tensor", r"must be Tensor, not \w+"),
    ("nonfinite", (r"returned nan values in its|found invalid values:[\s\S]*\bnan\b"
     r"|contains either `inf`, `nan`")),
    ("memory", r"out of memory|can't allocate memory"),
    ("device", r"same device|at least two devices|[Ee]xpected .*device|must be on the .*device"),
    ("index", r"out of bounds|index out of range|Dimension out of range|out of range for tensor"),
    ("dtype", (r"scalar type|same dtype|dtype|can't be cast|not implemented for '|should be the same|data type"
     r"|floating point type")),
    ("shape", (r"be a (?:matrix|vector)|shape|size|dimension|reduction dim|channels|\b\dD\b|broadcast|elements"
     r"|subscripts? ")),
)  # fmt: skip
_FOUND, _EXPECTED = r"\[(?P<found>[\d, ]*)\]", r"\[(?P<expected>[\d, ]*)\]"
_SIZE = r"has a shape of torch\.Size"
_GRADIENTS = (
    rf"(?P<gradient>\w+) returned an invalid gradient at .* got {_FOUND} but expected .* {_EXPECTED}",
    r"hook '(?P<gradient>[^']+)' has changed the size of value",
    r"function (?P<gradient>\w+) returned an incorrect number of gradients",
    rf"(?P<gradient>grad_output)\[\d+\] {_SIZE}\({_FOUND}\) and output\[\d+\] {_SIZE}\({_EXPECTED}\)",
    rf"assign a (?P<gradient>gradient) of size '{_FOUND}' to a tensor of size '{_EXPECTED}'",
)
"""What is said of a gradient whose shape is not that of what it is of."""
_NUMBERS: tuple[tuple[str, str], ...] = (
    ("shape", r"expected input\[.*\] to have (?P<expected>\d+) channels, but got (?P<found>\d+)"),
    ("shape", r"a \((?P<found>\d+)\) must match .* b \((?P<expected>\d+)\) at .* (?P<dimension>\d+)"),
    ("shape", r"\(\d+x(?P<found>\d+) and (?P<expected>\d+)x\d+\)"),
    ("shape", r"input batch_size \((?P<found>\d+)\) to match target batch_size \((?P<expected>\d+)\)"),
    ("shape", r"Expected size (?P<expected>\d+) but got size (?P<found>\d+) for tensor number \d+"),
    ("shape", r"\((?P<expected>\d+)\) must match the existing .*\((?P<found>\d+)\) at .* (?P<dimension>\d+)"),
    ("shape", r"running_mean should contain (?P<found>\d+) elements not (?P<expected>\d+)"),
    ("shape", r"embedding dimension of (?P<expected>\d+), but got (?P<found>\d+)"),
    ("shape", r"Expected (?P<expected>\d+), got (?P<found>\d+)"),
    ("shape", r"mask is torch\.Size\(\[(?P<found>[\d, ]+)\]\), but should be \((?P<expected>[\d, ]+)\)"),
    ("shape", r"mask.* shape to be \((?P<expected>[\d, ]+)\),? but got torch\.Size\(\[(?P<found>[\d, ]+)\]\)"),
    ("shape", r"mask\.shape\[(?P<dimension>\d)\] to be (?P<expected>\d+), but got (?P<found>\d+)"),
    ("shape", r"size [(\[](?P<expected>[\d, ]+)[)\]],? (?:but )?got [(\[](?P<found>[\d, ]+)[)\]]"),
    ("inplace", r"is at version (?P<found_version>\d+); expected version (?P<expected_version>\d+)"),
    ("index", r"index (?P<value>-?\d+) is out of bounds for .* (?P<dimension>\d+) with size (?P<high>\d+)"),
    ("index", r"be in range of \[(?P<low>-?\d+), (?P<last>-?\d+)\], but got (?P<axis>-?\d+)"),
    ("index", r"Target (?P<value>-?\d+) is out of bounds"),
)  # fmt: skip
_WORDS: tuple[tuple[str, str], ...] = (
    ("dtype", r"expected scalar type (?P<expected>\w+) but found (?P<found>\w+)"),
    ("dtype", r"same dtype, but got: (?P<expected>[\w:]+(?: int)?) != (?P<found>[\w:]+(?: int)?)"),
    ("dtype", r"Found dtype (?P<found>\w+) but expected (?P<expected>\w+)"),
    ("dtype", r"scalar types: (?P<expected>\w+)[^;]*; but got (?P<found>[\w.]+) instead"),
    ("dtype", r"same dtype, but got:? (?P<found>\w+) and (?P<expected>\w+)"),
    ("dtype", r"Input type \((?P<found>[\w.]+)\) and (?:weight|bias) type \((?P<expected>[\w.]+)\)"),
    ("dtype", r"result type (?P<found>\w+) can't be cast to the desired output type (?P<expected>\w+)"),
    ("device", r"found at least two devices, (?P<expected>[\w:]+) and (?P<found>[\w:]+)"),
    ("device", r"on device (?P<found>[\w:]+) is not on the expected device (?P<expected>[\w:]+)"),
)
_WHY: tuple[tuple[str, str], ...] = (
    ("parameters", r"(?P<empty>empty parameter list)"),
    ("parameters", r"(?P<computed>non-leaf Tensor)"),
    ("parameters", r"(?P<twice>more than one parameter group)"),
    ("parameters", r"^Invalid (?P<setting>[\w ]+?)(?: parameter at index \d| value)?: "),
    ("values", r"all elements of (?P<operand>input|target) should be between"),
    ("values", r"(?P<unsorted>sorted in decreasing)"),
    ("values", r"(?P<empty>greater than 0)"),
    (
        "values",
        r"(?P<parameter>\w+) \(Tensor of [\s\S]* to satisfy the constraint (?P<constraint>.*), but found",
    ),
)
"""What of a call was refused, where it is no number or shape: the group's name is the reason."""
_DTYPES = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32",
    "short": "int16", "long int": "int64", "unsigned char": "uint8", "signed char": "int8",
    "byte": "uint8", "char": "int8", "bool": "bool", "bfloat16": "bfloat16", "cfloat": "complex64",
    "complexfloat": "complex64", "cdouble": "complex128", "complexdouble": "complex128",
}  # fmt: skip


def category_of(error: BaseException) -> tuple[str, dict[str, Any]]:
    """Return category and detail of an exception, in the words of the log format."""
    message = str(error)
    if type(error).__name__ == "OutOfMemoryError":
        return "memory", {}
    if isinstance(error, IndexError) and "Dimension" not in message and "dimension" not in message:
        return "index", _detail("index", message)
    for category, pattern in _CATEGORIES:
        if re.search(pattern, message):
            return category, _detail(category, message)
    return ("assertion" if isinstance(error, AssertionError) else "other"), {}


def _detail(category: str, message: str) -> dict[str, Any]:
    for pattern in _GRADIENTS if category == "shape" else ():
        if found := re.search(pattern, message):
            words = found.groupdict()
            shapes = {key: words.pop(key) for key in ("expected", "found") if key in words}
            return words | {key: [int(n) for n in text.split(",") if n.strip()] for key, text in shapes.items()}
    for kind, pattern in _NUMBERS:
        if kind == category and (found := re.search(pattern, message)):
            detail: dict[str, Any] = {key: _sizes(value) for key, value in found.groupdict().items()}
            if "last" in detail:
                detail["high"] = detail.pop("last") + 1
            return detail
    for kind, pattern in _WORDS:
        if kind == category and (found := re.search(pattern, message)):
            return {key: _word(value) for key, value in found.groupdict().items()}
    for kind, pattern in _WHY:
        if kind == category and (found := re.search(pattern, message)):
            refused, *others = found.groupdict()
            return {"refused": refused, "word": found[1]} | {one: found[one] for one in others}
    return {}


def _sizes(text: str) -> int | list[int]:
    """Read a number, or a shape as the sizes between its brackets."""
    sizes = [int(one) for one in text.split(",") if one.strip()]
    return sizes if "," in text else sizes[0]


def _word(text: str) -> str:
    bare = (
        text.removeprefix("c10::")
        .removeprefix("torch.")
        .removesuffix("Tensor")
        .removeprefix("cuda.")
        .removeprefix("torch.")
    )
    return _DTYPES.get(bare.lower(), bare.lower() if bare else text)
