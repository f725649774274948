"""What the scripts of trainings that start from a base have in common: what they read and how they call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from idsweep.data.corpora import load_sequences, read_corpus
from idsweep.training.fine_tuning import BASE_OPTIONS


def plain_texts(settings: Mapping[str, Any], files: str) -> tuple[list[str], list[str]]:
    """The texts to train on, of which `training.sequences` are drawn, and those to validate on.

    settings: of the job. files: JSON, where the local file of each key of `texts` lies.
    """
    texts, places, training = settings["texts"], json.loads(files), settings["training"]
    train = read_corpus(
        texts["dataset"]["entry"], places["dataset"], number=training["sequences"], seed=training["seed"]
    )
    return train.texts, load_sequences(texts["validation"]["entry"], places["validation"])


def arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that settings of a job are for a training's function, but for the kind of model."""
    base = settings["base"]
    return {
        "checkpoints": settings["checkpoints"],
        "base_name": base["name"],
        "loading": {key: base[key] for key in BASE_OPTIONS if key in base},
        "tokenizer_options": settings["tokenizer"]["options"],
        **{key: value for key, value in settings["training"].items() if key != "sequences"},
    }
