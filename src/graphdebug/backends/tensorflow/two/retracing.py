"""Retracing: a function that is traced again costs time; the notice says which argument was different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from tensorflow.python.eager.polymorphic_function import tracing_compilation
from tensorflow.python.util import tf_decorator

from graphdebug.backends.tensorflow.two.kinds import changes
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.model.event import Notice
from graphdebug.model.site import SiteFinder

__all__ = ["user_code", "watch_tracing"]

_OFTEN = 5
"""Functions of the same code after which it is said that they are made again and again."""


def watch_tracing(observer: Observer) -> Callable[[], None]:
    """Report each trace of a function that has been traced before; return the way back."""
    original = tracing_compilation._create_concrete_function
    made: Counter[CodeType] = Counter()

    def _create_concrete_function(function_type: Any, type_context: Any, func_graph: Any, options: Any) -> Any:
        try:
            _tell(observer, function_type, options, made)
        except Exception as error:
            observer.sink.tool_error("reading a retrace", error)
        return original(function_type, type_context, func_graph, options)

    hidden = _create_concrete_function.__code__.replace(co_filename=tracing_compilation.__file__)
    _create_concrete_function.__code__ = hidden  # TensorFlow leaves its own frames out of tracebacks
    tracing_compilation._create_concrete_function = _create_concrete_function

    def restore() -> None:
        tracing_compilation._create_concrete_function = original

    return restore


def _tell(observer: Observer, function_type: Any, options: Any, made: Counter[CodeType]) -> None:
    cache = options.function_cache
    before = [one.function_type for one in cache._primary.values()] if cache is not None else []
    if not observer.sink.recording:
        return
    function = tf_decorator.unwrap(options.python_function)[1]
    code = user_code(function, observer.sink.sites)
    name = options.name or getattr(function, "__name__", "function")
    told = _of_trace(name, before, function_type) if before else _of_making(name, code, made)
    if told is not None:
        site = None
        if code is not None:
            site = observer.sink.sites.at(code.co_filename, code.co_firstlineno, code.co_name)
        text, detail = told
        observer.emit(Notice(observer.sink.next_seq(), "retrace", text, site, detail))


def _of_trace(name: str, before: Sequence[Any], function_type: Any) -> tuple[str, dict[str, Any]] | None:
    """Say which argument a function is traced again for."""
    changed = list(changes(before[-1], function_type))
    if not changed:
        return None  # TensorFlow traces a function that makes variables twice
    what = "; ".join(f"{one.argument} was {one.before}, now {one.now}" for one in changed)
    text = f"{name} is traced again ({len(before) + 1} traces): {what}"
    return text, {"function": name, "traces": len(before) + 1, "changed": [one._asdict() for one in changed]}


def _of_making(name: str, code: CodeType | None, made: Counter[CodeType]) -> tuple[str, dict[str, Any]] | None:
    """Say that functions of the same code are made again and again, each of which is traced anew."""
    if code is None:
        return None
    made[code] += 1
    if made[code] != _OFTEN:
        return None
    text = (
        f"{name} has been made into {_OFTEN} functions, each traced anew: make it once, outside of the loop "
        "or the function that calls it"
    )
    return text, {"function": name, "traces": _OFTEN, "changed": []}


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
