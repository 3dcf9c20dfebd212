"""Which backends there are, and attaching them: at once if imported, else when they are imported."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import cast

import graphdebug.backends as _folder
from graphdebug.backends.protocol import Backend

__all__ = ["ImportWatch", "frameworks", "load"]


def frameworks() -> list[str]:
    """Return the import names of the frameworks that have a backend: the subfolders of backends/."""
    return [module.name for module in pkgutil.iter_modules(_folder.__path__) if module.ispkg]


def load(framework: str) -> Backend:
    """Import and return the backend of `framework` (which imports the framework)."""
    return cast("Backend", importlib.import_module(f"{_folder.__name__}.{framework}"))


class ImportWatch(MetaPathFinder):
    """Calls back once after each of `names` has been imported. Installed on sys.meta_path until `stop`."""

    def __init__(self, names: Sequence[str], imported: Callable[[str], None]) -> None:
        self._waiting = set(names)
        self._imported = imported
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Take the watch off sys.meta_path."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find `fullname` as the other finders do, with a loader that calls back after it has run."""
        if fullname not in self._waiting:
            return None
        self._waiting.discard(fullname)
        spec = _found_by_others(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _NotifyingLoader(spec.loader, lambda: self._imported(fullname))
        return spec


class _NotifyingLoader(Loader):
    """Runs a module by its own loader, then gives the module that loader back and calls `done`."""

    def __init__(self, loader: Loader, done: Callable[[], None]) -> None:
        self._loader = loader
        self._done = done

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._done()


def _found_by_others(
    watch: ImportWatch, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if finder is watch or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None
