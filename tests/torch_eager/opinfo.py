"""torch's own database of ops, run plainly and under the recorder: results and errors must be the same.

`python -m tests.torch_eager.opinfo` sweeps every op and every dtype it has on the CPU; `--ops PATTERN` and
`--dtypes float32` narrow it. It prints the counts and each op that differs.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
import warnings
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import graphdebug
from graphdebug.errors import GraphDebugWarning


class Bare(TorchDispatchMode):
    """A mode that does nothing: some of torch's backward formulas take another path while any is active."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@dataclass
class Report:
    """What a sweep saw."""

    counts: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    under_any_mode: set[str] = field(default_factory=set)
    """Ops that torch itself computes differently under a dispatch mode that does nothing."""
    not_repeatable: set[str] = field(default_factory=set)
    """Ops that gave another result when run plainly again and again."""

    def differ(self, op, dtype, what):
        self.differences.append(
            f"{op.name}{'.' + op.variant_test_name if op.variant_test_name else ''} {dtype}: {what}"
        )


def database():
    """The ops that torch ships to test itself with."""
    from torch.testing._internal.common_methods_invocations import op_db

    return op_db


def sweep(ops, dtypes=None, samples=None, report=None):
    """Run samples of `ops` plainly and recorded at level stats, forward and backward; return the report."""
    report = report or Report()
    for op in ops:
        report.counts["ops"] += 1
        for dtype in sorted(op.supported_dtypes("cpu"), key=str):
            if dtypes is None or dtype in dtypes:
                _sweep_dtype(op, dtype, samples, report)
        if op.error_inputs_func is not None:
            _sweep_errors(op, report)
    return report


def _sweep_dtype(op, dtype, samples, report):
    report.counts["op and dtype"] += 1
    backward = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
    try:
        inputs = list(islice(op.sample_inputs("cpu", dtype, requires_grad=backward), samples))
    except Exception as error:  # some samples of the database can't be made without extra packages
        report.counts[f"no samples ({type(error).__name__})"] += 1
        return
    for sample in inputs:
        report.counts["samples"] += 1
        plain = _outcome(op, sample, backward)
        again = _outcome(op, sample, backward)
        seen = _outcome(op, sample, backward, graphdebug.record(level="stats"))
        if not _same(plain, again):
            report.counts["not repeatable without us either"] += 1
            report.not_repeatable.add(f"{op.name} {sample.kwargs.get('driver', '')}".strip())
        elif "empty" in op.name and isinstance(plain[0], list) and isinstance(seen[0], list):
            report.counts["memory that is not written yet"] += 1
        elif not _same(plain, seen):
            if _same(seen, _outcome(op, sample, backward, Bare())):
                report.counts["different under any dispatch mode, alike under an empty one"] += 1
                report.under_any_mode.add(op.name)
            elif _reads_unwritten_memory(op, sample, backward):
                report.counts["alike once torch fills the memory it hands out"] += 1
                report.not_repeatable.add(f"{op.name} {sample.kwargs.get('driver', '')}".strip())
            else:
                report.differ(op, dtype, f"{_shown(plain)} plain, {_shown(seen)} recorded")


def _reads_unwritten_memory(op, sample, backward):
    """Whether an empty mode and a recording agree once torch fills the memory that it hands out.

    Then an op reads what it did not write, as linalg.lstsq does with LAPACK's gelsy: its results are chance.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        empty = _outcome(op, sample, backward, Bare())
        return _same(empty, _outcome(op, sample, backward, graphdebug.record(level="stats")))
    finally:
        torch.use_deterministic_algorithms(False)


def _outcome(op, sample, backward, under=None):
    """The results and gradients of one sample, or the exception it raised."""
    torch.manual_seed(0)
    sample = sample.transform(_copied)
    with under or nullcontext() as run:
        outcome = _run(op, sample, backward)
    if isinstance(run, graphdebug.Run) and run.tool_errors:
        return "tool error", run.tool_errors[0].traceback
    return outcome


def _run(op, sample, backward):
    try:
        result = op(sample.input, *sample.args, **sample.kwargs)
        outputs = [one for one in _flat(result) if isinstance(one, torch.Tensor)]
        gradients = _backward(outputs, sample) if backward else []
    except Exception as error:
        return type(error), str(error)
    return [*outputs, *gradients], torch.get_rng_state()


def _backward(outputs, sample):
    leaves = [one for one in _flat((sample.input, sample.args, sample.kwargs)) if isinstance(one, torch.Tensor)]
    leaves = [one for one in leaves if one.requires_grad]
    sources = [one for one in outputs if one.requires_grad and one.layout is torch.strided]
    if not leaves or not sources:
        return []
    gradients = torch.autograd.grad(
        sources, leaves, [torch.ones_like(one) for one in sources], allow_unused=True
    )
    return [one for one in gradients if one is not None]


def _sweep_errors(op, report):
    try:
        inputs = list(op.error_inputs("cpu"))
    except Exception as error:
        report.counts[f"no error inputs ({type(error).__name__})"] += 1
        return
    for one in inputs:
        report.counts["error samples"] += 1
        plain = _outcome(op, one.sample_input, False)
        seen = _outcome(op, one.sample_input, False, graphdebug.record(level="stats"))
        if not _same(plain, seen):
            report.differ(op, "error", f"{_shown(plain)} plain, {_shown(seen)} recorded")


def _copied(value):
    if not isinstance(value, torch.Tensor):
        return value
    copy = (
        value.detach().clone()
        if value.layout is torch.strided and value._is_view() is False
        else value.detach()
    )
    return copy.requires_grad_(value.requires_grad)


def _flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in _flat(one)]
    return [value]


def _same(a, b):
    if isinstance(a[0], type) or isinstance(b[0], type) or isinstance(a[0], str) or isinstance(b[0], str):
        return a == b
    return len(a[0]) == len(b[0]) and all(map(_identical, a[0], b[0])) and torch.equal(a[1], b[1])


def _identical(a, b):
    if (a.shape, a.dtype, a.layout) != (b.shape, b.dtype, b.layout):
        return False
    if a.is_quantized or a.device.type == "meta":
        return True
    if a.layout is not torch.strided:
        a, b = a.to_dense(), b.to_dense()
    return torch.equal(_bits(a), _bits(b))


def _bits(value):
    value = value.detach().resolve_conj().resolve_neg()
    if value.dtype.is_complex:
        value = torch.view_as_real(value)
    return value.reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8)


def _shown(outcome):
    first, second = outcome
    return (
        f"{first.__name__ if isinstance(first, type) else first}: {second}"[:600]
        if not isinstance(first, list)
        else "a result"
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ops", default="*", help="glob pattern of op names")
    parser.add_argument("--dtypes", nargs="*", help="dtypes, as in float32; all by default")
    parser.add_argument("--samples", type=int, help="at most this many samples an op and dtype; all by default")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", GraphDebugWarning)
    torch.set_num_threads(1)
    dtypes = {getattr(torch, one) for one in options.dtypes} if options.dtypes else None
    report, began = Report(), time.perf_counter()
    ops = [op for op in database() if fnmatch.fnmatch(op.name, options.ops)]
    for number, op in enumerate(ops):
        sweep([op], dtypes, options.samples, report)
        if number % 50 == 49:
            print(
                f"{number + 1} of {len(ops)} ops, {len(report.differences)} differences",
                file=sys.stderr,
                flush=True,
            )
    for line in report.differences:
        print("DIFFERS", line)
    print(
        ", ".join(f"{count} {what}" for what, count in report.counts.items()),
        f"in {time.perf_counter() - began:.0f} s",
    )
    print("not repeatable:", ", ".join(sorted(report.not_repeatable)) or "none")
    print("different under any mode:", ", ".join(sorted(report.under_any_mode)) or "none")
    print(f"{len(report.differences)} differences")
    return bool(report.differences)


if __name__ == "__main__":
    sys.exit(main())
