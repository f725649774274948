"""Which figures there are, which tables they need, what else they need, and which options they take.

All of it is read from the modules' source, so that a config is validated without importing
matplotlib. A new figure is a new module of this package; nothing else lists it.

A sweep may draw one figure several times: `dynamics-loss` is `dynamics` with options of its own, in a file of its own.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# What a figure needs unless its module says otherwise: see the package's docstring.
NEEDS: dict[str, Any] = {
    "texts": True,
    "log_probabilities": False,
    "comparisons": False,
    "metrics": (),
    "varies": None,
    "representations": (),
    "one_base": False,
    "layers": "numbers",
    "estimator": "name",
}


def names() -> list[str]:
    """The names of all figures, sorted: the public modules beside this one but the foundations."""
    return list(_names())


def kind(name: str) -> str:
    """What a figure of a sweep is: its name up to a hyphen, `dynamics` for `dynamics-loss`."""
    return name.split("-", 1)[0]


def get(name: str) -> Callable[..., Any]:
    """The function that draws figure `name`; imports its module. Raises ValueError if there is none."""
    _require(name)
    return importlib.import_module(f"{__package__}.{kind(name)}").draw


def tables(name: str) -> tuple[str, ...]:
    """The tables that figure `name` needs, in the order in which `draw` takes them.

    `("local", "global")` for `draw(local, global_, *, …)`. Raises ValueError if there is no such figure.
    """
    return tuple(argument.arg.rstrip("_") for argument in _signature(name).args)


def options(name: str) -> dict[str, Any]:
    """The options of figure `name` with their defaults, which are literals in its signature.

    Raises ValueError if there is no such figure.
    """
    signature = _signature(name)
    return {
        argument.arg: ast.literal_eval(default)
        for argument, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True)
    }


def description(name: str) -> str:
    """What figure `name` shows, for its caption: the first paragraph of its `draw` function's docstring.

    Raises ValueError if there is no such figure.
    """
    _require(name)
    text = ast.get_docstring(_draw(name)) or ""
    return " ".join(text.split("\n\n")[0].split())


def needs(name: str) -> dict[str, Any]:
    """What figure `name` needs of a sweep: every key of `NEEDS`, as the literal `NEEDS` of its module says.

    Raises ValueError if there is no such figure, or if it needs what is not known.
    """
    _require(name)
    assigned = (node for node in _module(name).body if isinstance(node, ast.Assign))
    said = {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}
    own = ast.literal_eval(said["NEEDS"]) if "NEEDS" in said else {}
    if unknown := sorted(own.keys() - NEEDS):
        raise ValueError(
            f"Figure module {kind(name)}.py: NEEDS has {', '.join(unknown)}; known are {', '.join(NEEDS)}."
        )
    return NEEDS | own


@cache
def _names() -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name for name in found if not name.startswith("_") and name != "registry"))


def _require(name: str) -> None:
    if kind(name) not in names():
        raise ValueError(f"There is no figure {name!r}; the figures are {', '.join(names())}.")


def _signature(name: str) -> ast.arguments:
    _require(name)
    return _draw(name).args


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{kind(name)}.py").read_text(encoding="utf-8"))


def _draw(name: str) -> ast.FunctionDef:
    for node in _module(name).body:
        if isinstance(node, ast.FunctionDef) and node.name == "draw":
            return node
    raise ValueError(f"Figure module {name}.py has no function draw(); it needs draw(table, …, *, option=…).")
