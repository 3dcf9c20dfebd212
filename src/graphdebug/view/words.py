"""How facts are said in few characters, alike in every view; text from a log comes out of here harmless."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from graphdebug.model.event import Number, Shape, Site, TensorFact

__all__ = [
    "clean",
    "health",
    "number_text",
    "seconds_text",
    "shape_text",
    "shapes_text",
    "site_text",
    "sparkline",
]

_BARS = "▁▂▃▄▅▆▇█"
_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_LONGEST = 10_000


def clean(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with everything that could steer a terminal or hide text made visible.

    Control characters, text-direction marks and lone surrogates become escapes such as ``\x1b``; with
    `lines`, newlines stay and a tab becomes four spaces. What is beyond 10,000 characters is cut off and said.
    """
    if len(text) > _LONGEST and not lines:
        text = f"{text[:_LONGEST]}... ({len(text) - _LONGEST} more characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(one, lines) for one in text)


def _visible(one: str, lines: bool) -> str:
    if lines and one == "\n":
        return one
    if lines and one == "\t":
        return "    "
    if unicodedata.category(one) in _HARMFUL:
        return one.encode("unicode_escape").decode("ascii")
    return one


def shape_text(shape: Shape | None) -> str:
    """Return ``8x3x28x28``; an unknown size is ``?``, no dimensions are ``scalar``."""
    if shape is None:
        return "?"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def shapes_text(facts: Sequence[TensorFact]) -> str:
    """Return the shapes of several tensors, at most four of them."""
    shown = ", ".join(shape_text(fact.shape) for fact in facts[:4])
    return f"{shown}, +{len(facts) - 4}" if len(facts) > 4 else shown


def number_text(value: Number | None) -> str:
    """Return a number with four digits; empty for None."""
    if value is None:
        return ""
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"
    return f"{number:.4g}"


def seconds_text(seconds: float) -> str:
    """Return a duration with a unit that fits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds > 0 else "0 s"


def site_text(site: Site | None) -> str:
    """Return ``net.py:31``: the file without its folders, and the line."""
    return "" if site is None else f"{clean(os.path.basename(site.file) or site.file)}:{site.line}"


def health(fact: TensorFact) -> str:
    """Return ``ok``, what is not finite (``nan 3 +inf 1``), why it is unchecked, or nothing if not asked."""
    if fact.finite is None:
        return f"unchecked: {clean(fact.unchecked)}" if fact.unchecked else ""
    if fact.finite:
        return "ok"
    stats = fact.stats
    counts = {"nan": stats.nan, "+inf": stats.pos_inf, "-inf": stats.neg_inf} if stats else {}
    return " ".join(f"{name} {count}" for name, count in counts.items() if count) or "not finite"


def sparkline(values: Sequence[Number | None], width: int = 40) -> str:
    """Return a line of bars, one a value; ``!`` for what is not finite, a space for nothing.

    More values than `width` are drawn by the largest of each group, so that no spike is lost.
    """
    numbers = [math.nan if value is None else float(value) for value in values]
    if len(numbers) > width:
        edges = [round(at * len(numbers) / width) for at in range(width + 1)]
        numbers = [_loudest(numbers[a:b]) for a, b in pairwise(edges)]
    missing = [value is None for value in values] if len(values) == len(numbers) else [False] * len(numbers)
    finite = [one for one in numbers if math.isfinite(one)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(" " if gone else _bar(one, low, high) for one, gone in zip(numbers, missing, strict=True))


def _loudest(numbers: Sequence[float]) -> float:
    return next((one for one in numbers if not math.isfinite(one)), max(numbers, default=math.nan))


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "!"
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]
