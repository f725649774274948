"""Names that a package offers although they lie in its modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def offer(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package that imports a module when one of its names is asked for.

    An `import` in the `__init__.py` of a package would be run by every module of the package, and would count in the
    signature of every job that uses one of them (PEP 562 is what makes this possible).

    package: `__name__` of the package. modules: public name -> full name of the module that holds it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return get, lambda: sorted(modules), sorted(modules)
