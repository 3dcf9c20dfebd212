"""Failures whose message quotes another traceback: TorchScript's, a DataLoader worker's, another thread's."""

from __future__ import annotations

import re

from msgspec.structs import replace

from graphdebug.model.event import Failure
from graphdebug.model.site import SiteFinder

__all__ = ["at_quoted_line", "restore_message"]

_FRAME = re.compile(r'^ *File "([^"\n]+)", line (\d+), in (.+)$', re.MULTILINE)
_QUOTING = re.compile(r"^(?:Original )?Traceback(?: of TorchScript)? \(most recent call last\):$", re.MULTILINE)
_SCRIPT = "The following operation failed in the TorchScript interpreter."
_LOST = re.compile(r"RuntimeError: (\n+)\Z")


def restore_message(error: BaseException, raised: str | None) -> None:
    """Put back what TorchScript's interpreter loses of an op's message when the op passes through Python.

    Args:
        error: an exception that leaves the block.
        raised: type and message of the exception that an op raised last, as the recorder saw it.

    """
    text = str(error)
    lost = _LOST.search(text)
    if raised is not None and len(error.args) == 1 and text.startswith(_SCRIPT) and lost is not None:
        error.args = (text[: lost.start()] + raised + lost[1],)


def at_quoted_line(failure: Failure, sites: SiteFinder) -> Failure:
    """Return `failure` at the user's innermost line in the traceback that its message quotes, if it does."""
    quoted = _QUOTING.search(failure.message)
    if quoted is None:
        return failure
    lines = [
        sites.at(file, int(line), function)
        for file, line, function in _FRAME.findall(failure.message, quoted.end())
        if sites.is_user(file)
    ]
    if not lines:
        return failure
    return replace(failure, site=lines[-1], run_site=failure.site, frames=(*failure.frames, *lines))
