"""The command line: one file a subcommand, found by name, imported only when it is used."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

from graphdebug._version import VERSION
from graphdebug.errors import GraphDebugError

__all__ = ["ProgramEnded", "main"]


class ProgramEnded(BaseException):
    """Carries the exception that ended a user's program past click, which would make a message of ^C."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _Commands(click.Group):
    """The subcommands are the modules of this folder; each has a click command named `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; an exception of the user's own program goes to the interpreter untouched."""
        try:
            return super().main(*args, **kwargs)
        except ProgramEnded as ended:
            error = ended.error
        raise error  # out of the except block: its __context__ must stay as it was

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a user's mistake is one line on stderr and exit code 2."""
        try:
            return super().invoke(ctx)
        except GraphDebugError as error:
            click.echo(f"graphdebug: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "-V", "--version", prog_name="graphdebug")
def main() -> None:
    """Find the line where a PyTorch or TensorFlow program went wrong.

    Example: graphdebug run train.py
    """
