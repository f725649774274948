"""The examples of the public names do what they say."""

from __future__ import annotations

import doctest
import importlib

import idsweep.live
import pytest
from idsweep.live.budget import Budget

PUBLIC = {name: getattr(idsweep.live, name) for name in idsweep.live.__all__}
WITH_EXAMPLE = ("LiveDimension", "LocalDimension", "LocalDimensionCallback")


@pytest.mark.parametrize("example", [*(PUBLIC[name] for name in WITH_EXAMPLE), Budget], ids=lambda one: one.__name__)
def test_examples_run(example: type) -> None:
    names = vars(importlib.import_module(example.__module__)).copy()
    tests = doctest.DocTestFinder(recurse=False).find(example, example.__name__, globs=names)
    assert tests[0].examples
    assert not doctest.DocTestRunner().run(tests[0]).failed


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_say_what_is_given_and_raised(name: str) -> None:
    text = PUBLIC[name].__doc__
    assert "Parameters\n" in text and ("Raises" in text or "raises" in text)
