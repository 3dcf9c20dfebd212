"""Forms of data: how the arrays of a program come to the lines that use them."""

from __future__ import annotations

import ast

from .syntax import calls, first_statement, imported, is_marked, loads, mark, rename, root, stores, template

__all__ = ["FORMS"]


def _made(tree: ast.Module) -> dict[str, ast.Assign]:
    """Return the arrays: names bound once, at the top, by a call of a library's function."""
    names = imported(tree)
    every = [name for one in tree.body for name in sorted(stores([one]))]
    found: dict[str, ast.Assign] = {}
    for one in tree.body:
        if not isinstance(one, ast.Assign) or not isinstance(one.targets[0], ast.Name):
            continue
        name = one.targets[0].id
        made = any(
            isinstance(each.func, ast.Attribute) and root(each.func) in names and each.func.attr.islower()
            for each in calls(one)
        )
        if made and every.count(name) == 1 and not any(_is_model(each) for each in calls(one)):
            found[name] = one
    return found


def _is_model(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name[:1].isupper() or name in ("placeholder", "get_variable", "parameters")


def from_functions(tree: ast.Module) -> bool:
    """Each array made by a function."""
    found = _made(tree)
    for name, one in found.items():
        (function,) = template(f"def load_{name}():\n    return VALUE", VALUE=one.value)
        one.value = ast.Call(ast.Name(f"load_{name}", ast.Load()), [], [])
        if is_marked(one):
            mark(function.body[0])  # type: ignore[attr-defined]
        tree.body.insert(tree.body.index(one), function)
    return bool(found)


def _behind(tree: ast.Module, holder: str, *, item: bool) -> dict[str, ast.Assign]:
    """Let all that reads the arrays read them from `holder`."""
    found = _made(tree)
    names: dict[str, ast.expr] = {}
    for name in found:
        base = ast.Name(holder, ast.Load())
        names[name] = (
            ast.Subscript(base, ast.Constant(name), ast.Load())
            if item
            else ast.Attribute(base, name, ast.Load())
        )
    parameters = {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
    for name in parameters & set(names):
        del names[name], found[name]
    tree.body = rename(tree.body, names)  # type: ignore[assignment]
    return found


def in_dict(tree: ast.Module) -> bool:
    """The arrays in a dict."""
    found = _behind(tree, "data_", item=True)
    place = first_statement(tree)
    tree.body[place:place] = template("data_ = {}")
    return bool(found)


def in_attributes(tree: ast.Module) -> bool:
    """The arrays as attributes of an object."""
    found = _behind(tree, "data_", item=False)
    place = first_statement(tree)
    tree.body[place:place] = template("class Data:\n    pass\ndata_ = Data()")
    return bool(found)


def in_namedtuple(tree: ast.Module) -> bool:
    """The arrays in a namedtuple, read by what follows."""
    found = _made(tree)
    place = next(
        (at for at, one in enumerate(tree.body) if isinstance(one, (ast.For, ast.While, ast.With))), None
    )
    held = [name for name, one in found.items() if place is not None and tree.body.index(one) < place]
    if place is None or not held or not set(held) & loads(tree.body[place:]):
        return False
    names: dict[str, ast.expr] = {
        name: ast.Attribute(ast.Name("batch_", ast.Load()), name, ast.Load()) for name in held
    }
    after = rename(tree.body[place:], names)
    made = template(
        "from collections import namedtuple\n"
        f"Batch = namedtuple('Batch', {held!r})\nbatch_ = Batch({', '.join(held)})"
    )
    tree.body[place:] = [*made, *after]  # type: ignore[list-item]
    return True


def indexed(tree: ast.Module) -> bool:
    """A loop over batches takes them apart by index."""
    done = False
    for loop in [one for one in ast.walk(tree) if isinstance(one, ast.For)]:
        target = loop.target
        if (
            isinstance(target, ast.Tuple)
            and all(isinstance(one, ast.Name) for one in target.elts)
            and isinstance(loop.iter, ast.Name)
        ):
            apart = [f"{ast.unparse(one)} = item_[{at}]" for at, one in enumerate(target.elts)]
            loop.target = ast.Name("item_", ast.Store())
            loop.body[:0] = template("\n".join(apart))
            done = True
    return done


def in_list(tree: ast.Module) -> bool:
    """Batches gathered in a list first, then looped over with their number."""
    done = False
    for loop in [one for one in ast.walk(tree) if isinstance(one, ast.For)]:
        if (
            isinstance(loop.iter, ast.Name)
            and loop.iter.id not in ("range",)
            and isinstance(loop.target, (ast.Tuple, ast.Name))
        ):
            loop.target = ast.Tuple([ast.Name("number_", ast.Store()), loop.target], ast.Store())
            (wrapped,) = template("enumerate([one for one in SOURCE])", SOURCE=loop.iter)
            loop.iter = wrapped.value  # type: ignore[attr-defined]
            done = True
    return done


FORMS = (from_functions, in_dict, in_attributes, in_namedtuple, indexed, in_list)
