"""``python -m graphdebug``: the command line, where its script is not on the path."""

from graphdebug.cli import main

main(prog_name="graphdebug")
