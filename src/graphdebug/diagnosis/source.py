"""SourceText: what the user's own source, as kept in the log, says at a line and before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.scopes import (
    assignments,
    attribute,
    covers,
    inside_function,
    own_statements,
    parameters,
    scopes_around,
)
from graphdebug.model.event import Site
from graphdebug.model.run import Run
from graphdebug.model.syntax import tree_of_text

__all__ = ["SourceText"]


class SourceText:
    """The source files of a run, parsed when first asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trees: dict[str, ast.Module | None] = {}

    def line(self, site: Site | None) -> str:
        """Return the text of the line at `site` without its newline; empty if the log lacks the file."""
        lines = self._run.source_lines(site.file) if site is not None else ()
        return lines[site.line - 1] if site is not None and 0 < site.line <= len(lines) else ""

    def excerpt(self, site: Site | None) -> list[str]:
        """Return the line with its number, and a line that marks the sub-expression, where known."""
        text = self.line(site)
        if site is None or not text.strip():
            return []
        indent = len(text) - len(text.lstrip())
        head = f"  {site.line:>4} |  "
        shown = [head + text.strip()[:110]]
        end = site.end_column if site.end_line in (0, site.line) else len(text)
        start, end = _characters(text, site.column), _characters(text, min(end, len(text.encode())))
        if indent <= start < end and (start > indent or end < len(text.rstrip())) and end - indent <= 110:
            shown.append(" " * (len(head) + start - indent) + "~" * (end - start))
        return shown

    def assignment(self, name: str, site: Site) -> Site | None:
        """Return the last line at or before `site`, in its function or else its module, that gives `name`
        a value.
        """
        tree = self.tree(site.file)
        if tree is not None and name.startswith("self."):
            return attribute(tree, site.file, name.removeprefix("self."))
        if tree is None or not name.isidentifier():
            return None
        for scope in scopes_around(tree, site.line):
            before = site.line if scope is not tree or not inside_function(tree, site.line) else 10**9
            lines = [node.lineno for node in assignments(scope, name) if node.lineno < before]
            if lines:
                return Site(file=site.file, line=max(lines))
            if not isinstance(scope, ast.Module) and name in parameters(scope):
                return None
        return None

    def assigned(self, name: str, site: Site) -> tuple[Site | None, ast.expr | None]:
        """Return the line that gives `name` its value, as `assignment` does, and that value if clear."""
        made = self.assignment(name, site)
        tree = self.tree(site.file) if made is not None else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Assign) and made is not None and node.lineno == made.line:
                for target in node.targets:
                    if isinstance(target, ast.Name | ast.Attribute) and ast.unparse(target) == name:
                        return made, node.value
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        for one, value in zip(target.elts, node.value.elts, strict=False):
                            if isinstance(one, ast.Name) and one.id == name:
                                return made, value
        return made, None

    def returned(self, call: ast.Call, site: Site) -> tuple[Site | None, ast.expr | None]:
        """Return what the function of this file that `call` calls gives back, and the line that made it."""
        tree = self.tree(site.file)
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        for node in ast.walk(tree) if tree is not None else ():
            given = node.body[-1] if isinstance(node, ast.FunctionDef) and node.name == name else None
            if isinstance(given, ast.Return) and given.value is not None:
                line = Site(file=site.file, line=given.lineno)
                named = given.value.id if isinstance(given.value, ast.Name) else ""
                return self.assigned(named, line) if named else (line, given.value)
        return None, None

    def function(self, call: ast.Call, site: Site) -> tuple[Site, ast.FunctionDef] | None:
        """Return the only function of the program that `call`, at `site`, can mean, and where it stands.

        A method is found by its name alone; a call of an object of a library's has none here.
        """
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        method = isinstance(call.func, ast.Attribute)
        found: list[tuple[Site, ast.FunctionDef]] = []
        for file in dict.fromkeys((site.file, *self._run.source_files)):
            tree = self.tree(file)
            owned = {
                one for node in (ast.walk(tree) if tree is not None else ()) if isinstance(node, ast.ClassDef)
                for one in node.body
            }  # fmt: skip
            found += [
                (Site(file, node.lineno), node) for node in (ast.walk(tree) if tree is not None else ())
                if isinstance(node, ast.FunctionDef) and node.name == name and (node in owned) == method
            ]  # fmt: skip
            if len(found) == 1 and not method:
                break  # the file's own
        return found[0] if len(found) == 1 else None

    def constructor(self, call: ast.Call, site: Site) -> tuple[Site, ast.FunctionDef] | None:
        """Return the ``__init__`` of the program's class that `call`, at `site`, makes an object of."""
        return self.method(call, site, "__init__")

    def method(self, call: ast.Call, site: Site, method: str) -> tuple[Site, ast.FunctionDef] | None:
        """Return a method of the program's class that `call`, at `site`, makes an object of."""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for file in dict.fromkeys((site.file, *self._run.source_files)):
            tree = self.tree(file)
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.ClassDef) and node.name == name:
                    for one in node.body:
                        if isinstance(one, ast.FunctionDef) and one.name == method:
                            return Site(file, one.lineno), one
        return None

    def target(self, site: Site, position: int = 0, count: int = 1) -> str:
        """Return the name that the statement on the line at `site` gives a value, if there is one.

        Args:
            site: the line.
            position: which of the values that were made there.
            count: how many were made there.

        """
        tree = self.tree(site.file)
        found = [
            node for node in (ast.walk(tree) if tree is not None else ())
            if isinstance(node, ast.Assign) and covers(node, site.line) and len(node.targets) == 1
        ]  # fmt: skip
        if len(found) == count > 1:  # several statements on one line, each of which made one
            found, count = [sorted(found, key=lambda node: node.col_offset)[position]], 1
        for node in found:
            target = node.targets[0]
            if count > 1:
                return _target_of_several(target, node.value, position, count)
            return ast.unparse(target) if isinstance(target, ast.Name | ast.Attribute) else ""
        return ""

    def arguments(self, site: Site) -> Sequence[str]:
        """Return the names that are used as arguments of calls on the line at `site`."""
        tree = self.tree(site.file)
        if tree is None:
            return ()
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and covers(n, site.line)]
        values = [value for call in calls for value in _argument_values(call)]
        return list(dict.fromkeys(value.id for value in values if isinstance(value, ast.Name)))

    def block(self, site: Site) -> Site | None:
        """Return the line of the innermost ``with`` of its function around the line at `site`, if any."""
        tree = self.tree(site.file)
        scope = scopes_around(tree, site.line)[0] if tree is not None else None
        found = [
            node.lineno
            for node in (own_statements(scope) if scope is not None else ())
            if isinstance(node, ast.With) and node.lineno < site.line <= (node.end_lineno or node.lineno)
        ]
        return Site(file=site.file, line=max(found)) if found else None

    def names(self, site: Site) -> Sequence[str]:
        """Return the names that are read on the line at `site`."""
        tree = self.tree(site.file)
        found = [
            node.id
            for node in (ast.walk(tree) if tree is not None else ())
            if isinstance(node, ast.Name) and node.lineno == site.line and isinstance(node.ctx, ast.Load)
        ]
        return list(dict.fromkeys(found))

    def keyword_values(self, site: Site, word: str) -> ast.expr | None:
        """Return the expression given for the keyword `word` in a call on the line at `site`, or None."""
        tree = self.tree(site.file)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Call) and covers(node, site.line):
                for keyword in node.keywords:
                    if keyword.arg == word:
                        return keyword.value
        return None

    def receiver(self, site: Site, method: str) -> Site | None:
        """Return the line that made what the line at `site` calls `method` of."""
        tree = self.tree(site.file)
        for node in ast.walk(tree) if tree is not None else ():
            called = node.func if isinstance(node, ast.Call) and covers(node, site.line) else None
            if isinstance(called, ast.Attribute) and called.attr == method:
                return self.assignment(ast.unparse(called.value), site)
        return None

    def function_line(self, site: Site) -> int | None:
        """Return the first line of the function around `site`; None at the top of a file."""
        tree = self.tree(site.file)
        scope = scopes_around(tree, site.line)[0] if tree is not None else None
        return scope.lineno if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef) else None

    def decorator(self, function: str, word: str, site: Site) -> Site | None:
        """Return the line of the decorator of `function`, a function of the file, that says `word`."""
        tree = self.tree(site.file)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.FunctionDef) and node.name == function:
                for one in node.decorator_list:
                    if word in ast.unparse(one):
                        return Site(file=site.file, line=one.lineno)
        return None

    def method_call(self, name: str, method: str, site: Site) -> Site | None:
        """Return the last call of ``name.method(...)`` above `site`, or where its first argument was made."""
        last = self._last_call(name, method, site)
        if last is None:
            return None
        given = (
            last.args[0] if last.args else next((k.value for k in last.keywords if k.arg == "optimizer"), None)
        )
        here = Site(file=site.file, line=last.lineno)
        return (self.assignment(given.id, here) if isinstance(given, ast.Name) else None) or here

    def method_line(self, name: str, method: str, site: Site) -> Site | None:
        """Return the line of the last call of ``name.method(...)`` above `site`."""
        last = self._last_call(name, method, site)
        return Site(file=site.file, line=last.lineno) if last is not None else None

    def calls(self, method: str, site: Site) -> list[Site]:
        """Return the lines that call ``something.method()`` in the function or module that `site` is in."""
        tree = self.tree(site.file)
        scope = scopes_around(tree, site.line)[0] if tree is not None else None
        return [
            Site(file=site.file, line=node.lineno)
            for node in (own_statements(scope) if scope is not None else ())
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
        ]

    def _last_call(self, name: str, method: str, site: Site) -> ast.Call | None:
        tree = self.tree(site.file)
        found = [
            node
            for node in (ast.walk(tree) if tree is not None else ())
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
            and ast.unparse(node.func.value) == name and node.lineno <= site.line
        ]  # fmt: skip
        return max(found, key=lambda node: node.lineno, default=None)

    def called(self, site: Site | None) -> str:
        """Return what the only call on the line at `site` that is no argument of another calls, as written."""
        tree = self.tree(site.file) if site is not None else None
        for node in ast.walk(tree) if tree is not None else ():  # outer ones come first
            if isinstance(node, ast.Call) and site is not None and covers(node, site.line):
                return ast.unparse(node.func)
        return ""

    def within(self, site: Site, words: Sequence[str]) -> Site | None:
        """Return the line of the innermost ``with`` around `site`, or decorator of its function, that says one
        of `words`.
        """
        tree = self.tree(site.file)
        found: list[ast.expr] = []
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.With | ast.AsyncWith) and covers(node, site.line):
                found += [one.context_expr for one in node.items]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and covers(node, site.line):
                found += node.decorator_list
        said = [one for one in found if any(word in ast.unparse(one) for word in words)]
        return Site(file=site.file, line=max(one.lineno for one in said)) if said else None

    def tree(self, file: str) -> ast.Module | None:
        """Return the syntax tree of a file, or None where the log lacks it."""
        if file not in self._trees:
            self._trees[file] = tree_of_text("\n".join(self._run.source_lines(file)))
        return self._trees[file]


def _target_of_several(target: ast.expr, value: ast.expr, position: int, count: int) -> str:
    """Return what an assignment calls one of the values that its line made; nothing where it can't be told."""
    if isinstance(target, ast.Tuple | ast.List):
        starred = any(isinstance(one, ast.Starred) for one in target.elts)
        return ast.unparse(target.elts[position]) if len(target.elts) == count and not starred else ""
    listed = isinstance(value, ast.List | ast.Tuple) and len(value.elts) == count
    plain = isinstance(value, ast.ListComp) and len(value.generators) == 1
    indexed = isinstance(target, ast.Name | ast.Attribute) and (listed or plain)
    return f"{ast.unparse(target)}[{position}]" if indexed else ""


def _characters(text: str, column: int) -> int:
    """Columns count UTF-8 bytes; return the same place in characters, -1 for unknown."""
    return len(text.encode()[:column].decode(errors="ignore")) if column >= 0 else -1


def _argument_values(call: ast.Call) -> Iterator[ast.expr]:
    for value in (*call.args, *(keyword.value for keyword in call.keywords)):
        if isinstance(value, ast.Dict):
            yield from value.values
        else:
            yield value
