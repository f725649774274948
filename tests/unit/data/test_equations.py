"""Equations are right, split reproducibly, and become texts whose words have classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from idsweep.data import equations as eq


def rows(made: eq.Equations) -> list[tuple[str, str, str]]:
    """(a, b, c) by their names."""
    return [
        (made.words[a], made.words[b], made.words[c])
        for a, b, c in zip(made.left.tolist(), made.right.tolist(), made.answer.tolist(), strict=True)
    ]


@pytest.mark.parametrize("modulus", [2, 6, 13])
@pytest.mark.parametrize(
    ("task", "operation"),
    [
        ("addition", lambda a, b: a + b),
        ("subtraction", lambda a, b: a - b),
        ("multiplication", lambda a, b: a * b),
    ],
)
def test_arithmetic_holds_for_every_pair_in_order(task, operation, modulus):
    expected = [(str(a), str(b), str(operation(a, b) % modulus)) for a in range(modulus) for b in range(modulus)]
    assert rows(eq.equations(task, modulus=modulus)) == expected


@pytest.mark.parametrize("modulus", [2, 7, 97])
def test_a_quotient_times_its_divisor_is_the_dividend(modulus):
    made = eq.equations("division", modulus=modulus)
    pairs = list(zip(made.left.tolist(), made.right.tolist(), strict=True))
    assert pairs == [(a, b) for a in range(modulus) for b in range(1, modulus)]
    assert ((made.answer * made.right) % modulus == made.left).all()
    assert made.answer.min() >= 0 and made.answer.max() < modulus


def test_the_right_permutation_is_applied_first():
    composed = {(a, b): c for a, b, c in rows(eq.equations("permutation_composition", degree=3))}
    # 0 -> 1 -> 2, 1 -> 0 -> 1, 2 -> 2 -> 0
    assert composed["120", "102"] == "210"
    assert composed["102", "120"] == "021"


@pytest.mark.parametrize("degree", [2, 4])
def test_permutations_compose_as_maps_do(degree):
    made = eq.equations("permutation_composition", degree=degree)
    assert len(set(made.words)) == len(made.words) == math.factorial(degree)
    assert made.words[0] == "".join(map(str, range(degree)))
    composed = rows(made)
    assert len(set(composed)) == math.factorial(degree) ** 2
    for a, b, c in composed:
        assert c == "".join(a[int(image)] for image in b)


@pytest.mark.parametrize(
    ("task", "size", "number"),
    [
        ("addition", {"modulus": 197}, 197**2),
        ("division", {"modulus": 97}, 97 * 96),
        ("permutation_composition", {"degree": 5}, 120**2),
    ],
)
def test_there_are_as_many_equations_as_pairs(task, size, number):
    made = eq.equations(task, **size)
    for column in made[1:]:
        assert column.dtype == np.int64 and column.shape == (number,)


def test_token_ids_are_places_in_the_vocabulary():
    made = eq.equations("permutation_composition", degree=3)
    words = eq.vocabulary(made)
    assert words == [*made.words, "o", "="]
    texts, _ = eq.texts(made, np.arange(len(made.left)))
    assert [" ".join(words[i] for i in row) for row in eq.token_ids(made).tolist()] == texts


@pytest.mark.parametrize(
    ("task", "size", "message"),
    [
        ("exponentiation", {"modulus": 7}, "task: 'exponentiation' is not known; choose one of addition, "),
        ("addition", {}, "modulus: addition needs one, from 2 to 1000"),
        ("addition", {"modulus": 1}, "modulus: 1 is no integer from 2 to 1000"),
        ("addition", {"modulus": 10**6}, "modulus: 1000000 is no integer from 2 to 1000"),
        ("addition", {"modulus": 7.0}, "modulus: 7.0 is no integer"),
        ("addition", {"modulus": 7, "degree": 3}, "degree: addition has none; it has a modulus"),
        ("division", {"modulus": 91}, "modulus: 91 is no prime"),
        ("division", {"modulus": 4}, "modulus: 4 is no prime"),
        ("permutation_composition", {}, "degree: permutation_composition needs one, from 2 to 6"),
        ("permutation_composition", {"degree": 7}, "degree: 7 is no integer from 2 to 6"),
        ("permutation_composition", {"degree": True}, "degree: True is no integer"),
        ("permutation_composition", {"degree": 3, "modulus": 5}, "modulus: permutation_composition has none"),
    ],
)
def test_a_task_that_does_not_exist_is_told(task, size, message):
    with pytest.raises(ValueError, match=message):
        eq.equations(task, **size)


@pytest.mark.parametrize(("number", "fraction"), [(49, 0.3), (197**2, 0.45), (2, 0.5)])
def test_a_split_parts_all_places(number, fraction):
    train, validation = eq.split(number, fraction, 46)
    assert len(train) == round(fraction * number)
    assert train.dtype == validation.dtype == np.int64
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(number))


def test_the_seed_decides_the_split_and_a_larger_fraction_holds_a_smaller():
    small, _ = eq.split(1000, 0.1, 46)
    assert np.array_equal(small, eq.split(1000, 0.1, 46)[0])
    assert not np.array_equal(small, eq.split(1000, 0.1, 47)[0])
    assert set(small.tolist()) < set(eq.split(1000, 0.5, 46)[0].tolist())
    # Neither part is a block of the table.
    assert abs(small.mean() - 499.5) < 100


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.001, 1.2, -0.3])
def test_a_split_with_an_empty_side_is_told(fraction):
    with pytest.raises(ValueError, match=f"fraction: {fraction} of 49 equations leaves one side empty"):
        eq.split(49, fraction, 0)


def test_every_word_of_a_text_lies_in_its_span():
    made = eq.equations("addition", modulus=13)
    texts, spans = eq.texts(made, np.array([0, 12, 168]))
    assert texts == ["0 o 0 =", "0 o 12 =", "12 o 12 ="]
    for text, of_text in zip(texts, spans, strict=True):
        assert [text[begin:end] for begin, end, _ in of_text] == text.split()
        assert [name for _, _, name in of_text] == ["operand", "operator", "operand", "equals"]


def test_an_entry_gives_its_equations():
    made = eq.of_entry({"loader": "equations", "task": "subtraction", "modulus": 11})
    assert rows(made) == rows(eq.equations("subtraction", modulus=11))
    with pytest.raises(ValueError, match="task: None is not known; choose one of addition"):
        eq.of_entry({"loader": "equations", "modulus": 7})
