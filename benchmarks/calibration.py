"""Print how often findings named the true line first, by what confidence they state: stated against observed.

Example: python benchmarks/calibration.py

Four tables: the first results on programs that no rule had been tuned to (recorded once, as they came:
first_results.json, and for lines that are ranked ranking_results.json), from which the confidences are; the
programs of tests/diagnosis, run now; the locality suite as last measured (docs/locality.json). The rules were
tuned on the last two: they show more than is so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from math import sqrt
from pathlib import Path

from graphdebug.diagnosis.confidence import LEADS, STRENGTHS, measured, measured_lead, strength_of

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

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


def programs_of_the_tests() -> Iterator[Outcome]:
    """The faulty programs of tests/diagnosis, run now."""
    import tensorflow as tf
    import torch
    from tests.diagnosis import both_tensorflow, both_torch, tf1_faults, tf2_faults, torch_faults
    from tests.diagnosis.programs import marked_lines, programs, recorded

    for table in (torch_faults, tf1_faults, tf2_faults, both_torch, both_tensorflow):
        for name, program in programs(table).items():
            torch.manual_seed(0)
            tf.random.set_seed(0)
            found = recorded(program)[0].findings
            if found:
                site = found[0].site
                yield found[0].confidence, site is not None and site.line in marked_lines(table, name)


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


def table(title: str, outcomes: Iterable[Outcome]) -> None:
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


def main() -> None:
    table("First results on programs that few rules had seen", first_results())
    table("First results of the ranking", first_rankings())
    table("Programs of tests/diagnosis, tuned on", list(programs_of_the_tests()))
    table("Locality suite, tuned on", suite())


if __name__ == "__main__":
    main()
