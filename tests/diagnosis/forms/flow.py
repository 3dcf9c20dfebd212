"""Forms of structure: where the statements of a program stand, and how values go between them."""

from __future__ import annotations

import ast

from .syntax import (
    calls,
    first_statement,
    imported,
    is_marked,
    loads,
    mark,
    rename,
    statements,
    stores,
    template,
)  # fmt: skip

__all__ = ["FORMS"]

_DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def main(tree: ast.Module) -> bool:
    """The script in a function, its classes and functions outside."""
    place = first_statement(tree)
    outside = [one for one in tree.body[place:] if _defines(one)]
    inside = [one for one in tree.body[place:] if not _defines(one)]
    if any(isinstance(one, ast.If) and "__name__" in ast.unparse(one.test) for one in inside) or not inside:
        return False
    needed = stores(inside) & loads(outside)
    kept = [
        one for one in inside if isinstance(one, ast.Assign) and stores([one]) & needed and not any(calls(one))
    ]
    inside = [one for one in inside if one not in kept]
    shared = sorted(stores(inside) & loads(outside))
    first = [ast.Global(shared)] if shared else []
    tree.body[place:] = [
        *kept,
        *outside,
        *template("def main():\n    BODY\nif __name__ == '__main__':\n    main()", BODY=[*first, *inside]),
    ]
    return True


def _defines(one: ast.stmt) -> bool:
    return isinstance(one, _DEFINITIONS) or (
        isinstance(one, ast.Assign) and isinstance(one.value, (ast.Lambda, ast.Attribute))
    )


def nested(tree: ast.Module) -> bool:
    """The whole program in a function, its classes and functions within."""
    place = first_statement(tree)
    if any(isinstance(one, ast.Global) for one in ast.walk(tree)):
        return False
    tree.body[place:] = template("def run():\n    BODY\nrun()", BODY=tree.body[place:])
    return True


def _training_loop(tree: ast.Module) -> int | None:
    words = ("backward", "apply_gradients", "fit", "run", "step")
    for place in range(len(tree.body) - 1, -1, -1):
        one = tree.body[place]
        if isinstance(one, (ast.For, ast.While)) and any(
            getattr(each.func, "attr", "") in words for each in calls(one)
        ):
            return place
    return None


def _escapes(nodes: list[ast.stmt]) -> bool:
    kinds = (ast.Return, ast.Yield, ast.Global, ast.Nonlocal, ast.Await)
    return any(isinstance(one, kinds) for node in nodes for one in ast.walk(node))


def trainer(tree: ast.Module) -> bool:
    """The training loop as a method of a class that holds model, optimizer and data."""
    place = _training_loop(tree)
    if place is None or _escapes([tree.body[place]]):
        return False
    loop, before, after = tree.body[place], tree.body[:place], tree.body[place + 1 :]
    bound = stores([one for one in before if not isinstance(one, _DEFINITIONS)])
    given = sorted(bound & (loads([loop]) | stores([loop])))
    left = (stores([loop]) & loads(after)) | set(given)
    made = "\n        ".join(f"self.{name} = {name}" for name in given) or "pass"
    names: dict[str, ast.expr] = {
        name: ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load()) for name in left
    }
    (body,) = rename([loop], names)
    new = template(
        f"class Trainer:\n    def __init__(self, {', '.join(given)}):\n        {made}\n"
        "    def train(self):\n        BODY\n"
        f"trainer = Trainer({', '.join(given)})\ntrainer.train()",
        BODY=[body],  # type: ignore[list-item]
    )
    outside: dict[str, ast.expr] = {
        name: ast.Attribute(ast.Name("trainer", ast.Load()), name, ast.Load()) for name in left
    }
    tree.body[place:] = [*new, *rename(after, outside)]  # type: ignore[list-item]
    return True


def stepped(tree: ast.Module) -> bool:
    """One step of the training loop as a function that is given all it needs."""
    place = _training_loop(tree)
    if place is None:
        return False
    outer = loop = tree.body[place]
    while len(loop.body) == 1 and isinstance(loop.body[0], (ast.For, ast.While)):  # type: ignore[attr-defined]
        loop = loop.body[0]  # type: ignore[attr-defined]
    body = loop.body  # type: ignore[attr-defined]
    jumps = any(isinstance(one, (ast.Break, ast.Continue)) for each in body for one in ast.walk(each))
    if jumps or _escapes(body):
        return False
    before = stores([one for one in tree.body[:place] if not isinstance(one, _DEFINITIONS)]) | _targets(
        outer, loop
    )
    given = sorted((loads(body) | stores(body)) & before)
    back = sorted(stores(body) & (loads(tree.body[place + 1 :]) | before))
    ending = f"    return {', '.join(back)}\n" if back else ""
    (function,) = template(f"def train_step({', '.join(given)}):\n    BODY\n{ending}", BODY=body)
    result = f"{', '.join(back)} = " if back else ""
    loop.body = template(f"{result}train_step({', '.join(given)})")  # type: ignore[attr-defined]
    tree.body.insert(place, function)
    return True


def _targets(outer: ast.stmt, inner: ast.stmt) -> set[str]:
    """Return what the loops from `outer` to `inner`, which are each other's only statement, bind."""
    every = [
        one for one in ast.walk(outer) if isinstance(one, ast.For) and (one is inner or inner in ast.walk(one))
    ]
    return stores([one.target for one in every])


def methods(tree: ast.Module) -> bool:
    """The second half of a model's forward as a method of its own."""
    done = False
    for one in [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]:
        for method in list(one.body):
            if not isinstance(method, ast.FunctionDef) or method.name not in ("forward", "call", "__call__"):
                continue
            half = len(method.body) // 2
            first, second = method.body[:half], method.body[half:]
            if (
                half == 0
                or method.decorator_list
                or any(isinstance(each, ast.Return) for part in first for each in ast.walk(part))
            ):
                continue
            names = [each.arg for each in method.args.args[1:]]
            live = sorted((stores(first) | set(names)) & loads(second))
            (head,) = template(f"def head_(self, {', '.join(live)}):\n    BODY", BODY=second)
            method.body = [*first, *template(f"return self.head_({', '.join(live)})")]
            one.body.append(head)
            done = True
    return done


def split(tree: ast.Module) -> bool:
    """Nested calls as temporaries."""
    done = False
    for held in list(statements(tree)):
        for one in list(held):
            if not isinstance(one, (ast.Assign, ast.Expr, ast.Return, ast.AugAssign)) or not isinstance(
                one.value, (ast.Call, ast.BinOp)
            ):
                continue
            taken = _Take(len(held))
            for name, value in list(ast.iter_fields(one.value)):
                if isinstance(value, list):
                    setattr(one.value, name, [taken.visit(each) for each in value])
                elif isinstance(value, ast.expr):
                    setattr(one.value, name, taken.visit(value))
            if is_marked(one):
                mark(*taken.new)
            place = held.index(one)
            held[place:place] = taken.new
            done = done or bool(taken.new)
    return done


class _Take(ast.NodeTransformer):
    """Takes calls and their arguments out of an expression, the innermost first."""

    def __init__(self, start: int) -> None:
        self.new: list[ast.stmt] = []
        self._start = start

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("super", "len", "range"):
            return node
        name = f"part_{self._start}_{len(self.new)}"
        (one,) = template(f"{name} = VALUE", VALUE=node)
        self.new.append(one)
        return ast.Name(name, ast.Load())

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_Lambda = visit_IfExp = visit_BoolOp = visit_ListComp = visit_GeneratorExp = visit_DictComp = _leave
    visit_JoinedStr = visit_SetComp = _leave


def joined(tree: ast.Module) -> bool:
    """Temporaries as nested calls: ``x = f(x)`` and ``x = g(x)`` in one statement."""
    done = False
    for held in list(statements(tree)):
        place = 0
        while place + 1 < len(held):
            one, then = held[place], held[place + 1]
            name = (
                one.targets[0].id
                if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
                else None
            )
            again = isinstance(then, ast.Return) or (
                isinstance(then, ast.Assign) and ast.unparse(then.targets[0]) == name
            )
            read = [
                each
                for each in ast.walk(then)
                if isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load)
            ]
            if name and again and len(read) == 1 and any(calls(one)) and not _lazy(then):
                rename([then.value], {})  # type: ignore[attr-defined]
                (then.value,) = rename([then.value], {name: one.value})  # type: ignore[attr-defined]
                if is_marked(one):
                    mark(then)
                del held[place]
                done = True
            else:
                place += 1
    return done


def _lazy(statement: ast.stmt) -> bool:
    kinds = (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.IfExp)
    return any(isinstance(one, kinds) for one in ast.walk(statement))


def tupled(tree: ast.Module) -> bool:
    """Two assignments as one of a tuple."""
    done = False
    for held in list(statements(tree)):
        place = 0
        while place + 1 < len(held):
            one, then = held[place : place + 2]
            simple = all(
                isinstance(each, ast.Assign) and isinstance(each.targets[0], (ast.Name, ast.Attribute))
                for each in (one, then)
            )
            if (
                not simple
                or stores([one]) & (loads([then]) | stores([then]))
                or "self" in ast.unparse(then.value)
            ):  # type: ignore[attr-defined]
                place += 1
                continue
            one.targets = [ast.Tuple([one.targets[0], then.targets[0]], ast.Store())]  # type: ignore[attr-defined]
            one.value = ast.Tuple([one.value, then.value], ast.Load())  # type: ignore[attr-defined]
            if is_marked(then):
                mark(one)
            del held[place + 1]
            place += 1
            done = True
    return done


def decorated(tree: ast.Module) -> bool:
    """Functions and methods behind a decorator of the program."""
    done = False
    for one in ast.walk(tree):
        if isinstance(one, ast.FunctionDef) and not one.decorator_list and one.name != "__init__":
            one.decorator_list = [ast.Name("logged", ast.Load())]
            done = True
    source = (
        "def logged(function):\n    @functools.wraps(function)\n    def inner(*args, **kwargs):\n"
        "        result = function(*args, **kwargs)\n        return result\n    return inner"
    )
    place = first_statement(tree)
    tree.body[place:place] = template(f"import functools\n{source}")
    return done


def dunder(tree: ast.Module) -> bool:
    """A model's forward is its ``__call__``."""
    if "torch" not in imported(tree):
        return False
    found = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "forward"]
    for one in found:
        one.name = "__call__"
    return bool(found)


FORMS = (main, nested, trainer, stepped, methods, split, joined, tupled, decorated, dunder)
