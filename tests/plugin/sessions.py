"""Sessions of pytest inside a test."""

from __future__ import annotations

import pytest


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run the tests of `pytester` in this process, without what takes seconds to load or shuffles tests."""
    left_out = [
        part for name in ("randomly", "cacheprovider", "hypothesispytest") for part in ("-p", f"no:{name}")
    ]
    return pytester.runpytest_inprocess(*left_out, *args)
