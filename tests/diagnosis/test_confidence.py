"""The confidences that findings state are those measured on programs that no rule had been tuned to."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from graphdebug.diagnosis.confidence import STRENGTHS, measured, strength_of

FIRST = json.loads((Path(__file__).parents[2] / "benchmarks" / "first_results.json").read_text())


@pytest.mark.parametrize("name", [name for name, _, _ in STRENGTHS[1:]])
def test_each_class_states_its_share_of_first_results(name):
    found = [one["rank"] == 1 for one in FIRST if strength_of(measured(one["strength"])) == name]
    share = next(share for known, _, share in STRENGTHS if known == name)
    assert share == pytest.approx((sum(found) + 1) / (len(found) + 2), abs=0.006)


def test_stronger_evidence_is_never_less_confident_and_none_is_certain():
    shares = [measured(number / 100) for number in range(101)]
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[-1] < 1
