"""Forms of numbers: where a literal of a program may stand instead."""

from __future__ import annotations

import ast
from collections.abc import Callable

from .syntax import (
    calls,
    constant,
    first_statement,
    is_number,
    is_suspect,
    mark,
    numbers,
    spread,
    statements,
    template,
)  # fmt: skip

__all__ = ["FORMS"]

_Hoisted = list[tuple[str, ast.Constant, bool]]
"""Names, the literals they stand for, and whether each may be what is wrong."""


def _own_parts(statement: ast.stmt) -> list[ast.AST]:
    """Return the expressions of `statement` itself, not of statements within it."""
    return [one for one in ast.iter_child_nodes(statement) if not isinstance(one, (ast.stmt, ast.arguments))]


class _Hoist(ast.NodeTransformer):
    """Takes numbers out of the arguments of calls."""

    def __init__(self, read: Callable[[str], ast.expr], taken: set[str]) -> None:
        self.found: _Hoisted = []
        self._read, self._taken = read, taken
        self._statement: ast.stmt | None = None
        self._callee: list[str] = []

    def over(self, held: list[ast.stmt]) -> None:
        for statement in held:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                continue
            self._statement = statement
            for part in _own_parts(statement):
                self.visit(part)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.func = self.visit(node.func)
        self._callee.append(_last(node.func))
        node.args = [self.visit(one) for one in node.args]
        for word in node.keywords:
            word.value = self.visit(word.value)
        self._callee.pop()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not self._callee or not _is_size(node):
            return node
        assert self._statement is not None
        name = stem = f"{self._callee[-1]}_size".lower() if type(node.value) is int else "rate"
        number = 2
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        self.found.append((name, node, is_suspect(self._statement, node.value)))
        return self._read(name)


def _last(callee: ast.expr) -> str:
    return callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "the")


def _is_size(node: ast.AST) -> bool:
    return is_number(node) and (node.value >= 3 or (type(node.value) is float and node.value not in (0.0, 1.0)))  # type: ignore[attr-defined]


def _all_names(tree: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)} | {
        one.arg for one in ast.walk(tree) if isinstance(one, (ast.arg, ast.keyword)) and one.arg
    }


def _hoisted(tree: ast.Module, read: Callable[[str], ast.expr]) -> _Hoisted:
    hoist = _Hoist(read, _all_names(tree))
    for held in list(statements(tree)):
        hoist.over(held)
    return hoist.found


def _put(tree: ast.Module, *new: ast.stmt) -> None:
    place = first_statement(tree)
    tree.body[place:place] = new


def constants(tree: ast.Module) -> bool:
    """Numbers as constants at the top of the module."""
    found = _hoisted(tree, lambda name: ast.Name(name.upper(), ast.Load()))
    for name, value, suspect in found:
        (one,) = template(f"{name.upper()} = VALUE", VALUE=value)
        if suspect:
            mark(one)
        _put(tree, one)
    return bool(found)


def _in_call(tree: ast.Module, source: str, found: _Hoisted) -> None:
    (one,) = template(source)
    call = next(calls(one))
    call.keywords = [ast.keyword(name, value) for name, value, _ in found]
    _spread(one, call.keywords, found)
    _put(tree, one)


def _spread(statement: ast.stmt, parts: list, found: _Hoisted) -> None:
    spread(*parts)
    suspects = [part for part, (_, _, suspect) in zip(parts, found, strict=True) if suspect]
    if suspects:
        mark(statement, *suspects)


def config(tree: ast.Module) -> bool:
    """Numbers in a dict of settings."""
    found = _hoisted(
        tree, lambda name: ast.Subscript(ast.Name("config", ast.Load()), constant(name), ast.Load())
    )
    keys = [constant(name) for name, _, _ in found]
    (one,) = template("config = VALUE", VALUE=ast.Dict(keys, [value for _, value, _ in found]))
    spread(*keys)
    _spread(one, [value for _, value, _ in found], found)
    for _, value, _ in found:
        value.own_line = False  # type: ignore[attr-defined]
    _put(tree, one)
    return bool(found)


def namespace(tree: ast.Module) -> bool:
    """Numbers in a namespace, as argparse gives them."""
    found = _hoisted(tree, lambda name: ast.Attribute(ast.Name("args", ast.Load()), name, ast.Load()))
    _in_call(tree, "args = SimpleNamespace()", found)
    _put(tree, *template("from types import SimpleNamespace"))
    return bool(found)


def settings(tree: ast.Module) -> bool:
    """Numbers as defaults of a dataclass."""
    found = _hoisted(tree, lambda name: ast.Attribute(ast.Name("cfg", ast.Load()), name, ast.Load()))
    if not found:
        return False
    imports, one, made = template(
        "from dataclasses import dataclass\n@dataclass\nclass Config:\n    pass\ncfg = Config()"
    )
    assert isinstance(one, ast.ClassDef)
    one.body = []
    for name, value, suspect in found:
        (field,) = template(f"{name}: {type(value.value).__name__} = VALUE", VALUE=value)
        if suspect:
            mark(field)
        one.body.append(field)
    _put(tree, imports, one, made)
    return True


def defaults(tree: ast.Module) -> bool:
    """Numbers of a function as defaults of its arguments."""
    done = False
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.decorator_list:
            continue
        hoist = _Hoist(lambda name: ast.Name(name, ast.Load()), _all_names(tree))
        for held in list(statements(function)):
            hoist.over(held)
        for name, value, suspect in hoist.found:
            function.args.kwonlyargs.append(ast.arg(name))
            function.args.kw_defaults.append(value)
            if suspect:
                mark(function)
            done = True
    return done


def arguments(tree: ast.Module) -> bool:
    """Numbers of a class's ``__init__`` given by its only caller."""
    done = False
    for one in [one for one in tree.body if isinstance(one, ast.ClassDef)]:
        made = [
            (statement, call)
            for held in statements(tree)
            for statement in held
            for part in _own_parts(statement)
            for call in calls(part)
            if isinstance(call.func, ast.Name) and call.func.id == one.name
        ]
        init = next(
            (each for each in one.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None
        )
        if init is None or len(made) != 1 or isinstance(made[0][0], (ast.FunctionDef, ast.ClassDef)):
            continue
        hoist = _Hoist(lambda name: ast.Name(name, ast.Load()), _all_names(tree))
        for held in list(statements(init)):
            hoist.over(held)
        for name, value, suspect in hoist.found:
            init.args.kwonlyargs.append(ast.arg(name))
            init.args.kw_defaults.append(None)
            made[0][1].keywords.append(ast.keyword(name, value))
            if suspect:
                mark(made[0][0])
            done = True
    return done


def arithmetic(tree: ast.Module) -> bool:
    """Numbers as products, halves and sums."""

    class Compute(ast.NodeTransformer):
        def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
            return node

        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            for part in (node, *node.keywords):
                for name, value in ast.iter_fields(part):
                    if isinstance(value, list):
                        setattr(part, name, [_computed(one) for one in value])
                    elif isinstance(value, ast.expr):
                        setattr(part, name, _computed(value))
            return node

    before = numbers(tree)
    Compute().visit(tree)
    return before != numbers(tree)


def _computed(node: ast.AST) -> ast.AST:
    value = getattr(node, "value", None)
    if not is_number(node) or type(value) is not int or value < 8:
        return node
    factor = next((one for one in range(int(value**0.5), 1, -1) if value % one == 0), None)
    if factor is None:
        return ast.BinOp(constant(value - 1), ast.Add(), constant(1))
    if value % 4 == 0 and factor == 2:
        return ast.BinOp(constant(value * 2), ast.FloorDiv(), constant(2))
    return ast.BinOp(constant(value // factor), ast.Mult(), constant(factor))


def unpacked(tree: ast.Module) -> bool:
    """Several numbers as arguments through a star: ``Linear(*sizes)``."""
    done = False
    for held in list(statements(tree)):
        for statement in list(held):
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) or hasattr(statement, "body"):
                continue
            for call in list(calls(statement)):
                if len(call.args) > 1 and all(is_number(one) for one in call.args):
                    name = f"{_last(call.func)}_sizes".lower()
                    (sizes,) = template(f"{name} = VALUE", VALUE=ast.List(call.args, ast.Load()))
                    if any(is_suspect(statement, one.value) for one in call.args):  # type: ignore[attr-defined]
                        mark(sizes)
                    call.args = [ast.Starred(ast.Name(name, ast.Load()), ast.Load())]
                    held.insert(held.index(statement), sizes)
                    done = True
                    break
    return done


FORMS = (constants, config, namespace, settings, defaults, arguments, arithmetic, unpacked)
