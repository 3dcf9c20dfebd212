"""Forms of calls: how a layer is made and an operation called."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from .syntax import (
    calls,
    first_statement,
    imported,
    is_marked,
    mark,
    rename,
    root,
    spread,
    statements,
    stores,
    take_marks,
    template,
)  # fmt: skip

__all__ = ["FORMS"]

_SIGNATURES = {
    "Linear": ("in_features", "out_features"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "Conv1d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "MaxPool2d": ("kernel_size", "stride", "padding"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LSTM": ("input_size", "hidden_size", "num_layers"),
    "GRU": ("input_size", "hidden_size", "num_layers"),
    "RNN": ("input_size", "hidden_size", "num_layers"),
    "Dropout": ("p",),
    "softmax": ("input", "dim"),
    "Dense": ("units", "activation"),
    "Conv2D": ("filters", "kernel_size", "strides", "padding"),
}
"""Names of the first arguments; those of the program's own functions are read off it."""
_TENSOR_METHODS = ("view", "reshape", "permute", "transpose")


def _top(tree: ast.Module, new: list[ast.stmt]) -> None:
    place = first_statement(tree)
    tree.body[place:place] = new


def _library_calls(
    tree: ast.Module, chosen: Callable[[ast.Call, str], bool]
) -> Iterator[tuple[ast.stmt, ast.Call]]:
    """Return calls of what is imported, each with its statement; not decorators, bases and context managers."""
    names = imported(tree)
    for held in list(statements(tree)):
        for statement in held:
            if isinstance(statement, (ast.With, ast.ClassDef, ast.FunctionDef)):
                continue
            for part in ast.iter_child_nodes(statement):
                if isinstance(part, ast.stmt):
                    continue
                for call in list(calls(part)):
                    plain = not any(isinstance(one, ast.Starred) for one in call.args)
                    known = isinstance(call.func, ast.Attribute) and root(call.func) in names
                    if plain and known and chosen(call, call.func.attr):  # type: ignore[attr-defined]
                        yield statement, call


def _wrapped(tree: ast.Module, chosen: Callable[[ast.Call, str], bool], *, short: bool) -> bool:
    made: dict[tuple[str, int], tuple[str, ast.stmt]] = {}
    prefix = "short" if short else "layer" if chosen is not _has_tensor else "call"
    for statement, call in _library_calls(tree, chosen):
        callee, count = ast.unparse(call.func), len(call.args)
        words = [word.arg for word in call.keywords]
        if None in words or callee.startswith("torch.utils"):
            continue
        key = f"{callee} {' '.join(map(str, words))}", count
        if key not in made:
            name = f"{prefix}_{len(made)}_{callee.rpartition('.')[2].lower()}"
            given = [f"a{place}" for place in range(count)]
            passed = ", ".join([*given, *(f"{word}={word}" for word in words)])
            taken = ", ".join([*given, *map(str, words)])
            source = (
                f"{name} = lambda {taken}: {callee}({passed})"
                if short
                else f"def {name}({taken}):\n    return {callee}({passed})"
            )
            made[key] = name, template(source)[0]
        name, helper = made[key]
        numbered = any(
            isinstance(one, ast.Constant) for part in (*call.args, *call.keywords) for one in ast.walk(part)
        )
        if is_marked(statement) and not numbered and callee.rpartition(".")[2].islower():
            mark(helper if short else helper.body[0])  # type: ignore[attr-defined]
        call.func = ast.Name(name, ast.Load())
    _top(tree, [helper for _, helper in made.values()])
    return bool(made)


def factories(tree: ast.Module) -> bool:
    """Layers, losses and optimizers made by functions of the program."""
    return _wrapped(tree, lambda _, name: name[:1].isupper(), short=False)


def _has_tensor(call: ast.Call, name: str) -> bool:
    return (
        not name[:1].isupper()
        and bool(call.args)
        and not isinstance(call.args[0], (ast.Constant, ast.List, ast.Tuple))
    )


def helpers(tree: ast.Module) -> bool:
    """Operations called by functions of the program."""
    return _wrapped(tree, _has_tensor, short=False)


def lambdas(tree: ast.Module) -> bool:
    """Operations called by lambdas."""
    return _wrapped(tree, _has_tensor, short=True)


def aliases(tree: ast.Module) -> bool:
    """What is imported has short names of its own."""
    made: dict[str, str] = {}
    bound = stores(tree.body) | imported(tree)
    for _, call in _library_calls(tree, lambda *_: True):
        callee = ast.unparse(call.func)
        name = callee.rpartition(".")[2]
        if made.setdefault(name, callee) == callee and name not in bound:
            call.func = ast.Name(name, ast.Load())
    done = {name: callee for name, callee in made.items() if name not in bound}
    _top(tree, template("\n".join(f"{name} = {callee}" for name, callee in done.items())))
    return bool(done)


def other_imports(tree: ast.Module) -> bool:
    """The libraries imported under other names."""
    names: dict[str, ast.expr] = {}
    for one in tree.body:
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            for each in one.names:
                old = each.asname or each.name
                if "." not in old and getattr(one, "module", "") != "__future__" and each.name != "*":
                    each.asname = f"{old}_lib" if isinstance(one, ast.Import) else f"the_{old}"
                    names[old] = ast.Name(each.asname, ast.Load())
    rename(tree.body, names)
    return bool(names)


def _layer_statements(init: ast.FunctionDef, names: frozenset[str]) -> list[ast.Assign]:
    """Return the statements ``self.NAME = library.Layer(...)`` of `init`."""
    return [
        one
        for one in init.body
        if isinstance(one, ast.Assign)
        and isinstance(one.targets[0], ast.Attribute)
        and root(one.targets[0]) == "self"
        and isinstance(one.value, ast.Call)
        and isinstance(one.value.func, ast.Attribute)
        and one.value.func.attr[:1].isupper()
        and root(one.value.func) in names
    ]


def listed(tree: ast.Module) -> bool:
    """The layers of a class in one list."""
    names, done = imported(tree), False
    for one in [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]:
        init = next(
            (each for each in one.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None
        )
        layers = _layer_statements(init, names) if init else []
        if init is None or len(layers) < 2:
            continue
        place = {each.targets[0].attr: at for at, each in enumerate(layers)}  # type: ignore[attr-defined]
        values = [each.value for each in layers]
        wrap = "nn.ModuleList(VALUES)" if "nn" in names else "VALUES"
        (new,) = template(f"self.layers_ = {wrap}", VALUES=ast.List(values, ast.Load()))
        spread(*values)
        faulty = [each.value for each in layers if is_marked(each)]
        if faulty:
            mark(new, *faulty)
        init.body[init.body.index(layers[-1])] = new
        init.body = [each for each in init.body if each not in layers]
        _read_from_list(one, place)
        done = True
    return done


def _read_from_list(one: ast.ClassDef, place: dict[str, int]) -> None:
    class Read(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in place:
                return ast.Subscript(
                    ast.Attribute(node.value, "layers_", ast.Load()), ast.Constant(place[node.attr]), node.ctx
                )
            return node

    Read().visit(one)


def _sequentials(
    tree: ast.Module,
) -> Iterator[tuple[list[ast.stmt], ast.Assign, ast.Call, list[ast.expr], str]]:
    """Return the statements ``NAME = Sequential(a, b, ...)``, their layers and the method that adds one."""
    for held in list(statements(tree)):
        for one in list(held):
            if not (isinstance(one, ast.Assign) and isinstance(one.value, ast.Call)):
                continue
            call = one.value
            if ast.unparse(call.func).rpartition(".")[2] != "Sequential" or not call.args:
                continue
            if isinstance(call.args[0], ast.List):
                yield held, one, call, call.args[0].elts, "add"
            elif not any(isinstance(each, (ast.Starred, ast.Name)) for each in call.args):
                yield held, one, call, call.args, "append"


def added_in_loop(tree: ast.Module) -> bool:
    """The layers of a Sequential added in a loop over a list."""
    done = False
    for held, one, call, layers, add in _sequentials(tree):
        target = ast.unparse(one.targets[0])
        made, loop = template(
            f"layers_ = VALUES\nfor layer_ in layers_:\n    {target}.{add}(layer_)",
            VALUES=ast.List(layers, ast.Load()),
        )
        spread(*layers)
        take_marks(one, made)
        call.args = []
        place = held.index(one)
        one.fault = False  # type: ignore[attr-defined]
        held[place : place + 1] = [made, one, loop]
        done = True
    return done


def added(tree: ast.Module) -> bool:
    """The layers of a Sequential added one by one."""
    done = False
    for held, one, call, layers, add in _sequentials(tree):
        target = ast.unparse(one.targets[0])
        new = [template(f"{target}.{add}(LAYER)", LAYER=layer)[0] for layer in layers]
        take_marks(one, *new)
        call.args = []
        place = held.index(one)
        one.fault = False  # type: ignore[attr-defined]
        held[place : place + 1] = [one, *new]
        done = True
    return done


def _parameters(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return the names of the arguments of known and own functions and classes."""
    found = dict(_SIGNATURES)
    for one in tree.body:
        method = next(
            (each for each in getattr(one, "body", ()) if getattr(each, "name", "") == "__init__"), None
        )
        function = method if isinstance(one, ast.ClassDef) else one
        if isinstance(function, ast.FunctionDef) and not function.args.vararg and not function.args.posonlyargs:
            names = tuple(each.arg for each in function.args.args)
            found[one.name] = names[1:] if isinstance(one, ast.ClassDef) else names  # type: ignore[attr-defined]
    return found


def _callee(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def keywords(tree: ast.Module) -> bool:
    """Arguments by keyword that were given by position."""
    done, known = False, _parameters(tree)
    for call in list(calls(tree)):
        names = known.get(_callee(call))
        if (
            names is None
            or not 0 < len(call.args) <= len(names)
            or any(isinstance(one, ast.Starred) for one in call.args)
        ):
            continue
        call.keywords = [
            ast.keyword(name, value) for name, value in zip(names, call.args, strict=False)
        ] + call.keywords
        call.args, done = [], True
    return done


def positional(tree: ast.Module) -> bool:
    """Arguments by position that were given by keyword."""
    done, known = False, _parameters(tree)
    for call in list(calls(tree)):
        names = known.get(_callee(call), ())
        while len(call.args) < len(names) and call.keywords and call.keywords[0].arg == names[len(call.args)]:
            call.args.append(call.keywords.pop(0).value)
            done = True
    return done


FORMS = (
    factories,
    helpers,
    lambdas,
    aliases,
    other_imports,
    listed,
    added_in_loop,
    added,
    keywords,
    positional,
)
