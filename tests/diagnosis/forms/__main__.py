"""``python -m tests.diagnosis.forms torch``: programs in other forms, or made wrong, and what is named then."""

from __future__ import annotations

import argparse
import glob
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from graphdebug.locality.hosts import Host

from .cases import Case, from_file, of_suite
from .mutations import mutants
from .running import FORMS, Result, mixed, open_host, run_case, run_mutant


def _cases(options: argparse.Namespace) -> list[Case]:
    if options.cases is None:
        found = of_suite(options.framework)
    else:
        found = [from_file(Path(one)) for pattern in options.cases for one in sorted(glob.glob(pattern))]
    chosen = options.only.split(",") if options.only else None
    return [
        one for one in found if one.framework == options.framework and (chosen is None or one.name in chosen)
    ]


def _results(case: Case, options: argparse.Namespace, host: Host, chance: random.Random) -> Iterator[Result]:
    """Run `case` in the forms that are asked for, or mutants of its twin."""
    if options.mutants:
        found = list(mutants(case.twin))
        tries = chance.sample(found, min(4 * options.sample, len(found)))
        for number, one in enumerate(tries):
            result = run_mutant(case.name, one, host, options.keep / case.name / str(number))
            if result is not None:
                yield result
        return
    if options.mix:
        forms = [mixed(case, options.mix, chance) for _ in range(options.sample)]
    else:
        forms = options.forms.split(",") if options.forms else ["plain", *FORMS]
    for form in forms:
        result = run_case(case, form, host, options.keep)
        if result is not None:
            yield result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis.forms", description=__doc__)
    parser.add_argument("framework", choices=("torch", "tf1", "tf2"))
    parser.add_argument(
        "--cases", nargs="+", help="files of cases; without it the programs of the locality suite"
    )
    parser.add_argument("--only", help="names of cases, joined by commas")
    parser.add_argument("--forms", help=f"of {', '.join(FORMS)}; joined by commas, several at once by +")
    parser.add_argument("--mix", type=int, help="apply so many forms at once, chosen at random")
    parser.add_argument("--mutants", action="store_true", help="make the clean twins wrong in one place each")
    parser.add_argument("--sample", type=int, default=1, help="how many mixes or mutants of each case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep programs and logs in this folder")
    parser.add_argument("--all", action="store_true", help="also print what is named first")
    return parser.parse_args()


def main() -> None:
    """Run programs and print those that are not named first, or whose twin is accused."""
    options = _options()
    chance, verdicts = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, open_host(options.framework) as host:
        options.keep = (options.keep or Path(folder)).resolve()
        for case in _cases(options):
            limit = options.sample if options.mutants else None
            for result in islice(_results(case, options, host, chance), limit):
                verdicts[result.verdict] += 1
                verdicts["alarms"] += bool(result.alarms)
                if options.all or result.verdict != "first" or result.alarms:
                    print(result, flush=True)
    print(dict(verdicts))


if __name__ == "__main__":
    main()
