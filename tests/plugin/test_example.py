"""The suite in examples/ that fails on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.sessions import run

SUITE = Path(__file__).parents[2] / "examples" / "pytest_suite"

pytestmark = pytest.mark.usefixtures("warm")


def test_the_example_suite_fails_where_it_says(pytester):
    for path in SUITE.glob("*.py"):
        (pytester.path / path.name).write_text(path.read_text())
    result = run(pytester, "--graphdebug")
    result.assert_outcomes(failed=4, passed=2)
    result.stdout.fnmatch_lines(
        [
            "graphdebug: shape mismatch in linear, born at model.py:15, shows at model.py:20 (forward, step 0)",
            "log: .graphdebug/test_model.py.test_takes_images_of_any_size.jsonl",
            "graphdebug: log is not finite, born at model.py:26, shows at test_model.py:22 (forward, step 0)",
            "log: .graphdebug/test_model.py.test_loss_of_a_sure_network_is_finite.jsonl",
            "E       AssertionError: gradients do not flow to 2 of 6 parameters:",
            "E         spare.weight: no gradient",
            "E       AssertionError: operands are stretched against each other in 1 of 5 nodes:",
            "E         sub at model.py:31: 4x1 with 4 gives 4x4",
        ]
    )
