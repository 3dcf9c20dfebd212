"""graphdebug diff: the first node in which two recorded runs differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from graphdebug.diagnosis.runs.comparison import Comparison, Difference, Tolerance, compare
from graphdebug.loading import load
from graphdebug.model.event import Node

__all__ = ["command"]


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--rtol", type=click.FloatRange(min=0), help="Relative tolerance; default by dtype.")
@click.option("--atol", type=click.FloatRange(min=0), help="Absolute tolerance; default by dtype.")
@click.option("--across-dtypes", is_flag=True,
              help="Compare values of different float dtypes, as far as the coarser one allows.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="PATTERN",
              help="Leave out nodes by function, op, module, name or line, e.g. 'net.py:12'.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.pass_context
def command(
    ctx: click.Context, a: Path, b: Path, rtol: float | None, atol: float | None, *, across_dtypes: bool,
    ignore: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Name the first node in which the runs A and B differ. Exits 0 if none does, 1 if one does.

    Example: graphdebug diff monday.jsonl today.jsonl
    """
    result = compare(load(a), load(b), Tolerance(rtol, atol, across_dtypes), ignore=ignore)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_as_json(result))).decode())
    else:
        click.echo("\n".join(_lines(result, str(a), str(b))))
    ctx.exit(0 if result.same else 1)


def _lines(result: Comparison, a: str, b: str) -> list[str]:
    if not result.aligned:
        return [f"{a} and {b} have no node in common: are they runs of the same program?"]
    lines = []
    found = result.difference
    if found is None:
        lines.append(f"no difference in {result.aligned} aligned nodes of {result.steps} steps")
    else:
        lines += _difference_lines(found, a, b, result.aligned)
    for name, nodes in ((a, result.only_a), (b, result.only_b)):
        if nodes:
            lines.append(f"only in {name}: {len(nodes)} nodes, the first is {_node(nodes[0])}")
    return lines


def _difference_lines(found: Difference, a: str, b: str, aligned: int) -> list[str]:
    width = max(len(a), len(b))
    output = f", output {found.output}" if len(found.a.outputs) > 1 else ""
    born = "; ".join(found.inputs)
    return [
        f"first difference: {found.what} of {found.a.function}{output}; {aligned - 1} nodes before it agree",
        f"  {a:<{width}}  {found.found_a}  {_node(found.a)}",
        f"  {b:<{width}}  {found.found_b}  {_node(found.b)}",
        f"  its inputs differ already: {born}" if born else "  all its recorded inputs agree: it was born here",
    ]


def _node(node: Node) -> str:
    site = f" at {os.path.basename(node.site.file)}:{node.site.line}" if node.site is not None else ""
    module = f" in {node.module}" if node.module else ""
    return f"({node.phase} {node.op}{module}{site}, step {node.step}, seq {node.seq})"


def _as_json(result: Comparison) -> dict[str, Any]:
    found = result.difference
    return {
        "same": result.same,
        "steps": result.steps,
        "aligned": result.aligned,
        "only_in_a": [node.seq for node in result.only_a],
        "only_in_b": [node.seq for node in result.only_b],
        "difference": None
        if found is None
        else {
            "what": found.what,
            "output": found.output,
            "a": {**_node_json(found.a), "found": found.found_a},
            "b": {**_node_json(found.b), "found": found.found_b},
            "inputs": found.inputs,
        },
    }


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "seq": node.seq,
        "step": node.step,
        "phase": node.phase,
        "op": node.op,
        "function": node.function,
        "module": node.module,
        "site": None if node.site is None else {"file": node.site.file, "line": node.site.line},
    }
