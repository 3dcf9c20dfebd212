"""Lines of a failure are ordered by the evidence for and against each, and how certain the first is follows."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path

import pytest

import graphdebug
from graphdebug.diagnosis.confidence import LEADS, measured_lead
from graphdebug.diagnosis.ranking import CLUES, certainty, held, ranked
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate
from tests.diagnosis import torch_ranked
from tests.diagnosis.programs import assert_named_first, programs

HOME = Path(__file__).parents[2]
FIRST = json.loads((HOME / "benchmarks" / "ranking_results.json").read_text())


def at(line, why=""):
    return Candidate(Site("net.py", line), "origin", why)


def lines(candidates):
    return [one.site.line for one in candidates]


def test_the_line_with_most_evidence_comes_first_whatever_the_order_given():
    given = [*held([at(1)], "refused"), *held([at(2)], "repairs"), *held([at(3)], "declares_size")]
    assert lines(ranked(given)) == lines(ranked(given[::-1])) == [2, 3, 1]


def test_evidence_against_a_line_moves_it_back():
    given = [*held([at(1)], "declares_size"), *held([at(2)], "made_operand")]
    assert lines(ranked(given)) == [1, 2]
    assert lines(ranked([*held(given[:1], "worked"), given[1]])) == [2, 1]


def test_of_equal_evidence_and_of_none_the_given_order_stays():
    assert lines(ranked([at(3), at(1), at(2)])) == [3, 1, 2]
    assert lines(ranked(held([at(3)], "said") + held([at(1)], "said"))) == [3, 1]


def test_what_is_said_of_one_line_in_two_places_is_added_up_and_it_is_named_once():
    given = [*held([at(1)], "odd_one"), *held([at(2)], "made_operand"), *held([at(2)], "declares_size")]
    first = ranked(given)[0]
    assert first.site.line == 2
    assert first.clues == ("made_operand", "declares_size")


def test_the_same_clue_twice_counts_once():
    twice = [*held([at(1)], "made_operand"), *held([at(1)], "made_operand"), *held([at(2)], "declares_size")]
    assert lines(ranked(twice)) == [2, 1]


def test_a_line_that_is_named_for_a_reason_of_its_own_does_not_only_pass_on():
    one = ranked([*held([at(1)], "refused", "passes_on"), *held([at(1)], "declares_size")])[0]
    assert one.clues == ("refused", "declares_size")
    both = ranked([*held([at(1)], "passes_on"), *held([at(1)], "refused", "passes_on")])[0]
    assert both.clues == ("passes_on", "refused")


def test_later_lines_of_a_group_are_beside_its_first():
    first, second = held([at(1), at(2)], "declares_size")
    assert (first.clues, second.clues) == (("declares_size",), ("declares_size", "beside"))


def test_an_unknown_clue_is_refused():
    with pytest.raises(KeyError, match="hunch"):
        held([at(1)], "hunch")


def test_more_evidence_for_the_first_line_and_fewer_rivals_make_it_more_certain():
    alone = certainty(held([at(1)], "repairs"))
    rival = certainty(ranked([*held([at(1)], "repairs"), *held([at(2)], "declares_size")]))
    weaker = certainty(ranked([*held([at(1)], "made_operand"), *held([at(2)], "refused")]))
    assert 1 > alone > rival > weaker > 0
    assert certainty([]) == 0.0


def test_every_clue_is_given_by_a_rule_and_has_a_cause():
    said = {
        node.value
        for path in (Path(graphdebug.__file__).parent / "diagnosis").rglob("*.py")
        if path.name != "ranking.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(set(CLUES) - said) == []
    assert all(clue.cause and clue.weight for clue in CLUES.values())


def test_the_documentation_lists_every_clue_with_its_weight():
    text = (HOME / "docs" / "findings.md").read_text("utf-8")
    for name, clue in CLUES.items():
        assert f"| `{name}` | {clue.weight:+.1f} | {clue.cause} |" in text


@pytest.mark.parametrize(("name", "least", "share"), LEADS)
def test_each_class_of_ranked_lines_states_its_share_of_first_results(name, least, share):
    above = min((one for _, one, _ in LEADS if one > least), default=2.0)
    found = [one["rank"] == 1 for one in FIRST if least <= one["certainty"] < above]
    assert found, name
    assert share == pytest.approx((sum(found) + 1) / (len(found) + 2), abs=0.006)


def test_a_line_further_ahead_is_never_less_confident():
    shares = [measured_lead(number / 100) for number in range(101)]
    assert all(a <= b for a, b in pairwise(shares))


@pytest.mark.parametrize("name", sorted(programs(torch_ranked)))
def test_of_several_lines_in_question_the_true_one_is_named_first(name, tmp_path):
    assert_named_first(torch_ranked, name, None, tmp_path)
