"""Kinds: what a function was traced for, argument by argument, in words, and where two of these differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Change", "changes"]

_LONGEST = 60


class Change(NamedTuple):
    """A part of an argument that a function was traced again for."""

    argument: str
    """As in Python: ``x``, ``options['rate']``, ``rows[1]``."""
    before: str
    now: str


def changes(old: Any, new: Any) -> Iterator[Change]:
    """Yield what differs between two of TensorFlow's FunctionTypes."""
    for name, parameter in new.parameters.items():
        before = old.parameters.get(name)
        was, now = getattr(before, "type_constraint", None), parameter.type_constraint
        if before is None or was != now:
            yield from _parts(name, was, now)


def _parts(name: str, old: Any, new: Any) -> Iterator[Change]:
    """Yield the parts of an argument that differ; the whole where it has other parts than before."""
    was, now = _contents(old), _contents(new)
    if was is None or now is None or type(old) is not type(new) or list(was) != list(now):
        yield Change(name, _words(old), _words(new))
        return
    for key, inner in now.items():
        if was[key] != inner:
            yield from _parts(f"{name}{key}", was[key], inner)


def _contents(kind: Any) -> Mapping[str, Any] | None:
    """Return the parts of a list, tuple, dict or object by how Python gets at them; None of a single thing."""
    mapping = getattr(kind, "mapping", None)
    if mapping is not None:
        return {f"[{key!r}]": one for key, one in mapping.items()}
    named = getattr(kind, "named_attributes", kind)
    names = getattr(named, "attribute_names", None)
    if names is not None:
        return {f".{name}": one for name, one in zip(names, named.attributes.components, strict=True)}
    components = getattr(getattr(kind, "components_tuple", kind), "components", None)
    return None if components is None else {f"[{at}]": one for at, one in enumerate(components)}


def _words(kind: Any) -> str:
    """Return ``float32 8x28x28`` for a tensor, ``5`` for a plain value, ``[1, float32 3]`` for a list."""
    if hasattr(kind, "shape") and hasattr(kind, "dtype"):
        sizes = kind.shape.as_list() if kind.shape.rank is not None else None
        if sizes is None:
            return f"{kind.dtype.name} of any rank"
        shape = "x".join("?" if size is None else str(size) for size in sizes)
        return f"{kind.dtype.name} {shape or 'scalar'}"
    parts = _contents(kind)
    if parts is not None:
        mapping = getattr(kind, "mapping", None)
        texts = [_words(one) for one in parts.values()]
        if mapping is not None:
            text = ", ".join(f"{key!r}: {one}" for key, one in zip(mapping, texts, strict=True))
            return _short(f"{{{text}}}")
        is_list = hasattr(kind, "components_tuple")
        return _short(f"[{', '.join(texts)}]" if is_list else f"({', '.join(texts)})")
    if hasattr(kind, "value"):
        return _short(repr(kind.value))
    return "nothing" if kind is None else _short(str(kind))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ...{text[-1]}"
