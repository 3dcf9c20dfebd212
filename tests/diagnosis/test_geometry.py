"""The shape functions agree with the framework's own on random windows, and the input that fits is found."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import graphdebug
from graphdebug.diagnosis.shapes.fold import classify
from graphdebug.diagnosis.shapes.geometry import produced, regroup, solve

WINDOWS = st.tuples(
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from(["conv", "up", "pool"]),
)


def layer_of(kind, kernel, stride, padding, dilation):
    if kind == "conv":
        return nn.Conv2d(2, 2, kernel, stride, padding, dilation)
    if kind == "up":
        return nn.ConvTranspose2d(2, 2, kernel, stride, min(padding, kernel - 1), output_padding=0)
    return nn.MaxPool2d(kernel, stride, min(padding, kernel // 2), dilation, ceil_mode=bool(padding))


@settings(max_examples=60, deadline=None)
@given(WINDOWS, st.integers(12, 20), st.integers(12, 40))
def test_a_window_makes_of_another_size_what_the_framework_makes(window, before, after):
    *numbers, kind = window
    layer = layer_of(kind, *numbers)
    with graphdebug.record(level="shapes") as run, torch.no_grad():
        layer(torch.zeros(1, 2, before, before))
    node = next(one for one in run.nodes if one.family in ("conv", "pool"))
    with torch.no_grad():
        made = tuple(layer(torch.zeros(3, 2, after, after)).shape)
    assert produced(node, 0, (3, 2, after, after)) == made


def test_reshapes_group_the_same_dimensions():
    assert regroup((8, 64, 7, 7), (8, 3136), (8, 64, 25, 25)) == (8, 40000)
    assert regroup((4, 6, 12), (4, 6, 3, 4), (5, 6, 12)) == (5, 6, 3, 4)
    assert regroup((4, 1, 6), (4, 6), (4, 1, 9)) == (4, 9)
    assert regroup((4, 6), (2, 12), (5, 6)) is None


def test_the_size_that_fits_is_found_through_a_network():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 5), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Flatten(1)
    )
    with graphdebug.record(level="shapes") as run, torch.no_grad():
        net(torch.zeros(2, 3, 50, 50))
    links = [(one, 0) for one in run.nodes if one.family in ("conv", "pool", "reshape")]
    solved = solve(links, (2, 3, 50, 50), lambda shape: shape == (2, 8 * 7 * 7))
    assert solved == ((2, 3, 32, 32), (30, 33))


MERGES = [
    ((4, 6, 8), (24, 8)),  # batch and time
    ((24, 8), (4, 6, 8)),  # and back
    ((4, 6, 12), (4, 6, 3, 4)),  # heads
    ((4, 6, 12), (72, 4)),  # heads as rows
    ((4, 3, 6, 4), (12, 6, 4)),  # heads and batch
    ((2, 3, 8, 8), (2, 3, 2, 4, 2, 4)),  # patches cut
    ((2, 2, 2, 3, 4, 4), (8, 48)),  # patches as rows
    ((2, 5, 3, 8, 8), (10, 3, 8, 8)),  # frames as images
    ((4, 6, 8, 8), (24, 64)),  # channels as samples
    ((4, 8, 8, 8), (8, 4, 8, 8)),  # groups of channels
    ((8, 5), (4, 10)),  # pairs
    ((2, 75, 4), (150, 4)),  # anchors
    ((96,), (4, 24)),  # a stream of words
    ((20, 6), (5, 4, 6)),  # repeated batches
    ((4, 1, 28, 28), (4, 784)),  # flattened
    ((2, 6, 6, 7), (72, 7)),  # pixels
]
FOLDS = [
    ((49, 64, 25, 25), (625, 3136), "mixed"),
    ((49, 64, 3, 3), (9, 3136), "mixed"),
    ((6, 64, 14, 14), (24, 3136), "split"),
    ((4, 5, 6), (5, 4, 6), "transposed"),
]


def test_legitimate_reshapes_are_no_folds():
    assert [classify(before, after) for before, after in MERGES] == [None] * len(MERGES)


def test_folds_are_told_apart():
    assert [classify(before, after) for before, after, _ in FOLDS] == [way for *_, way in FOLDS]
