"""What trainings that start from a base have in common: what they read and how their functions are called."""

from __future__ import annotations

from typing import Any

from idsweep.data.corpora import load_sequences, read_corpus
from idsweep.training.fine_tuning import BASE_OPTIONS
from idsweep.training.task import Task


def plain_texts(task: Task) -> tuple[list[str], list[str]]:
    """The texts to train on, of which `training.sequences` are drawn, and those to validate on."""
    texts, given = task.settings["texts"], task.settings["training"]
    train = read_corpus(texts["dataset"]["entry"], task.files["dataset"], number=given["sequences"], seed=given["seed"])
    return train.texts, load_sequences(texts["validation"]["entry"], task.files["validation"])


def arguments(task: Task) -> dict[str, Any]:
    """What a training's function is called with beside its texts, but for the kind of model."""
    base = task.settings["base"]
    return {
        "base_folder": task.base,
        "tokenizer_folder": task.tokenizer,
        "output_folder": task.checkpoints,
        "identity": task.identity,
        "device": task.device,
        "checkpoints": task.settings["checkpoints"],
        "base_name": base["name"],
        "loading": {key: base[key] for key in BASE_OPTIONS if key in base},
        "tokenizer_options": task.settings["tokenizer"]["options"],
        **{key: value for key, value in task.settings["training"].items() if key != "sequences"},
    }
