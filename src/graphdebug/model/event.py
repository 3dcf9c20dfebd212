"""Event: one fact about one execution of a computation graph, the central data type.

Every execution, dynamic or static, is a stream of these. They are frozen and JSON-native: none holds a
live tensor, and a run read from a file equals the run that was recorded. docs/format.md documents each
field with its reason.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

__all__ = [
    "SCHEMA_VERSION",
    "Declaration",
    "End",
    "Event",
    "Failure",
    "Family",
    "Framework",
    "Gradient",
    "Level",
    "Node",
    "Notice",
    "Number",
    "Operand",
    "Origin",
    "Phase",
    "RunStart",
    "Shape",
    "Site",
    "Source",
    "Stats",
    "TensorFact",
    "ToolError",
    "number",
]

SCHEMA_VERSION = 2
"""Version of the log format; a reader refuses to guess at the events of a newer one."""

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A float that strict JSON can hold. ``float(n)`` gives the value back whichever form it has."""

Shape = tuple[int | None, ...]
"""Sizes per dimension; None is a dimension that is not known (a static shape before execution)."""

Level = Literal["shapes", "health", "stats", "values"]
"""How much is recorded of each tensor, each level including the ones before it."""

Phase = Literal["forward", "backward", "optimizer", "recompute", "build"]
"""The part of a step a node ran in; ``build`` is a static graph being built, before any step."""

Origin = Literal[
    "node", "parameter", "buffer", "variable", "feed", "argument", "constant", "gradient", "unknown"
]
"""Where an operand came from; ``argument`` is a tensor that existed before recording or came from user
data, ``gradient`` the accumulated gradient of a parameter."""

Family = Literal[
    "conv", "pool", "linear", "matmul", "reshape", "permute", "cat", "split", "index", "elementwise",
    "where", "reduce", "softmax", "loss", "norm", "dropout", "pad", "upsample", "cast", "random", "fill",
    "assign", "copy", "collective", "control", "check", "placeholder", "other",
]  # fmt: skip
"""What an op does, in words that every framework shares; diagnosis reads this, never a framework's op name."""


def number(value: float) -> Number:
    """Return `value` in the form strict JSON can hold: NaN and the infinities become strings."""
    if math.isfinite(value):
        return float(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class Site(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A place in source code. Lines count from 1 and columns from 0; 0 lines or -1 columns are unknown."""

    file: str
    line: int
    column: int = -1
    end_line: int = 0
    end_column: int = -1
    function: str = ""


class Stats(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Statistics of one tensor. Counts cover all elements; min to l2 cover the finite elements only."""

    nan: int = 0
    pos_inf: int = 0
    neg_inf: int = 0
    zero: int = 0
    min: Number | None = None
    max: Number | None = None
    mean: Number | None = None
    std: Number | None = None
    l2: Number | None = None
    histogram: tuple[int, ...] = ()
    """Counts of finite elements in equal bins from `min` to `max`; empty where not taken."""


class TensorFact(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known of one tensor at one moment; never the tensor itself."""

    shape: Shape | None
    dtype: str
    device: str = "cpu"
    layout: str = ""
    """Empty for a plain contiguous tensor, else e.g. ``strided``, ``channels_last``, ``sparse_coo``."""
    alias_of: int | None = None
    """Sequence number of the node whose output shares this tensor's memory (a view), if any."""
    finite: bool | None = None
    """True or False where every element was looked at; None where not (see `unchecked`)."""
    unchecked: str = ""
    """Why the elements could not be looked at, where a level asked for it; never read as finite."""
    stats: Stats | None = None
    values: tuple[Number | bool | str, ...] = ()
    """Flattened elements, all of a small tensor or a sample of a large one (level values)."""
    saved: str = ""
    """Where the whole tensor was saved: a safetensors file beside the log, ``file#key``."""


class Operand(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One input of a node or of a failing call, by the thing that made it."""

    fact: TensorFact
    origin: Origin = "node"
    producer: int | None = None
    """Sequence number of the node that made it (the last one to write it), if a node did."""
    output: int = 0
    """Which output of the producer."""
    name: str = ""
    """Name of the parameter (``fc.weight``), variable, feed (``x:0``) or declaration, if it has one."""
    role: str = ""
    """The op's own word for this input: ``input``, ``weight``, ``labels``, ..."""
    expression: str = ""
    """The user's source text for it at the failing call, where it could be read off the source."""


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="event"):
    """Base of all events. `seq` orders the events of one run: unique, rising, not without gaps."""

    seq: int

    @property
    def kind(self) -> str:
        """The event's kind, as written under ``event`` in the log."""
        return str(self.__struct_config__.tag)


class RunStart(Event, frozen=True, gc=False, tag="run"):
    """First line of every log: what was run, where, with which options."""

    schema: int
    graphdebug: str
    started: str
    """Wall clock at the start, ISO 8601 with offset."""
    python: str
    platform: str
    argv: tuple[str, ...]
    cwd: str
    pid: int
    options: dict[str, Any]
    rank: int | None = None
    world_size: int | None = None
    host: str = ""


class Framework(Event, frozen=True, gc=False, tag="framework"):
    """A backend was attached to a framework."""

    name: str
    version: str
    detail: dict[str, Any] = {}


class Source(Event, frozen=True, gc=False, tag="source"):
    """The text of one file of the user's, kept so that a log explains itself on another machine."""

    file: str
    text: str


class Declaration(Event, frozen=True, gc=False, tag="declaration"):
    """A thing that nodes use and the user declared: a layer, parameter, variable, placeholder or dataset."""

    name: str
    """Module path, parameter or variable name, placeholder name."""
    type: str
    """Class or op name: ``Linear``, ``Parameter``, ``Placeholder``."""
    site: Site | None = None
    """The line that made it, also when that was before recording; None where it can't be told."""
    how: str = ""
    """How `site` is known: ``traceback`` (recorded when made) or ``source`` (found in the class's source)."""
    attributes: dict[str, Any] = {}
    """What it was declared with, e.g. ``{"in_features": 3136, "out_features": 10}``; lists, not tuples."""
    tensors: dict[str, TensorFact] = {}
    """Its own tensors by name, e.g. ``weight`` and ``bias``."""
    callers: tuple[Site, ...] = ()
    """User frames around `site`, innermost first: a helper that makes all weights is told apart by these."""


class Node(Event, frozen=True, gc=False, tag="node"):
    """One execution of one op."""

    step: int
    op: str
    """The framework's own name: ``aten::addmm``, ``MatMul``."""
    function: str
    """The field's lower-case word, alike in all frameworks: ``matmul``, ``log``, ``div``, ``conv2d``."""
    family: Family
    framework: str
    mode: str
    """``eager``, ``compiled``, ``session`` or ``function``."""
    phase: Phase = "forward"
    name: str = ""
    """The node's name in a static graph: ``dense/MatMul``."""
    module: str = ""
    """Attribute path of the innermost module or layer, or the name scope: ``encoder.layers.3.attn``."""
    overload: str = ""
    site: Site | None = None
    """The user's line: where an eager op ran, where a static node was built."""
    run_site: Site | None = None
    """The user's line that ran a static node, where it differs from `site`."""
    callers: tuple[Site, ...] = ()
    """User frames around `site`, innermost first."""
    inputs: tuple[Operand, ...] = ()
    outputs: tuple[TensorFact, ...] = ()
    forward: int | None = None
    """For a backward or recomputed node: sequence number of the forward node it belongs to."""
    mutates: tuple[int, ...] = ()
    """Indices into `inputs` of the tensors this node wrote in place."""
    attributes: dict[str, Any] = {}
    """Non-tensor arguments under the shared words of docs/format.md (``stride``, ``padding``, ``axis`` ...)."""
    execution: Literal["executed", "inferred", "fused", "removed", "raised"] = "executed"
    """``inferred``: ran, but its shapes were computed and not seen; ``fused``/``removed`` by the graph
    optimizer; ``raised``: did not finish."""
    time: float = 0.0
    """Seconds from the start of the run to the start of this node; 0 where not taken."""
    duration: float = 0.0
    """Seconds on the host that the node took; 0 where not taken."""
    device: str = ""
    thread: int = 0


class Gradient(Event, frozen=True, gc=False, tag="gradient"):
    """The gradient of a parameter or of a forward tensor, as backward left it."""

    step: int
    fact: TensorFact
    name: str = ""
    """Parameter or variable name; empty for the gradient of an intermediate tensor."""
    node: int | None = None
    """Sequence number of the forward node whose output this is the gradient of, or that used the
    parameter."""
    output: int = 0
    producer: int | None = None
    """Sequence number of the backward node that made it, where known."""
    site: Site | None = None
    stage: str = ""
    """Empty: as backward left it. With ranks also, as the optimizer was given it: ``combined`` over the
    ranks, or this rank's ``shard`` of it. ``given``: with its statistics, as the optimizer was given it in some
    of the steps of a recording at level health."""


class Failure(Event, frozen=True, gc=False, tag="failure"):
    """An exception that a framework call raised, with all that is known about the call."""

    step: int
    error: str
    """Qualified exception class: ``RuntimeError``, ``tensorflow.errors.InvalidArgumentError``."""
    message: str
    category: str = "other"
    """The backend's reading of its framework's error: ``shape``, ``dtype``, ``device``, ``inplace``,
    ``index``, ``nonfinite``, ``backward_twice``, ``leaf_inplace``, ``no_gradient``, ``uninitialized``,
    ``unfed``, ``feed_shape``, ``tensor_fed``, ``not_a_tensor``, ``other_graph``, ``inner_graph``,
    ``finalized``, ``checkpoint``, ``memory``, ``assertion``, ``variable_exists``, ``variable_late``,
    ``variable_missing``, ``variable_shared``, ``starved``, ``data``, ``signature``, ``tape_used``,
    ``optimizer_variables``, ``missing_file``, ``damaged_file``, ``argument``, ``parameters``, ``values``,
    ``mapped``, ``plain_python``, ``other``."""
    detail: dict[str, Any] = {}
    """What the backend could read off the error, by category; see docs/format.md."""
    framework: str = ""
    mode: str = ""
    phase: Phase = "forward"
    op: str = ""
    function: str = ""
    family: Family = "other"
    name: str = ""
    module: str = ""
    site: Site | None = None
    """The user's innermost line: where the failing eager call is, where the failing node was built."""
    run_site: Site | None = None
    frames: tuple[Site, ...] = ()
    """User frames of the traceback, outermost first."""
    operands: tuple[Operand, ...] = ()
    attributes: dict[str, Any] = {}
    node: int | None = None
    """Sequence number of the failing node, where it was recorded."""


class Notice(Event, frozen=True, gc=False, tag="notice"):
    """Something the reader of the log must know: where the recorder was blind, or changed what ran."""

    topic: str
    """``graph_break``, ``retrace``, ``fused``, ``blind``, ``paused``, ``dropped``, ``replay`` ..."""
    text: str
    site: Site | None = None
    detail: dict[str, Any] = {}


class ToolError(Event, frozen=True, gc=False, tag="tool_error"):
    """graphdebug itself failed here; the user's program went on."""

    where: str
    message: str
    traceback: str = ""


class End(Event, frozen=True, gc=False, tag="end"):
    """Last line of a run that ended in order; a log without it was cut off."""

    status: Literal["completed", "failed", "interrupted", "exited"]
    steps: int
    events: int
    seconds: float
