"""What the pytest plugin costs: ``python benchmarks/pytest_plugin.py [--rounds N]``, in CPU time, interleaved.

An empty suite is collected with the plugin and without; then a suite of many small tests is run without the
plugin, with the flag off, and recorded.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = 300
SUITE = f"""
import pytest
import torch

@pytest.mark.parametrize("n", range({TESTS}))
def test_it(n):
    assert torch.ones(2, 3).sum() == 6
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""Bytecode is kept between the sessions, as it is for installed packages."""

QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:hypothesispytest", "-p", "no:asyncio"]


def cpu_of(folder: Path, *args: str) -> float:
    """CPU seconds of one session of pytest in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, *args],
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 5), done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(folder: Path, rounds: int, variants: dict[str, list[str]]) -> dict[str, float]:
    """Return the median CPU seconds of each variant, run in turns after one round to warm up."""
    seen: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, args in variants.items():
            cpu = cpu_of(folder, *args)
            if number:
                seen[name].append(cpu)
    return {name: statistics.median(values) for name, values in seen.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = compare(folder, 2 * rounds, {"without": ["--co", "-p", "no:graphdebug"], "with": ["--co"]})
        print(f"empty suite, --collect-only: {(empty['with'] - empty['without']) * 1e3:+.1f} ms of CPU")
        (folder / "test_many.py").write_text(SUITE)
        many = compare(
            folder,
            rounds,
            {
                "without the plugin": ["-p", "no:graphdebug"],
                "flag off": [],
                "--graphdebug": ["--graphdebug"],
                "--graphdebug=always": ["--graphdebug=always"],
            },
        )
        base = many["without the plugin"]
        for variant, cpu in many.items():
            print(
                f"{TESTS} tests of 3 ops, {variant}: {cpu:.2f} s ({(cpu - base) / TESTS * 1e3:+.2f} ms a test)"
            )


if __name__ == "__main__":
    main()
