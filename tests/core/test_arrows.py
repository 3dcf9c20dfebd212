"""Arrows that must never exist between the parts of the house, read off the imports in the source."""

from __future__ import annotations

import ast
from pathlib import Path

import graphdebug

HOME = Path(graphdebug.__file__).parent
FRAMEWORKS = ("torch", "tensorflow", "keras", "numpy")

# part -> what it may not import; a part is a folder or file of src/graphdebug
FORBIDDEN = {
    "model": ["graphdebug", *FRAMEWORKS],  # but for itself and errors
    "log": ["graphdebug.backends", "graphdebug.diagnosis", "graphdebug.view", "graphdebug.export", *FRAMEWORKS],
    "backends": ["graphdebug.log", "graphdebug.diagnosis", "graphdebug.view", "graphdebug.export"],
    "diagnosis": ["graphdebug.backends", "graphdebug.log", "graphdebug.view", "graphdebug.export", *FRAMEWORKS],
    "view": ["graphdebug.backends", *FRAMEWORKS],
    "export": ["graphdebug.backends", *(name for name in FRAMEWORKS if name != "numpy")],
    "view/terminal.py": ["graphdebug.view.html"],
    "view/html.py": ["graphdebug.view.terminal"],
}
ALLOWED = {"model": ["graphdebug.model", "graphdebug.errors"]}
EVERYWHERE = ["graphdebug.cli", "graphdebug.testing.plugin"]


def imports_of(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offences(path: Path, forbidden: list[str], allowed: list[str]) -> list[str]:
    return [
        f"{path.relative_to(HOME)} imports {name}"
        for name in imports_of(path)
        if any(is_below(name, one) for one in forbidden) and not any(is_below(name, one) for one in allowed)
        if not (name == "graphdebug" and allowed)
    ]


def files_of(part: str) -> list[Path]:
    place = HOME / part
    return [place] if place.suffix == ".py" else sorted(place.rglob("*.py"))


def test_no_part_imports_what_it_must_not_know():
    found = [
        offence
        for part, forbidden in FORBIDDEN.items()
        for path in files_of(part)
        if path.exists()
        for offence in offences(path, forbidden, ALLOWED.get(part, []))
    ]
    assert not found


def test_nothing_but_the_commands_imports_the_command_line_or_the_plugin():
    own = {path for part in ("cli", "testing/plugin.py", "__main__.py") for path in files_of(part)}
    found = [
        offence for path in HOME.rglob("*.py") if path not in own for offence in offences(path, EVERYWHERE, [])
    ]
    assert not found


def test_backends_do_not_know_each_other():
    names = [folder.name for folder in (HOME / "backends").iterdir() if (folder / "__init__.py").exists()]
    assert {"torch", "tensorflow"} <= set(names)
    found = [
        offence
        for name in names
        for path in files_of(f"backends/{name}")
        for offence in offences(path, [f"graphdebug.backends.{other}" for other in names if other != name], [])
    ]
    assert not found


def test_no_framework_is_named_outside_its_backend():
    """Comparing with a framework's name is a branch that belongs into the backend or the event."""
    blind = [path for part in ("model", "log", "diagnosis", "view", "export") for path in files_of(part)]
    found = [
        f"{path.relative_to(HOME)}:{node.lineno}"
        for path in blind
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in [node.left, *node.comparators]
        if isinstance(side, ast.Constant) and side.value in ("torch", "tensorflow", "keras")
    ]
    assert not found


def test_the_check_can_fail(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from graphdebug.diagnosis import diagnose\nimport torch.nn\n")
    assert [name for name in imports_of(bad) if any(is_below(name, one) for one in FORBIDDEN["view"])] == [
        "torch.nn"
    ]
