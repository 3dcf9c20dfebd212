"""Print for each clue of the ranking how many lines had it, and how many of these were the true ones.

Example: python benchmarks/ranking.py

Over the faulty programs of tests/diagnosis, run now. The rules were tuned on them: what counts is the order of
the clues, which should be that of their weights (graphdebug/diagnosis/ranking.py), not the shares.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from graphdebug.diagnosis.ranking import CLUES

sys.path.insert(0, str(Path(__file__).parent.parent))


def counted() -> tuple[Counter[str], Counter[str]]:
    """Return how many lines had each clue, and how many of them were true."""
    import tensorflow as tf
    import torch
    from tests.diagnosis import both_tensorflow, both_torch, tf1_faults, tf2_faults, torch_faults
    from tests.diagnosis.programs import marked_lines, programs, recorded

    had, true = Counter[str](), Counter[str]()
    for table in (torch_faults, tf1_faults, tf2_faults, both_torch, both_tensorflow):
        for name, program in programs(table).items():
            torch.manual_seed(0)
            tf.random.set_seed(0)
            found = recorded(program)[0].findings
            for line in found[0].candidates if found else ():
                had.update(line.clues)
                true.update(line.clues if line.site.line in marked_lines(table, name) else ())
    return had, true


def main() -> None:
    had, true = counted()
    print("| clue | weight | lines | true | share |\n|---|---|---|---|---|")
    for name, clue in sorted(CLUES.items(), key=lambda pair: -pair[1].weight):
        share = f"{true[name] / had[name]:.2f}" if had[name] else "-"
        print(f"| {name} | {clue.weight:+.1f} | {had[name]} | {true[name]} | {share} |")


if __name__ == "__main__":
    main()
