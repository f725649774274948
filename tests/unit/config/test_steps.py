"""Patterns of checkpoints' names stand for the steps that papers and hubs mean by them."""

from __future__ import annotations

import pytest
from idsweep.config.steps import expand


def test_pythia_s_pattern_gives_its_154_revisions() -> None:
    powers = [0, *(2**i for i in range(10))]
    expected = {f"step{step}": step for step in [*powers, *range(1000, 143001, 1000)]}
    assert expand("step{0,1,2,4..512,1000..143000/1000}") == expected == expand("step{0,1..512,1000..143000/1000}")
    assert len(expected) == 154


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("checkpoint-{500}", ["checkpoint-500"]),
        ("{3..12}k", ["3k", "6k", "12k"]),
        ("a{0..4/2}b", ["a0b", "a2b", "a4b"]),
        ("s{10,2,2,4..4}", ["s2", "s4", "s10"]),
        ("s{ 1 , 2 }", ["s1", "s2"]),
        ("s{7..7/3}", ["s7"]),
    ],
)
def test_names_in_order_of_steps(pattern: str, names: list[str]) -> None:
    assert list(expand(pattern)) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("step", "'step' names no steps; expected one pair of braces"),
        ("step{1}{2}", "names no steps"),
        ("step{}", "'' is not a step"),
        ("step{1,x}", "'x' is not a step"),
        ("step{1..9/0}", "is not a step"),
        ("step{1..10}", 'doubling from 1 does not end at 10; every number from 1 to 10 is "1..10/1"'),
        ("step{0..8}", "doubling from 0 does not end at 8"),
        ("step{0..9/2}", "counting from 0 does not end at 9"),
        ("step{4..1/1}", "counting from 4 does not end at 1"),
    ],
)
def test_what_names_no_steps_is_told(pattern: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        expand(pattern)
    assert message in str(error.value)
