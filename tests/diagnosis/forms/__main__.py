"""``python -m tests.diagnosis.forms torch|tf1|tf2 [--cases 'GLOB OF FILES'] [--forms a,b+c] [--only NAMES] [--sample N] [--mix K]``."""

from __future__ import annotations

import argparse
import glob
import random
import tempfile
from collections import Counter
from pathlib import Path

from .cases import Case, from_file, of_suite
from .running import FORMS, mixed, open_host, run_case


def _cases(options: argparse.Namespace) -> list[Case]:
    if options.cases is None:
        found = of_suite(options.framework)
    else:
        found = [from_file(Path(one)) for one in sorted(glob.glob(options.cases))]
    chosen = options.only.split(",") if options.only else None
    return [
        one for one in found if one.framework == options.framework and (chosen is None or one.name in chosen)
    ]


def main() -> None:
    """Run programs in forms and print those that are not named first, or whose twin is accused."""
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis.forms", description=main.__doc__)
    parser.add_argument("framework", choices=("torch", "tf1", "tf2"))
    parser.add_argument("--cases", help="files of cases; without it the programs of the locality suite")
    parser.add_argument("--only", help="names of cases, joined by commas")
    parser.add_argument("--forms", help=f"of {', '.join(FORMS)}; joined by commas, several at once by +")
    parser.add_argument("--sample", type=int, help="so many forms of each case, chosen at random")
    parser.add_argument("--mix", type=int, help="apply so many forms at once; --sample says how many times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep programs and logs in this folder")
    parser.add_argument("--all", action="store_true", help="also print what is named first")
    options = parser.parse_args()
    chance, verdicts = random.Random(options.seed), Counter[str]()
    forms = options.forms.split(",") if options.forms else ["plain", *FORMS]
    with tempfile.TemporaryDirectory() as folder, open_host(options.framework) as host:
        for case in _cases(options):
            done, order = 0, chance.sample(forms, len(forms)) if options.sample else forms
            if options.mix:
                order = [mixed(case, options.mix, chance) for _ in range(options.sample or 1)]
            for form in order:
                if done == options.sample:
                    break
                result = run_case(case, form, host, (options.keep or Path(folder)).resolve())
                if result is None:
                    continue
                done += result.verdict != "form"
                verdicts[result.verdict] += 1
                verdicts["alarms"] += bool(result.alarms)
                if options.all or result.verdict != "first" or result.alarms:
                    print(result, flush=True)
    print(dict(verdicts))


if __name__ == "__main__":
    main()
