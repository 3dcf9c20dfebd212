"""Fixtures that every test runs under."""

from __future__ import annotations

import pytest

from tests.left_behind import differences, snapshot

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Fail any test that leaves a hook, mode, patch, thread or open recording behind."""
    before = snapshot()
    yield
    left = differences(before, snapshot())
    assert not left, "left behind:\n" + "\n".join(left)
