"""All equations of a `task`, which `train: grokking` is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from idsweep.data.equations import CLASSES, TASKS, of_entry, split, texts, vocabulary
from idsweep.data.loaders.registry import Loader, Part, Span, TextGenerator

KEYS = {
    "task": {
        "description": "Operation of the equations: modulo `modulus`, or composition in the symmetric group of `degree`.",
        "enum": list(TASKS),
    },
    "modulus": {"description": "Modulus of the equations, a prime for division.", "type": "integer", "minimum": 2},
    "degree": {
        "description": "Number of things that the equations' permutations permute.",
        "type": "integer",
        "minimum": 2,
    },
}


def _texts(entry: Mapping[str, Any], part: Part | None) -> Iterator[tuple[int, str, list[Span]]]:
    equations = of_entry(entry)
    places = np.arange(len(equations.left))
    if part is not None:
        train, held_out = split(len(places), part.trained_fraction, part.seed)
        places = train if part.name == "train" else held_out
    return zip(places.tolist(), *texts(equations, places), strict=True)


LOADER = Loader(
    generator=TextGenerator(
        texts=_texts,
        number=lambda entry: len(of_entry(entry).answer),
        words=lambda entry: vocabulary(of_entry(entry)),
        tokens=len(CLASSES),
        classes=CLASSES,
    ),
    check=of_entry,
)
