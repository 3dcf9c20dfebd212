"""Geometry: the shape functions of the recorded ops, run on shapes that were never fed.

The formulas are those of the frameworks' documentation: a window op of kernel k, stride s, dilation d and
padding (l, h) makes floor((n + l + h - d(k - 1) - 1) / s) + 1 of n, a transposed one
(n - 1)s - l - h + d(k - 1) + op + 1; "same" padding makes ceil(n / s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, prod

from graphdebug.model.event import Node, Shape

__all__ = ["Link", "Sizes", "concrete", "groups", "produced", "regroup", "solve", "spatial_axes", "window"]

Sizes = tuple[int, ...]
Link = tuple[Node, int]
"""A node on the way from the input to a failing operand, and which of its inputs the way comes through."""

_USUAL = (28, 32, 64, 84, 96, 100, 112, 128, 150, 160, 192, 224, 227, 240, 256, 299, 320, 384, 416, 512, 640)
_LARGEST = 1024
"""Largest image side that is tried."""


def concrete(shape: Shape | None) -> Sizes | None:
    """Return `shape` with an unknown batch taken as 1; None if other sizes are unknown too."""
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return tuple(1 if size is None else size for size in shape)


def spatial_axes(node: Node, rank: int) -> tuple[int, ...]:
    """Return the axes of height, width, ... of a conv, pool or upsample node's input."""
    layout = str(node.attributes.get("layout") or "")
    if len(layout) == rank:
        return tuple(i for i, letter in enumerate(layout) if letter not in "NC")
    return tuple(range(1, rank - 1)) if layout.endswith("C") else tuple(range(2, rank))


def produced(node: Node, through: int, shape: Sizes) -> Sizes | None:
    """Return the shape of the node's first output if input number `through` had `shape`.

    None where the op would fail on it, or its shape function is not known.
    """
    if through >= len(node.inputs) or not node.outputs:
        return None
    before, after = concrete(node.inputs[through].fact.shape), concrete(node.outputs[0].shape)
    if before is None or after is None or len(before) != len(shape):
        return None
    if before == shape:
        return after
    function = _FUNCTIONS.get(node.family, _elementwise)
    return function(node, shape, before, after)


def solve(
    links: Sequence[Link], source: Shape | None, accepts: Callable[[Sizes], bool]
) -> tuple[Sizes, tuple[int, int]] | None:
    """Return the input shape nearest to what a user would feed that `accepts` at the end of `links`.

    Also the smallest and the largest image side that would do. None if there is none, or if some op on the
    way has no known shape function.
    """
    start = concrete(source)
    if start is None:
        return None
    for shapes in _variations(links, start):
        fitting = [(side, shape) for side, shape in shapes if _ends_in(links, shape, accepts)]
        if fitting:
            sides = [side for side, _ in fitting]
            usual = next((pair for pair in fitting if pair[0] in _USUAL), fitting[0])
            best = fitting[0] if fitting[0][0] in _USUAL else usual
            return best[1], (sides[0], sides[-1])
    return None


def regroup(before: Sizes, after: Sizes, shape: Sizes) -> Sizes | None:
    """Return what a reshape from `before` to `after` makes of `shape`, grouping the same dimensions."""
    made: list[int] = []
    for ins, outs in groups(before, after):
        old, new = [before[i] for i in ins], [shape[i] for i in ins]
        kept = [after[i] for i in outs]
        if old == new:
            made += kept
        elif [size for size in old if size != 1] == [size for size in kept if size != 1]:
            moved = iter([n for o, n in zip(old, new, strict=True) if o != 1])
            made += [1 if size == 1 else next(moved) for size in kept]
        elif sum(size != 1 for size in kept) <= 1:
            total = prod(new)
            at = next((i for i, size in enumerate(kept) if size != 1), 0)
            made += [total if i == at else 1 for i in range(len(kept))]
        else:
            return None
    return tuple(made)


def groups(before: Sizes, after: Sizes) -> Iterator[tuple[list[int], list[int]]]:
    """Split both shapes into the smallest runs of dimensions with equal products."""
    i = j = 0
    while i < len(before) or j < len(after):
        ins, outs = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(ins), j + len(outs)
        while (left := prod(before[k] for k in ins)) != (right := prod(after[k] for k in outs)):
            if left < right and i < len(before):
                ins.append(i)
                i += 1
            elif left > right and j < len(after):
                outs.append(j)
                j += 1
            else:
                ins, outs = [*ins, *range(i, len(before))], [*outs, *range(j, len(after))]
                i, j = len(before), len(after)
                break
        yield ins, outs


def _variations(links: Sequence[Link], start: Sizes) -> Iterator[Iterator[tuple[int, Sizes]]]:
    """Yield series of inputs to try: square images first, then one side alone, then the last dimension."""
    window = next((node for node, _ in links if node.family in ("conv", "pool", "upsample")), None)
    axes = spatial_axes(window, len(start)) if window is not None else ()
    sides = range(1, _LARGEST + 1)
    if axes:
        yield ((n, tuple(n if i in axes else size for i, size in enumerate(start))) for n in sides)
    for axis in axes if len(axes) > 1 else ():
        yield ((n, (*start[:axis], n, *start[axis + 1 :])) for n in sides)
    if not axes and len(start) > 1:
        yield ((n, (*start[:-1], n)) for n in range(1, 4 * _LARGEST + 1))


def _ends_in(links: Sequence[Link], shape: Sizes, accepts: Callable[[Sizes], bool]) -> bool:
    current: Sizes | None = shape
    for node, through in links:
        current = produced(node, through, current) if current is not None else None
        if current is None:
            return False
    return current is not None and accepts(current)


def window(node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    """Return what a conv or pool that made `after` of `before` makes of `shape`."""
    axes = spatial_axes(node, len(shape))
    if any(shape[i] != before[i] for i in range(1, len(shape)) if i not in axes):
        return None
    made = list(after)
    made[0] = shape[0]
    for position, axis in enumerate(axes):
        size = _window_size(node, position, shape[axis])
        if size is None or size < 1:
            return None
        made[axis] = size
    return tuple(made)


def _window_size(node: Node, position: int, size: int) -> int | None:
    words = node.attributes
    if words.get("output_size") is not None:
        wanted = _at(words["output_size"], position, None)
        return size if wanted is None else wanted
    if node.function == "global_pool":
        return 1
    kernel = _at(_kernel(node), position, None)
    if kernel is None:
        return None
    stride = _at(words.get("stride"), position, 1 if node.family == "conv" else kernel) or 1
    reach = (_at(words.get("dilation"), position, 1) or 1) * (kernel - 1) + 1
    low, high = _padding(words.get("padding"), position, size, stride, reach)
    if words.get("transposed"):
        if words.get("padding") == "same":
            return size * stride
        return (size - 1) * stride - low - high + reach + (_at(words.get("output_padding"), position, 0) or 0)
    if words.get("padding") == "same":
        return ceil(size / stride)
    room = size + low + high - reach
    if room < 0:
        return None
    if not words.get("ceil"):
        return room // stride + 1
    made = ceil(room / stride) + 1
    # The last window must begin inside the input or its left padding.
    return made - 1 if (made - 1) * stride >= size + low else made


def _padding(padding: object, position: int, size: int, stride: int, reach: int) -> tuple[int, int]:
    if padding == "same":
        total = max((ceil(size / stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
    if not isinstance(padding, list | tuple) or not padding:
        return (padding, padding) if isinstance(padding, int) else (0, 0)
    pair = padding[position] if position < len(padding) else padding[-1]
    return (pair, pair) if isinstance(pair, int) else (int(pair[0]), int(pair[1]))


def _kernel(node: Node) -> object:
    if node.attributes.get("kernel"):
        return node.attributes["kernel"]
    weight = next((one.fact.shape for one in node.inputs if one.role == "weight"), None)
    if weight is None:
        return None
    return weight[:-2] if node.attributes.get("weight_layout") == "HWIO" else weight[2:]


def _at(value: object, position: int, default: int | None) -> int | None:
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple) and value:
        one = value[position] if position < len(value) else value[-1]
        return one if isinstance(one, int) else default
    return default


def _reshape(node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    target = node.attributes.get("target")
    if isinstance(target, list | tuple) and list(target).count(-1) == 1:
        rest = prod(size for size in target if size != -1)
        if rest <= 0 or prod(shape) % rest:
            return None
        return tuple(prod(shape) // rest if size == -1 else size for size in target)
    if prod(before) != prod(after):
        return None
    made = regroup(before, after, shape)
    return made if made is not None and prod(made) == prod(shape) else None


def _permute(node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    order = node.attributes.get("order")
    if isinstance(order, list | tuple) and len(order) == len(shape):
        return tuple(shape[int(i)] for i in order)
    if len(set(before)) == len(before) and sorted(before) == sorted(after):
        return tuple(shape[before.index(size)] for size in after)
    return None


def _pad(_node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    if len(before) != len(after):
        return None
    return tuple(new + made - old for new, old, made in zip(shape, before, after, strict=True))


def _upsample(node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    if node.attributes.get("output_size") is not None and node.attributes.get("scale") is None:
        return tuple(made if made != old else new for new, old, made in zip(shape, before, after, strict=True))
    return tuple(new * made // old for new, old, made in zip(shape, before, after, strict=True))


def _linear(_node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    if shape[-1] != before[-1] or not after:
        return None
    return (*shape[:-1], after[-1])


def _reduce(node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    axes = node.attributes.get("axis")
    if axes is None:
        return after if prod(after) == 1 else None
    chosen = {int(axis) % len(shape) for axis in (axes if isinstance(axes, list | tuple) else [axes])}
    if len(after) == len(before):
        return tuple(1 if i in chosen else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in chosen)


def _elementwise(_node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    return shape if before == after else None


def _along_axis(_node: Node, shape: Sizes, before: Sizes, after: Sizes) -> Sizes | None:
    """Concatenation and slicing: the sizes that the op changed stay as made, the others follow the input."""
    if len(before) != len(after):
        return None
    return tuple(new if old == made else made for new, old, made in zip(shape, before, after, strict=True))


_FUNCTIONS: dict[str, Callable[[Node, Sizes, Sizes, Sizes], Sizes | None]] = {
    "conv": window,
    "pool": window,
    "reshape": _reshape,
    "permute": _permute,
    "pad": _pad,
    "upsample": _upsample,
    "linear": _linear,
    "matmul": _linear,
    "reduce": _reduce,
    "cat": _along_axis,
    "split": _along_axis,
    "index": _along_axis,
}
