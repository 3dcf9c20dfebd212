"""What each op of torch means in the words all frameworks share: function, family, roles, what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from graphdebug.backends.whole import COUNTS
from graphdebug.model.event import Family

__all__ = ["KNOWN", "Op", "op_of", "words_of"]

_FAMILIES: dict[Family, str] = {
    "conv": "convolution convolution_overrideable mkldnn_convolution thnn_conv2d conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d slow_conv3d",
    "pool": "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d "
    "avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d",
    "linear": "linear addmm mkldnn_linear",
    "matmul": "mm bmm baddbmm addbmm matmul mv addmv dot vdot einsum outer addr "
    "scaled_dot_product_attention scaled_dot_product_flash_attention_for_cpu "
    "scaled_dot_product_efficient_attention scaled_dot_product_flash_attention",
    "reshape": "view reshape flatten unflatten squeeze unsqueeze expand unsafe_view reshape_alias "
    "view_as_real view_as_complex expand_as unfold as_strided",
    "permute": "permute transpose t movedim swapaxes numpy_T",
    "cat": "cat stack concat hstack vstack",
    "split": "split split_with_sizes chunk unbind tensor_split unsafe_split",
    "index": "gather index index_select slice select embedding one_hot take masked_select narrow diagonal "
    "index_put index_add index_copy scatter scatter_add slice_scatter select_scatter topk sort nonzero",
    "where": "where masked_fill",
    "reduce": "sum mean max min argmax argmin std var norm cumsum cumprod prod amax amin all any logsumexp "
    "linalg_vector_norm var_mean std_mean aminmax nansum median count_nonzero",
    "softmax": "softmax log_softmax",
    "loss": "nll_loss_forward nll_loss2d_forward nll_loss cross_entropy mse_loss binary_cross_entropy "
    "binary_cross_entropy_with_logits smooth_l1_loss huber_loss kl_div l1_loss soft_margin_loss "
    "multi_margin_loss multilabel_margin_loss_forward ctc_loss cosine_embedding_loss nll_loss_nd "
    "margin_ranking_loss hinge_embedding_loss triplet_margin_loss poisson_nll_loss gaussian_nll_loss",
    "norm": "native_batch_norm cudnn_batch_norm batch_norm native_layer_norm layer_norm native_group_norm "
    "group_norm instance_norm batch_norm_with_update rms_norm fused_rms_norm batch_norm_legit "
    "native_batch_norm_legit native_batch_norm_legit_no_training batch_norm_no_update",
    "dropout": "native_dropout dropout feature_dropout alpha_dropout",
    "pad": "constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
    "replication_pad2d replication_pad3d",
    "upsample": "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d "
    "upsample_linear1d upsample_bicubic2d upsample_trilinear3d pixel_shuffle interpolate",
    "cast": "to_copy to type convert_element_type",
    "random": "rand randn randint randperm normal uniform bernoulli rand_like randn_like randint_like "
    "multinomial random exponential",
    "fill": "zeros ones full empty zeros_like ones_like full_like empty_like fill zero arange linspace eye "
    "iota scalar_tensor new_zeros new_ones new_full new_empty new_empty_strided empty_strided tril_indices",
    "copy": "clone copy detach contiguous alias lift_fresh lift",
    "collective": "all_reduce allreduce broadcast all_gather allgather reduce_scatter all_to_all barrier "
    "all_gather_into_tensor reduce_scatter_tensor wait_tensor allgather_base reduce_scatter_base "
    "alltoall alltoall_base all_gather_copy_in send recv",
    "check": "isfinite isnan isinf equal allclose local_scalar_dense is_nonzero",
}  # fmt: skip

_ELEMENTWISE = (
    "add sub rsub mul div pow sqrt rsqrt log log1p log2 log10 exp exp2 expm1 relu relu6 sigmoid tanh maximum "
    "minimum abs neg sign square reciprocal sin cos tan asin acos atan atan2 sinh cosh erf erfc erfinv gelu "
    "silu elu selu leaky_relu hardtanh hardswish hardsigmoid softplus prelu mish logit clamp clamp_min "
    "clamp_max floor ceil round trunc frac fmod remainder floor_divide lerp addcmul addcdiv eq ne lt le gt ge "
    "lshift rshift bitwise_left_shift bitwise_right_shift "
    "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not nan_to_num sgn xlogy "
    "lgamma digamma threshold log_sigmoid_forward hypot copysign logaddexp glu celu fma"
)
_FUNCTIONS = {
    "addmm": "linear", "mm": "matmul", "mv": "matmul", "dot": "matmul", "t": "transpose", "rsub": "sub",
    "unsafe_view": "view", "to_copy": "cast", "convert_element_type": "cast", "native_batch_norm": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "native_batch_norm_legit": "batch_norm", "native_batch_norm_legit_no_training": "batch_norm",
    "native_layer_norm": "layer_norm", "native_group_norm": "group_norm", "native_dropout": "dropout",
    "max_pool2d_with_indices": "max_pool2d", "max_pool3d_with_indices": "max_pool3d",
    "nll_loss_forward": "nll_loss", "nll_loss2d_forward": "nll_loss", "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_with_logits", "constant_pad_nd": "pad",
    "mkldnn_convolution": "conv2d", "linalg_vector_norm": "norm", "log_sigmoid_forward": "log_sigmoid",
    "scaled_dot_product_flash_attention_for_cpu": "scaled_dot_product_attention", "index": "gather",
    "upsample_nearest2d": "upsample", "upsample_bilinear2d": "upsample",
    "local_scalar_dense": "item",
    "lshift": "left_shift", "bitwise_left_shift": "left_shift", "rshift": "right_shift",
    "bitwise_right_shift": "right_shift", "lift_fresh": "constant", "fused_rms_norm": "rms_norm",
}  # fmt: skip
_FAMILIES["elementwise"] = _ELEMENTWISE
_FAMILY_OF: dict[str, Family] = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_ROLES = {
    "input": "input", "weight": "weight", "bias": "bias", "target": "labels", "index": "index",
    "indices": "index", "condition": "condition", "grad_output": "gradient", "grad_out": "gradient",
    "grad": "gradient", "running_mean": "state", "running_var": "state", "mat1": "a", "mat2": "b", "other": "b",
    "batch1": "a", "batch2": "b", "mask": "condition",
}  # fmt: skip
_TWO_SIDED = frozenset({"elementwise", "matmul"})


@dataclass(slots=True, eq=False)
class Op:
    """One overload of one op, read off its schema once."""

    name: str
    """``aten::addmm``."""
    overload: str
    function: str
    family: Family
    arguments: tuple[str, ...] = ()
    """Names of the arguments, in order."""
    defaults: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    """Roles by argument name."""
    writes: frozenset[str] = frozenset()
    """Names of the arguments written in place."""
    views: bool = False
    """Whether the outputs share memory with an input, unwritten."""
    reinterprets: bool = False
    """Whether what is known of the elements does not hold for such a view: it reads them as another type, with
    another sign, or reads other ones.
    """
    unborn: bool = False
    """Whether the output has no values yet: ``empty``, or communication that goes on."""
    adopts: bool = False
    """Whether the output is memory that something else filled: a batch of another process, a saved tensor."""
    backward: bool = False
    counts: bool = False
    """Whether it may leave the range of whole numbers, so that those it is given and gives are measured."""
    casts: bool = False
    """Whether its elements may become whole numbers."""
    recorded: bool = True
    ends_step: bool = False
    """Whether a step is over after it: a GradScaler updates, also where it skipped the optimizer."""
    operator: Any = None
    """The operator, held so that its identity is not used again."""
    call: Any = None
    """What to call to run it: what an overload's own ``__call__`` calls, which saves a frame of Python's."""
    written: tuple[tuple[int, str], ...] = ()
    """Positions and names of the arguments written in place."""
    traits: int = 0
    """What the compiled recorder asks of it at every execution, a bit each (_record_clerk.c)."""


KNOWN: dict[int, Op] = {}
"""The ops seen so far by the identity of the operator: its own hash is computed in Python."""


def op_of(func: Any) -> Op:
    """Return what is known of an OpOverload or higher-order operator."""
    op = KNOWN.get(id(func))
    if op is None:
        op = KNOWN[id(func)] = _read(func)
        op.operator = func
        op.call = func._op if type(func) is torch._ops.OpOverload else func
        asked = (
            op.views, op.writes, op.unborn, op.reinterprets, op.ends_step, op.recorded, op.adopts, op.counts,
            op.casts,
        )  # fmt: skip
        op.traits = sum(1 << bit for bit, one in enumerate(asked) if one)
    return op


def words_of(base: str) -> tuple[str, Family]:
    """Return function and family of an op by its base name (``_log_softmax`` -> ``log_softmax``)."""
    name = base.strip("_")
    if name.endswith(("_backward", "_backward_data", "_backward_input")):
        stem = name[: name.rindex("_backward")]
        function, family = words_of(stem)
        return f"{function}_backward", family
    if name in _FAMILY_OF:
        return _FUNCTIONS.get(name, name), _FAMILY_OF[name]
    if name.startswith(("foreach_", "fused_")):
        return name, "elementwise"
    if name.startswith("assert"):
        return name, "check"
    if name.endswith("_copy") and name.removesuffix("_copy") in _FAMILY_OF:
        return words_of(name.removesuffix("_copy"))
    return name, "other"


def _read(func: Any) -> Op:
    schema = getattr(func, "_schema", None)
    if schema is None:  # a higher-order operator: cond, map, flex_attention
        name = str(getattr(func, "name", func)() if callable(getattr(func, "name", None)) else func)
        return Op(f"higher_order::{name}", "", name, "control")
    base = schema.name.partition("::")[2]
    function, family = words_of(base)
    names = tuple(argument.name for argument in schema.arguments)
    written = {a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write}
    viewed = [a.name for a in schema.arguments if a.alias_info is not None and not a.alias_info.is_write]
    returns_alias = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    return Op(
        name=schema.name,
        overload=schema.overload_name,
        function=function,
        family=family,
        arguments=names,
        defaults={a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        roles={name: _role(name, family) for name in names},
        writes=frozenset(written),
        written=tuple([(index, name) for index, name in enumerate(names) if name in written]),
        views=bool(viewed) and returns_alias,
        reinterprets=base in ("as_strided", "_neg_view") or (base, schema.overload_name) == ("view", "dtype"),
        unborn=base.startswith(("empty", "new_empty", "_empty"))
        or base == "set_"
        or (family == "collective" and base != "wait_tensor"),
        adopts=base == "set_",
        backward="_backward" in base,
        counts=function in COUNTS,
        casts=function == "cast",
        ends_step=base == "_amp_update_scale_",
        recorded=not schema.name.startswith(("profiler::", "prim::")),
    )


def _role(name: str, family: Family) -> str:
    if name == "self":
        if family == "linear":
            return "bias"
        return "a" if family in _TWO_SIDED else "input"
    if family == "linear" and name in ("mat1", "mat2"):
        return "input" if name == "mat1" else "weight"
    if family == "loss" and name == "target":
        return "labels"
    return _ROLES.get(name, "")
