"""Failing: which rule explains an exception, by its category; unknown is said."""

from __future__ import annotations

from collections.abc import Callable

from graphdebug.diagnosis.account import call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused import (
    assertions,
    files,
    given,
    graphs,
    initializing,
    inplace,
    loading,
    mapped,
    misuse,
    mixups,
    nothing,
    parameters,
    plain,
    refusals,
    shared,
    targets,
    traced,
    ungraphed,
    values,
)
from graphdebug.diagnosis.shapes import shape
from graphdebug.diagnosis.words import telling
from graphdebug.model.event import Failure
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain", "unknown"]

Rule = Callable[[Evidence, Failure], Finding | None]
_MISUSES = (
    "not_a_tensor",
    "backward_twice",
    "unfed",
    "finalized",
    "memory",
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_MISUSES, misuse.explain),
    "no_gradient": ungraphed.explain,
    "parameters": parameters.explain,
    "values": values.explain,
    "mapped": mapped.explain,
    "shape": shape.explain,
    "other_graph": graphs.explain_mixed,
    "uninitialized": initializing.explain_uninitialized,
    "dtype": mixups.explain_dtype,
    "device": mixups.explain_device,
    "inplace": inplace.explain,
    "leaf_inplace": inplace.explain_leaf,
    "index": targets.explain,
    "feed_shape": misuse.explain_feed,
    "variable_missing": shared.explain_missing,
    "variable_shared": shared.explain_shared,
    "tape_used": traced.explain_tape,
    "signature": traced.explain_signature,
    "optimizer_variables": traced.explain_optimizer,
    "data": given.explain,
    "plain_python": plain.explain,
    "starved": initializing.explain_starved,
    "variable_exists": refusals.explain_variable,
    "variable_late": refusals.explain_variable,
    "argument": refusals.explain_argument,
    "tensor_fed": refusals.explain_fed_tensor,
    "inner_graph": refusals.explain_inner,
    "missing_file": files.explain_missing,
    "damaged_file": files.explain_damaged,
    "checkpoint": refusals.explain_checkpoint,
}


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for `failure`; None where no framework raised it, or only a scan can tell."""
    if not failure.framework:
        return nothing.explain(evidence, failure) or inplace.explain_assigned(evidence, failure)
    rule = _RULES.get(failure.category)
    return rule(evidence, failure) if rule is not None else None


def unknown(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return what is known of a framework's failure that no rule explains."""
    if not failure.framework:
        return None
    clear = shape.explain_if_clear(evidence, failure) or loading.explain(evidence, failure)
    if clear is not None:
        return clear
    if failure.category == "assertion":
        return assertions.explain(evidence, failure)
    around = [Candidate(site, "caller", "a call around it") for site in reversed(failure.frames[:-1])]
    lines = [f"  {line}" for line in telling(failure.message)]
    return evidence.finding(
        "unknown", what=f"{failure.error.rpartition('.')[2]} in {failure.function or failure.op or 'a call'}, "
        "of unknown cause", candidates=[*call(failure), *around], confidence=0.3,
        when=shape.when(failure), body=[*shape.operand_lines(evidence, failure.operands), *lines],
        tries=["read what came before it in the record"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip
