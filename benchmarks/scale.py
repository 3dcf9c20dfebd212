"""Measure the views on a log of 1,000,000 events: seconds (wall and CPU) and peak memory of each command.

Example: flock /tmp/bench.lock python benchmarks/scale.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_log import write

MAIN = [sys.executable, "-c", "from graphdebug.cli import main; main()"]
FIRST_SCREEN = 20
"""Lines of output that make a screen worth looking at: the summary and the first nodes."""


def measure(arguments: list[str], lines: int | None = None) -> tuple[float, float, float, float]:
    """Seconds to the `lines`-th line of output, to the end, of CPU; peak memory in MB."""
    began = time.perf_counter()
    environment = {**os.environ, "COLUMNS": "140"}
    with subprocess.Popen(MAIN + arguments, stdout=subprocess.PIPE, env=environment) as process:
        first = None
        for number, _ in enumerate(process.stdout, 1):
            if number == (lines or 1):
                first = time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    total = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{arguments} failed")
    return first or total, total, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        log, report, tables = (Path(folder) / name for name in ("big.jsonl", "report.html", "tables"))
        total = write(log, events, 12, nan=True)
        print(f"{total:,} events, {log.stat().st_size / 1e6:.0f} MB; seconds\n")
        print("| command | first screen | whole | CPU | peak MB |\n|---|---|---|---|---|")
        for name, arguments in {
            "explain": ["explain", str(log)],
            "view": ["view", str(log)],
            "view --nonfinite": ["view", str(log), "--nonfinite"],
            "view --module blocks.3 --phase backward": [
                "view", str(log), "--module", "blocks.3", "--phase", "backward"],
            "view --where 'l2 > 1e9' (none)": ["view", str(log), "--where", "l2 > 1e9"],
            "view --seq 500000": ["view", str(log), "--seq", "500000"],
            "report": ["report", str(log), "-o", str(report)],
            "export --to parquet": ["export", str(log), "--to", "parquet", "-o", str(tables)],
        }.items():  # fmt: skip
            first, whole, cpu, memory = measure(arguments, FIRST_SCREEN if name == "view" else None)
            print(f"| `{name}` | {first:.1f} | {whole:.1f} | {cpu:.1f} | {memory:.0f} |", flush=True)
        size = sum(one.stat().st_size for one in tables.rglob("*.parquet"))
        print(f"\nreport {report.stat().st_size / 1e6:.1f} MB; Parquet {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
