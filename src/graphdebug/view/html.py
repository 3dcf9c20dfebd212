"""The HTML report: one file that needs nothing else, from plain rows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

import msgspec

from graphdebug.errors import GraphDebugError
from graphdebug.view.compare import Comparison
from graphdebug.view.report import Report

__all__ = ["html"]

_SCRIPTS = ("dom", "data", "detail", "graph", "source", "charts", "table", "compare", "main")


def html(reports: Sequence[Report], comparison: Comparison | None = None) -> str:
    """Return the page of one run, or of two side by side.

    Nothing of a log is ever markup or code in it: the rows are one JSON text that the scripts put on the
    page as text, and the page's own policy lets no other script run and nothing be fetched.

    Raises:
        GraphDebugError: jinja2 is not installed.

    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise GraphDebugError(
            "the HTML report needs jinja2: install it with `pip install 'graphdebug[html]'`"
        ) from error
    scripts = [_asset("libraries.js"), "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)]
    template = Environment(autoescape=True).from_string(_asset("report.html"))
    return template.render(
        title=" and ".join(one.title for one in reports),
        styles=_asset("libraries.css") + _asset("report.css"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        data=_in_script({"runs": reports, "comparison": comparison}),
        licences=_asset("LICENCES.txt"),
    )


def _asset(name: str) -> str:
    return (files("graphdebug.view") / "assets" / name).read_text("utf-8")


def _hash(script: str) -> str:
    """The script as the page's security policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _in_script(data: object) -> str:
    """JSON that can stand inside a script element, whatever the texts in it are."""
    text = msgspec.json.encode(data).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
