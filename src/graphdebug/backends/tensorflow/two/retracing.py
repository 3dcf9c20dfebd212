"""Retracing: a function that is traced again costs time; the notice says which argument was different."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from tensorflow.python.eager.polymorphic_function import tracing_compilation
from tensorflow.python.util import tf_decorator

from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.model.event import Notice
from graphdebug.model.site import SiteFinder

__all__ = ["user_code", "watch_tracing"]


def watch_tracing(observer: Observer) -> Callable[[], None]:
    """Report each trace of a function that has been traced before; return the way back."""
    original = tracing_compilation._create_concrete_function

    def _create_concrete_function(function_type: Any, type_context: Any, func_graph: Any, options: Any) -> Any:
        try:
            _tell(observer, function_type, options)
        except Exception as error:
            observer.sink.tool_error("reading a retrace", error)
        return original(function_type, type_context, func_graph, options)

    hidden = _create_concrete_function.__code__.replace(co_filename=tracing_compilation.__file__)
    _create_concrete_function.__code__ = hidden  # TensorFlow leaves its own frames out of tracebacks
    tracing_compilation._create_concrete_function = _create_concrete_function

    def restore() -> None:
        tracing_compilation._create_concrete_function = original

    return restore


def _tell(observer: Observer, function_type: Any, options: Any) -> None:
    cache = options.function_cache
    before = [one.function_type for one in cache._primary.values()] if cache is not None else []
    if not before or not observer.sink.recording:
        return
    changes = _changes(before[-1], function_type)
    if not changes:
        return  # TensorFlow traces a function that makes variables twice
    function = tf_decorator.unwrap(options.python_function)[1]
    code = user_code(function, observer.sink.sites)
    site = None
    if code is not None:
        site = observer.sink.sites.at(code.co_filename, code.co_firstlineno, code.co_name)
    what = "; ".join(f"{name} was {old}, now {new}" for name, old, new in changes)
    name = options.name or getattr(function, "__name__", "function")
    text = f"{name} is traced again ({len(before) + 1} traces): {what}"
    detail = {
        "function": name,
        "traces": len(before) + 1,
        "changed": [{"argument": name, "before": old, "now": new} for name, old, new in changes],
    }
    observer.emit(Notice(observer.sink.next_seq(), "retrace", text, site, detail))


def user_code(function: Any, sites: SiteFinder) -> CodeType | None:
    """Return the code of the user's function, which TensorFlow and Keras wrap in functions of their own."""
    for _ in range(8):
        code = getattr(function, "__code__", None)
        if code is not None and sites.is_user(code.co_filename):
            return code  # type: ignore[no-any-return] # a function's code
        inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        function = getattr(function, "__wrapped__", None) or next((one for one in inner if callable(one)), None)
        if function is None:
            break
    return None


def _changes(old: Any, new: Any) -> list[tuple[str, str, str]]:
    """Return name, old and new kind of each argument that differs."""
    found = []
    for name, parameter in new.parameters.items():
        before = old.parameters.get(name)
        was = getattr(before, "type_constraint", None)
        now = parameter.type_constraint
        if before is None or was != now:
            found.append((name, _words(was), _words(now)))
    return found


def _words(kind: Any) -> str:
    """Return ``float32 8x28x28`` for a tensor, ``5`` for a plain value."""
    if hasattr(kind, "shape") and hasattr(kind, "dtype"):
        sizes = kind.shape.as_list() if kind.shape.rank is not None else None
        if sizes is None:
            return f"{kind.dtype.name} of any rank"
        shape = "x".join("?" if size is None else str(size) for size in sizes)
        return f"{kind.dtype.name} {shape or 'scalar'}"
    value = getattr(kind, "value", getattr(kind, "_value", None))
    return repr(value) if value is not None else str(kind)
