"""Importing graphdebug is free: no framework, no terminal library, no milliseconds."""

from __future__ import annotations

import statistics
import subprocess
import sys

HEAVY = ("torch", "tensorflow", "keras", "numpy", "rich", "structlog", "click", "msgspec")
LIMIT_MS = 30.0

_LOADED = "import sys; {statement}; print([m for m in {heavy!r} if m in sys.modules])"
_CPU = "import time; {statement}; print(time.process_time() * 1000)"


def loaded_by(statement: str) -> str:
    return _python(_LOADED.format(statement=statement, heavy=HEAVY))


def cpu_ms(statement: str) -> float:
    return statistics.median(float(_python(_CPU.format(statement=statement))) for _ in range(5))


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_graphdebug_loads_nothing_heavy():
    assert loaded_by("import graphdebug") == "[]"


def test_the_check_for_heavy_modules_can_fail():
    assert loaded_by("import graphdebug; graphdebug.record") == "['msgspec']"


def test_importing_graphdebug_costs_under_30_ms_of_cpu():
    assert cpu_ms("import graphdebug") - cpu_ms("pass") < LIMIT_MS


def test_the_check_of_the_cost_can_fail():
    assert cpu_ms("import numpy") - cpu_ms("pass") > LIMIT_MS


def test_recording_without_a_path_loads_no_structlog_and_no_framework():
    code = "import graphdebug\nwith graphdebug.record():\n    pass\nimport sys; statement = None"
    shown = _python(
        f"{code}\nprint([m for m in ('torch', 'tensorflow', 'rich', 'structlog') if m in sys.modules])"
    )
    assert shown == "[]"
