"""Print how often findings named the true line first, by what confidence they state: stated against observed;
and for each clue of the ranking how many lines had it, and how many of these were the true ones.

Example: python benchmarks/calibration.py

The first results on programs that no rule had been tuned to (recorded once, as they came: first_results.json,
and for lines that are ranked ranking_results.json) are those that the confidences are from. The programs of
tests/diagnosis are run now, and the locality suite is as last measured (docs/locality.json): the rules were
tuned on both, which show more than is so. Of the clues, what counts is their order, which should be that of
their weights (graphdebug/diagnosis/ranking.py).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from math import sqrt
from pathlib import Path

from graphdebug.diagnosis.confidence import LEADS, STRENGTHS, measured, measured_lead, strength_of
from graphdebug.diagnosis.ranking import CLUES
from graphdebug.model.finding import Finding

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
TABLES = (
    "torch_faults", "torch_configured", "torch_loops", "torch_outside", "torch_ranked", "torch_silent",
    "torch_trained", "both_torch", "values_torch", "tf1_faults", "tf2_faults", "keras_faults",
    "traced_faults", "both_tensorflow", "values_tensorflow",
)  # fmt: skip
"""Tables of faulty programs in tests/diagnosis."""

Outcome = tuple[float, bool]
"""The confidence that a finding stated, and whether it named the true line first."""


def first_results() -> Iterator[Outcome]:
    """What was found at the first run of programs written for it."""
    for one in json.loads((HERE / "first_results.json").read_text()):
        yield measured(one["strength"]), one["rank"] == 1


def first_rankings() -> Iterator[Outcome]:
    """What the ranking said at the first run of programs that it had not been mended by."""
    for one in json.loads((HERE / "ranking_results.json").read_text()):
        yield measured_lead(one["certainty"]), one["rank"] == 1


def found_in_tests() -> Iterator[tuple[Finding, set[int]]]:
    """The first finding on each faulty program of the tests, run now, and the lines at fault."""
    import tensorflow as tf
    import torch
    from tests.diagnosis.programs import marked_lines, programs, recorded

    torch.set_num_threads(1)
    for name in TABLES:
        began = time.perf_counter()
        table = import_module(f"tests.diagnosis.{name}")
        for program, run in programs(table).items():
            torch.manual_seed(0)
            tf.random.set_seed(0)
            with contextlib.redirect_stdout(io.StringIO()):  # what they print is theirs
                findings = recorded(run)[0].findings
            if findings:
                yield findings[0], marked_lines(table, program)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)


def suite() -> Iterator[Outcome]:
    """The pairs of the locality suite, as last measured."""
    for one in json.loads((HERE.parent / "docs" / "locality.json").read_text())["results"]:
        if one.get("confidence") is not None:
            yield one["confidence"], one["columns"]["graphdebug"]["rank"] == 1


def interval(right: int, total: int) -> str:
    """Return the 95 % interval of Wilson 1927 for a share."""
    share, z = right / total, 1.96
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{middle - half:.2f} to {min(1.0, middle + half):.2f}"


def print_outcomes(title: str, outcomes: Iterable[Outcome]) -> None:
    """Print stated against observed, a line for each strength of evidence."""
    by_class: dict[str, list[Outcome]] = {name: [] for name, _, _ in (*STRENGTHS, *LEADS)}
    for confidence, right in outcomes:
        by_class[strength_of(confidence)].append((confidence, right))
    print(f"\n{title}\n\n| evidence | findings | stated | observed | 95 % of |\n|---|---|---|---|---|")
    for name, found in [*by_class.items(), ("all", [one for some in by_class.values() for one in some])]:
        total, right = len(found), sum(hit for _, hit in found)
        if not total:
            print(f"| {name} | 0 | - | - | - |")
            continue
        stated = sum(confidence for confidence, _ in found) / total
        print(f"| {name} | {total} | {stated:.2f} | {right / total:.2f} | {interval(right, total)} |")


def print_clues(found: Iterable[tuple[Finding, set[int]]]) -> None:
    """Print for each clue how many of the lines that were named had it, and how many of these were true."""
    had, true = Counter[str](), Counter[str]()
    for finding, marked in found:
        for line in finding.candidates:
            had.update(line.clues)
            true.update(line.clues if line.site.line in marked else ())
    print("\nClues, on the programs of tests/diagnosis\n")
    print("| clue | weight | lines | true | share |\n|---|---|---|---|---|")
    for name, clue in sorted(CLUES.items(), key=lambda pair: -pair[1].weight):
        share = f"{true[name] / had[name]:.2f}" if had[name] else "-"
        print(f"| {name} | {clue.weight:+.1f} | {had[name]} | {true[name]} | {share} |")


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    print_outcomes("First results on programs that few rules had seen", first_results())
    print_outcomes("First results of the ranking", first_rankings())
    print_outcomes("Locality suite, tuned on", suite())
    found = list(found_in_tests())
    told = [(one.confidence, one.site is not None and one.site.line in marked) for one, marked in found]
    print_outcomes("Programs of tests/diagnosis, tuned on", told)
    print_clues(found)


if __name__ == "__main__":
    main()
