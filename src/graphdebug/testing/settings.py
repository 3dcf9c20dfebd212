"""Settings: what a session of pytest was asked to record, from the command line and the ini file, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graphdebug.errors import GraphDebugError
from graphdebug.options import Options

__all__ = ["Settings"]

_FILTERS = {"module": "modules", "op": "ops", "phase": "phases"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line and the ini file ask for, checked.

    Raises:
        pytest.UsageError: a value that does not exist, or a folder that can't be written.

    """

    mode: str
    level: str
    """Empty where none was asked for."""
    folder: Path
    report: bool
    filters: dict[str, tuple[str, ...]]
    allow: tuple[str, ...]
    """Patterns of nodes that may give NaN or Inf."""

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read the settings of a session, the command line before the ini file."""

        def setting(name: str) -> Any:
            given = config.getoption(name)
            return config.getini(name) if given is None else given

        folder = config.rootpath / setting("graphdebug_log")
        settings = cls(
            mode=setting("graphdebug"),
            level=setting("graphdebug_level"),
            folder=folder,
            report=setting("graphdebug_report"),
            filters=_filters(setting("graphdebug_filter")),
            allow=tuple(setting("graphdebug_allow")),
        )
        try:
            settings.options("")
            if settings.report:
                from graphdebug.view.html import html

                html([])  # says now, not after the first failure, what is not installed
        except GraphDebugError as error:
            raise pytest.UsageError(f"--graphdebug: {error}") from None
        if config.getoption("graphdebug_report") and settings.mode == "off":
            raise pytest.UsageError("--graphdebug-report needs --graphdebug: without it no test is recorded")
        above = next(place for place in (folder, *folder.parents) if place.exists())
        if not above.is_dir():
            raise pytest.UsageError(f"--graphdebug-log={folder}: {above} is a file; name a folder")
        return settings

    def options(self, level: str, allow: Sequence[str] = ()) -> Options:
        """Return the options of one recording, at `level` if the user named none; a marker may `allow` more."""
        chosen: dict[str, Any] = {"level": self.level or level or "health", **self.filters}
        chosen["allow"] = (*self.allow, *allow)
        return Options(**chosen)


def _filters(patterns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Sort patterns like ``encoder.*``, ``op:conv*`` and ``phase:forward`` by the option they belong to."""
    found: dict[str, tuple[str, ...]] = {}
    for pattern in patterns:
        kind, colon, rest = pattern.partition(":")
        if not colon:
            kind, rest = "module", pattern
        if kind not in _FILTERS or not rest:
            raise pytest.UsageError(
                f"unknown --graphdebug-filter {pattern!r}: use a pattern of module paths, "
                "op:PATTERN or phase:NAME"
            )
        found[_FILTERS[kind]] = (*found.get(_FILTERS[kind], ()), rest)
    return found
