"""Fixtures that every test runs under."""

from __future__ import annotations

import signal

import pytest

from tests.left_behind import differences, snapshot

pytest_plugins = ["pytester"]

# what a shell starts in the background ignores Ctrl-C, and so would the programs under test
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Fail any test that leaves a hook, mode, patch, thread or open recording behind."""
    before = snapshot()
    yield
    left = differences(before, snapshot())
    assert not left, "left behind:\n" + "\n".join(left)
