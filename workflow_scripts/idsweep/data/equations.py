"""Equations `a o b = c` of binary operations on finite sets, on which small models grok.

Power et al. 2022, "Grokking: Generalization beyond overfitting on small algorithmic datasets" (arXiv:2201.02177).

Every element is one word. A model reads the sequence "a o b =" and predicts c at "=". The tasks, with the operation
that "o" stands for:

    addition                   a + b mod `modulus`
    subtraction                a - b mod `modulus`
    multiplication             a · b mod `modulus`
    division                   a / b mod `modulus`, a prime; b is not 0
    permutation_composition    a ∘ b in the symmetric group of `degree`: b is applied first, (a ∘ b)(i) = a(b(i))
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

TASKS = ("addition", "subtraction", "multiplication", "division", "permutation_composition")
MODULI = range(2, 1001)  # up to 1e6 equations
DEGREES = range(2, 7)  # up to 720² equations
OPERATOR, EQUALS = "o", "="
CLASSES = ("operand", "operator", "operand", "equals")


class Equations(NamedTuple):
    """All n equations of a task, in the order of the left operand, then of the right one.

    words: the names of the elements: "0" … "p-1", or permutations by their images ("0213" takes 1 to 2 and 2 to 1).
    left, right, answer: int64 (n,), places in `words`.
    """

    words: list[str]
    left: np.ndarray
    right: np.ndarray
    answer: np.ndarray


def equations(task: str, *, modulus: int | None = None, degree: int | None = None) -> Equations:
    """The equations of one of `TASKS`: n = p² for a modulus p, p (p - 1) for division, (degree!)² for permutations.

    Raises ValueError if the task is not known, if `modulus` or `degree` is missing, out of bounds (`MODULI`,
    `DEGREES`) or given where the task has none, or if the modulus of a division is no prime.
    """
    if task not in TASKS:
        raise ValueError(f"task: {task!r} is not known; choose one of {', '.join(TASKS)}.")
    if task == "permutation_composition":
        _check_size(task, ("degree", degree, DEGREES), ("modulus", modulus))
        return _compositions(degree)
    _check_size(task, ("modulus", modulus, MODULI), ("degree", degree))
    numbers = np.arange(modulus, dtype=np.int64)
    divisors = numbers
    if task == "division":
        if any(modulus % factor == 0 for factor in range(2, modulus)):
            raise ValueError(f"modulus: {modulus} is no prime, and division mod {modulus} needs one, as 97 or 197.")
        divisors = numbers[1:]
    left, right = (grid.ravel() for grid in np.meshgrid(numbers, divisors, indexing="ij"))
    if task == "addition":
        answer = left + right
    elif task == "subtraction":
        answer = left - right
    elif task == "multiplication":
        answer = left * right
    else:
        inverse = np.array([0, *(pow(b, -1, modulus) for b in range(1, modulus))], dtype=np.int64)
        answer = left * inverse[right]
    return Equations([str(number) for number in range(modulus)], left, right, answer % modulus)


def of_entry(entry: Mapping[str, Any]) -> Equations:
    """The equations of an entry of the catalog, {task, modulus or degree}. Raises ValueError as `equations` does."""
    return equations(entry.get("task"), modulus=entry.get("modulus"), degree=entry.get("degree"))


def vocabulary(equations: Equations) -> list[str]:
    """All words of the sequences, each at the place of its token id: the elements, then "o" and "="."""
    return [*equations.words, OPERATOR, EQUALS]


def token_ids(equations: Equations) -> np.ndarray:
    """int64 (n, 4): the sequences "a o b =" as places in the vocabulary."""
    operator = np.full_like(equations.left, len(equations.words))
    return np.stack([equations.left, operator, equations.right, operator + 1], axis=1)


def split(number: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (train, validation) of `number` equations, int64, increasing; train has round(fraction * number) of them.

    Train is the beginning of a permutation by PCG64 from `seed`, so with one seed a larger fraction holds a smaller.

    Raises ValueError if a side would be empty.
    """
    in_train = round(fraction * number)
    if not 0 < in_train < number:
        raise ValueError(
            f"fraction: {fraction} of {number} equations leaves one side empty; "
            "it takes a fraction between 0 and 1 that gives each side one at least."
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(number)
    return np.sort(order[:in_train]), np.sort(order[in_train:])


def texts(equations: Equations, index: np.ndarray) -> tuple[list[str], list[list[tuple[int, int, str]]]]:
    """The sequences "a o b =" at the places `index`, and for each its words' (begin, end, class) in characters."""
    sequences, spans = [], []
    for left, right in zip(equations.left[index].tolist(), equations.right[index].tolist(), strict=True):
        words = (equations.words[left], OPERATOR, equations.words[right], EQUALS)
        sequences.append(" ".join(words))
        begin, spans_here = 0, []
        for word, name in zip(words, CLASSES, strict=True):
            spans_here.append((begin, begin + len(word), name))
            begin += len(word) + 1
        spans.append(spans_here)
    return sequences, spans


def _check_size(task: str, expected: tuple[str, Any, range], unexpected: tuple[str, Any]) -> None:
    key, size, allowed = expected
    if unexpected[1] is not None:
        raise ValueError(f"{unexpected[0]}: {task} has none; it has a {key}.")
    if size is None:
        raise ValueError(f"{key}: {task} needs one, from {allowed[0]} to {allowed[-1]}.")
    if isinstance(size, bool) or not isinstance(size, int) or size not in allowed:
        raise ValueError(f"{key}: {size!r} is no integer from {allowed[0]} to {allowed[-1]}.")


def _compositions(degree: int) -> Equations:
    images = np.array(list(permutations(range(degree))), dtype=np.int64)
    words = ["".join(map(str, image)) for image in images.tolist()]
    number = len(words)
    left, right = np.repeat(np.arange(number), number), np.tile(np.arange(number), number)
    composed = images[left[:, None], images[right]]
    # Permutations stand in lexicographic order, so their numbers in base `degree` increase.
    base = degree ** np.arange(degree)[::-1]
    return Equations(words, left, right, np.searchsorted(images @ base, composed @ base))
