"""The public functions: documented in one form, with examples that run, and importable as the README has them."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import idsweep
import pytest

README = Path(__file__).parents[2] / "README.md"
NAMES = (
    "detect_events",
    "estimate_global",
    "estimate_local",
    "estimate_mean",
    "load",
    "nearest_neighbors",
    "provenance",
    "read_embeddings",
    "read_estimates",
    "read_neighbors",
    "read_table",
    "snakefile",
)
SECTIONS = ("Parameters", "Returns", "Raises", "Examples")
FROM_PAPERS = ("detect_events", "estimate_global", "estimate_local", "estimate_mean")


def section(name: str, title: str) -> str:
    """The text of one section of a function's docstring."""
    text = inspect.getdoc(getattr(idsweep, name))
    found = re.search(rf"^{title}\n-{{{len(title)}}}\n(.+?)(?=^\w+\n-+$|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section {title}"
    return found[1]


def test_the_library_offers_these_functions() -> None:
    assert tuple(sorted(idsweep.__all__)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_have_the_sections_of_numpydoc(name: str) -> None:
    sections = SECTIONS if inspect.signature(getattr(idsweep, name)).parameters else SECTIONS[1:]
    for title in (*sections, *(("References",) if name in FROM_PAPERS else ())):
        assert section(name, title).strip()


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_describe_every_parameter(name: str) -> None:
    parameters = set(inspect.signature(getattr(idsweep, name)).parameters)
    text = section(name, "Parameters") if parameters else ""
    if "As for `estimate_local`." in text:
        text += section("estimate_local", "Parameters")
    described = {
        word.strip(" *") for line in re.findall(r"^\S.*", text, re.MULTILINE) for word in re.split(r"[,:]", line)
    }
    assert parameters <= described


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str) -> None:
    function = getattr(idsweep, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples
    result = doctest.DocTestRunner().run(test)
    assert not result.failed


def test_functions_are_importable_as_the_readme_has_them() -> None:
    imports = re.findall(r"^from (idsweep\S*) import (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    offered = {
        name: getattr(importlib.import_module(module), name) for module, names in imports for name in names.split(", ")
    }
    live = offered.pop("LocalDimensionCallback")
    assert live.__module__ == "idsweep.live.trainer"
    assert offered.keys() == {"estimate_global", "estimate_local", "estimate_mean", "nearest_neighbors"}
    assert all(function is getattr(idsweep, name) for name, function in offered.items())
