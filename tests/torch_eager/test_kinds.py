"""Tensors of every kind: metadata always, statistics where they have a meaning, never a false "finite"."""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses import FakeTensorMode

import graphdebug
from graphdebug.backends.torch.nodes import facts, looking


def recorded(make, level="stats"):
    with graphdebug.record(level=level) as run:
        make()
    assert not run.tool_errors
    return run.nodes


def last(make, level="stats"):
    return recorded(make, level)[-1].outputs[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_statistics_of_floats(dtype):
    values = torch.tensor([0.0, 1.0, -2.0, math.nan, math.inf, -math.inf, 4.0, 1.0], dtype=dtype)
    fact = last(lambda: values.clone())
    assert (fact.finite, fact.dtype) == (False, str(dtype).removeprefix("torch."))
    stats = fact.stats
    assert (stats.nan, stats.pos_inf, stats.neg_inf, stats.zero) == (1, 1, 1, 1)
    assert (stats.min, stats.max, stats.mean) == (-2.0, 4.0, pytest.approx(0.8))
    assert stats.std == pytest.approx(torch.tensor([0.0, 1, -2, 4, 1]).std(unbiased=False).item(), rel=1e-6)
    assert stats.l2 == pytest.approx(math.sqrt(22))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
def test_statistics_of_integers(dtype):
    fact = last(lambda: torch.tensor([0, 1, 1, 0]).to(dtype).clone())
    assert (fact.stats.zero, fact.stats.min, fact.stats.max, fact.stats.mean) == (2, 0.0, 1.0, 0.5)
    assert last(lambda: torch.tensor([0, 1]).to(dtype).clone(), "health").finite is None


@pytest.mark.parametrize("size", [1, 7, 2048, 2049, 70_000])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_the_compiled_kernel_and_torch_give_the_same_numbers(size, shift, monkeypatch):
    if looking._kernel is None:
        pytest.skip("no C compiler was there when graphdebug was installed")
    torch.manual_seed(0)
    values = torch.randn(size) + shift
    values[size // 2] = math.inf if size > 2 else values[size // 2]
    ours = looking.stats_of(values)
    monkeypatch.setattr(looking, "_kernel", None)
    theirs = looking.stats_of(values)
    for name in ("nan", "pos_inf", "neg_inf", "zero"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("min", "max", "mean", "std", "l2"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=2e-6, abs=1e-7), name


def test_without_the_kernel_health_and_statistics_are_recorded_too(monkeypatch):
    monkeypatch.setattr(looking, "_kernel", None)
    assert last(lambda: torch.tensor([1.0, math.nan]).clone(), "health").finite is False
    assert last(lambda: torch.ones(3).mul(2)).stats.l2 == pytest.approx(math.sqrt(12))


def test_a_deviation_small_against_the_mean_is_right():
    torch.manual_seed(0)
    values = torch.randn(100_000) * 1e-3 + 10
    assert looking.stats_of(values).std == pytest.approx(values.double().std(unbiased=False).item(), rel=1e-5)


def channels_last():
    return torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last).mul(2)


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


class Named(torch.Tensor):
    """A subclass of the user's own that only sees functions."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(func, types, args, kwargs or {})


SPECIAL = {
    "fp8": (lambda: torch.ones(4).to(torch.float8_e4m3fn).clone(), "float8_e4m3fn", True, ""),
    "complex": (lambda: torch.ones(4, dtype=torch.complex64).clone(), "complex64", True, ""),
    "empty": (lambda: torch.ones(0, 3).clone(), "float32", None, ""),
    "zero-dim": (lambda: torch.tensor(2.0).clone(), "float32", True, ""),
    "channels last": (channels_last, "float32", True, ""),
    "transposed": (lambda: torch.randn(3, 4).t().mul(2), "float32", True, ""),
    "coo": (lambda: torch.eye(3).to_sparse().mul(2), "float32", True, ""),
    "csr": (lambda: torch.eye(3).to_sparse_csr().mul(2), "float32", True, ""),
    "csc": (lambda: torch.eye(3).to_sparse_csc().clone(), "float32", True, ""),
    "bsr": (lambda: torch.eye(4).to_sparse_bsr((2, 2)).clone(), "float32", True, ""),
    "bsc": (lambda: torch.eye(4).to_sparse_bsc((2, 2)).clone(), "float32", True, ""),
    "sparse integers": (lambda: torch.eye(3, dtype=torch.int64).to_sparse().clone(), "int64", True, ""),
    "uint16": (lambda: torch.ones(3, dtype=torch.uint16).clone(), "uint16", True, ""),
    "uint64": (lambda: torch.ones(3, dtype=torch.uint64).clone(), "uint64", True, ""),
    "bits": (lambda: torch.zeros(4, dtype=torch.uint8).view(torch.bits8).clone(), "bits8", None, "bits8"),
    "zeros of autograd": (lambda: torch._efficientzerotensor((3,)).clone(), "float32", True, ""),
    "meta": (lambda: torch.ones(3, device="meta").mul(2), "float32", None, "meta tensor has no data"),
    "mkldnn": (lambda: torch.ones(2, 3).to_mkldnn().relu(), "float32", None, "mkldnn tensor"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8).clone(),
        "quint8", None, "quantized tensor",
    ),
    "nested": (lambda: nested(torch.strided).clone(), "float32", True, ""),
    "jagged": (lambda: nested(torch.jagged).mul(2), "float32", True, ""),
    "masked": (
        lambda: torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])).mul(2),
        "float32", None, "tensor subclass MaskedTensor",
    ),
    "function subclass": (lambda: torch.ones(2).as_subclass(Named).mul(2), "float32", True, ""),
    "inference": (lambda: torch.inference_mode()(torch.ones)(3), "float32", True, ""),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SPECIAL)
def test_special_kinds(name):
    make, dtype, finite, reason = SPECIAL[name]
    fact = last(make)
    assert (fact.dtype, fact.finite) == (dtype, finite)
    assert reason in fact.unchecked
    assert bool(reason) == bool(fact.unchecked)


SMALL = [
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


@pytest.mark.parametrize("dtype", [*SMALL, torch.complex32, torch.complex64, torch.complex128])
def test_a_nan_of_every_small_and_complex_type_is_seen_at_every_level(dtype):
    bad, good = (torch.tensor([1.0, value]).to(dtype) for value in (math.nan, 2.0))
    for level in ("health", "stats", "values"):
        assert last(bad.clone, level).finite is False
        assert last(good.clone, level).finite is True
    assert last(bad.clone).stats.nan == 1


BROKEN = torch.tensor([[1.0, math.nan], [0.0, 2.0]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        BROKEN.to_sparse, BROKEN.to_sparse_csr, BROKEN.to_sparse_csc, lambda: BROKEN.to_sparse_bsr((1, 1)),
        lambda: BROKEN.to_sparse_bsc((1, 1)),
        lambda: torch.nested.nested_tensor([BROKEN[0], BROKEN[1, :1]]),
        lambda: torch.nested.nested_tensor([BROKEN[0], BROKEN[1, :1]], layout=torch.jagged),
    ],
    ids=["coo", "csr", "csc", "bsr", "bsc", "nested", "jagged"],
)  # fmt: skip
def test_a_nan_in_what_a_sparse_or_nested_tensor_stores_is_seen(make):
    broken = make()
    for level in ("health", "stats", "values"):
        assert last(broken.clone, level).finite is False
    assert last(broken.clone).stats.nan == 1


def test_a_sparse_tensor_has_the_counts_and_the_norm_of_all_its_elements():
    stats = last(torch.tensor([[3.0, 0.0], [0.0, 4.0]]).to_sparse().clone).stats
    assert (stats.zero, stats.l2, stats.mean) == (2, 5.0, None)
    twice = torch.sparse_coo_tensor([[0, 0]], [3.0, 4.0], (2,))
    assert last(twice.clone).stats.l2 is None, "one place is stored twice: its sum is not known"


def test_fake_tensors_are_recorded_by_shape():
    def make():
        with FakeTensorMode():
            torch.randn(3, 4) @ torch.randn(4, 5)

    nodes = recorded(make)
    assert all(fact.finite is None for node in nodes for fact in node.outputs)


def test_the_shape_of_memory_not_written_yet_is_no_false_nan():
    fact = last(lambda: torch.empty(1000))
    assert (fact.finite, fact.stats) == (None, None)


def test_a_view_shares_what_was_seen_of_its_base_and_no_more():
    nodes = recorded(lambda: torch.tensor([1.0, math.nan]).clone()[:1].mul(2), "health")
    base, view, product = nodes[-3:]
    assert (base.outputs[0].finite, view.outputs[0].finite, product.outputs[0].finite) == (False, None, True)
    assert view.outputs[0].alias_of == base.seq


def test_values_are_kept_whole_when_small_and_sampled_when_large():
    assert last(lambda: torch.arange(4.0).mul(1), "values").values == (0.0, 1.0, 2.0, 3.0)
    sampled = last(lambda: torch.arange(1000.0).mul(1), "values").values
    assert (len(sampled), sampled[0], sampled[-1]) == (64, 0.0, 999.0)


def test_kinds_are_kept_once():
    one, other = torch.ones(3, 4), torch.zeros(3, 4)
    assert facts.kind_of(one) is facts.kind_of(other)
    assert facts.kind_of(one) is not facts.kind_of(one.double())
