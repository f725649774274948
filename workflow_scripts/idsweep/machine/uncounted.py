"""Modules that are loaded by name, so that they count only for the jobs that load them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def uncounted(name: str) -> ModuleType:
    """Import a module of the library without its being followed as an import when jobs are signed.

    An `import` makes every job that reaches it depend on the module and on the packages that it imports. A module
    that few jobs need is loaded by this function instead, and those jobs name it in the job graph
    (`Job.modules`).

    name: the module's full name, as `idsweep.data.loaders.equations`.
    """
    return import_module(name)
