"""Programs as trees whose faulty nodes are marked, and their text with the lines the marks came to."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "calls", "constant", "first_statement", "imported", "is_number", "loads", "mark", "numbers", "parse",
    "root", "spread",
    "statements", "stores", "take_marks", "template", "text",
]  # fmt: skip

_NESTED = (ast.FunctionDef, ast.ClassDef, ast.Lambda)


def parse(source: str, faults: dict[int, str | None]) -> ast.Module:
    """Return `source` as a tree: `faults` are its faulty lines, with what mends each where that is known."""
    tree = ast.parse(source)
    for line, mended in faults.items():
        holders = [one for one in ast.walk(tree) if isinstance(one, ast.stmt) and _holds(one, line)]
        statement = max(holders, key=lambda one: (one.lineno, -(one.end_lineno or 0)))
        mark(statement)
        if mended is not None:
            statement.mended = _numbers_in(mended)  # type: ignore[attr-defined]
        for part in ast.walk(statement):
            whole = isinstance(part, ast.stmt) or part is getattr(statement, "value", None)
            if isinstance(part, ast.expr) and not whole and part.lineno == line > statement.lineno:
                mark(part)
    return tree


def _holds(statement: ast.stmt, line: int) -> bool:
    return statement.lineno <= line <= (statement.end_lineno or 0)


def _numbers_in(mended: str) -> list[object]:
    try:
        return numbers(ast.parse(mended.strip()))
    except SyntaxError:
        return []


def mark(*nodes: ast.AST) -> None:
    """Mark `nodes` as faulty."""
    for node in nodes:
        node.fault = True  # type: ignore[attr-defined]


def is_marked(node: ast.AST) -> bool:
    """Say whether `node` is faulty."""
    return getattr(node, "fault", False)


def is_suspect(statement: ast.AST, value: object) -> bool:
    """Say whether the number `value` may be what is wrong in `statement`: what mends it has it no more."""
    if not is_marked(statement):
        return False
    mended = getattr(statement, "mended", None)
    odd = [one for one in numbers(statement) if one not in mended] if mended is not None else []
    return not odd or value in odd


def take_marks(old: ast.AST, *new: ast.AST) -> None:
    """Mark those of `new` that took a faulty part of `old`, and all of them where no part tells."""
    if not is_marked(old):
        return
    within = [one for one in new if any(is_marked(part) for part in ast.walk(one) if part is not old)]
    mark(*(within or new))


def spread(*nodes: ast.AST) -> None:
    """Write each of `nodes`, which stand in brackets, on a line of its own."""
    for node in nodes:
        node.own_line = True  # type: ignore[attr-defined]


def text(tree: ast.Module) -> tuple[str, frozenset[int]]:
    """Return the text of `tree` and the lines of its faulty nodes."""
    writer = _Writer()
    source = writer.visit(ast.fix_missing_locations(tree))
    return source + "\n", frozenset(writer.faults)


class _Writer(ast._Unparser):  # type: ignore[misc, name-defined]
    """The interpreter's own way from a tree to text, which also notes where marked nodes are written."""

    def __init__(self, **options: bool) -> None:
        super().__init__(**options)
        self.faults: set[int] = set()
        self._line = 1
        self._begun: list[int | None] = []

    def write(self, *parts: str) -> None:
        self._line += sum(part.count("\n") for part in parts)
        super().write(*parts)

    def fill(self, text: str = "") -> None:
        super().fill(text)
        self._begun = [self._line if line is None else line for line in self._begun]

    def traverse(self, node: object) -> None:
        if not isinstance(node, ast.AST):
            super().traverse(node)
            return
        if getattr(node, "own_line", False):
            self.write("\n" + "    " * (self._indent + 1))
        if not is_marked(node):
            super().traverse(node)
            return
        self._begun.append(None if isinstance(node, ast.stmt) else self._line)
        super().traverse(node)
        begun = self._begun.pop() or self._line
        simple = not hasattr(node, "body") or isinstance(node, ast.expr)
        parts = isinstance(node, ast.stmt) and any(is_marked(one) for one in ast.walk(node) if one is not node)
        if simple and not parts:
            self.faults.update(range(begun, self._line + 1))
        elif not simple:
            self.faults.add(begun)


def template(source: str, **nodes: ast.expr | list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of `source`, in which names stand for the expressions or statements in `nodes`."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return nodes.get(node.id, node)  # type: ignore[return-value]

        def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
            if isinstance(node.value, ast.Name) and isinstance(nodes.get(node.value.id), list):
                return nodes[node.value.id]  # type: ignore[return-value]
            return self.generic_visit(node)

    return Fill().visit(ast.parse(source)).body


def is_number(node: ast.AST) -> bool:
    """Say whether `node` is a number in the text."""
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def numbers(tree: ast.AST) -> list[object]:
    """Return the numbers in `tree`."""
    return [one.value for one in ast.walk(tree) if is_number(one)]


def constant(value: object) -> ast.Constant:
    """Return `value` as an expression."""
    return ast.Constant(value)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Return the calls in `tree`."""
    return (one for one in ast.walk(tree) if isinstance(one, ast.Call))


def root(node: ast.expr) -> str | None:
    """Return the name a chain of attributes begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def imported(tree: ast.Module) -> frozenset[str]:
    """Return the names that imports bind at the top of `tree`."""
    found = (one for one in tree.body if isinstance(one, (ast.Import, ast.ImportFrom)))
    return frozenset((one.asname or one.name).partition(".")[0] for each in found for one in each.names)


def first_statement(tree: ast.Module) -> int:
    """Return the place of the first statement after the imports at the top."""
    for place, one in enumerate(tree.body):
        docstring = isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
        if not isinstance(one, (ast.Import, ast.ImportFrom)) and not docstring:
            return place
    return len(tree.body)


def statements(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Return every list of statements in `tree`."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            held = getattr(node, name, None)
            if isinstance(held, list) and held and isinstance(held[0], ast.stmt):
                yield held


def loads(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that `nodes` read."""
    return _names(nodes, ast.Load)


def stores(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that `nodes` bind, not those bound in functions and classes within."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)):
            continue
        if not isinstance(node, _NESTED):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _names(nodes: Iterable[ast.AST], context: type) -> set[str]:
    each = (one for node in nodes for one in ast.walk(node))
    return {one.id for one in each if isinstance(one, ast.Name) and isinstance(one.ctx, context)}


def copied(tree: ast.Module) -> ast.Module:
    """Return a copy of `tree`, marks and all."""
    return copy.deepcopy(tree)


def rename(nodes: Sequence[ast.AST], names: dict[str, ast.expr]) -> list[ast.AST]:
    """Return `nodes` in which each of `names` is replaced by an expression, in functions within as well."""

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            if node.id not in names:
                return node
            new = copy.deepcopy(names[node.id])
            if hasattr(new, "ctx"):
                new.ctx = node.ctx
            return new

    return [Replace().visit(node) for node in nodes]
