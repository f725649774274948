"""A regular expression of names matches these and no others, and many of them as fast as few."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idsweep.workflow.patterns import one_of

NAMES = st.lists(st.text("ab.-_+1(", min_size=1, max_size=6))


@given(NAMES, NAMES)
def test_exactly_the_names_match(names: list[str], others: list[str]) -> None:
    pattern = re.compile(one_of(names))
    for name in {*names, *others}:
        assert bool(pattern.fullmatch(name)) is (name in names)


@given(NAMES)
def test_between_other_parts_of_a_path_as_well(names: list[str]) -> None:
    pattern = re.compile(f"results/(?P<name>{one_of(names)})/x\\.parquet")
    assert all(pattern.fullmatch(f"results/{name}/x.parquet")["name"] == name for name in names)
    assert not pattern.fullmatch("results//x.parquet")


@pytest.mark.parametrize("names", [[], ["one"], ["a" * 200 + "b" * i for i in range(1, 50)]])
def test_few_and_long_names(names: list[str]) -> None:
    assert all(re.fullmatch(one_of(names), name) for name in names)
    assert not re.fullmatch(one_of(names), "another")


def test_the_time_of_a_match_does_not_grow_with_the_number_of_names() -> None:
    """Against the plain alternation of the same names, so that no clock decides: it is 100 times as slow."""
    names = [f"dataset-{i}" for i in range(5_000)]

    def seconds(pattern: re.Pattern) -> float:
        begun = time.process_time()
        for name in names[::10]:
            assert pattern.fullmatch(name)
        return time.process_time() - begun

    assert seconds(re.compile(one_of(names))) < seconds(re.compile("|".join(names))) / 5
