"""What trainings that start from a base have in common: what they read and how their functions are called."""

from __future__ import annotations

from typing import Any

from idsweep.data.corpora import read_corpus
from idsweep.training.fine_tuning import BASE_OPTIONS
from idsweep.training.task import Task

OF_THE_DRAW = ("sequences", "choose", "draw_seed", "evaluated")


def plain_texts(task: Task) -> tuple[list[str], list[str]]:
    """The texts to train on, and those to validate on, drawn as `draw` says."""
    texts = task.settings["texts"]
    train, validation = (
        read_corpus(texts[key]["entry"], task.files[key], **draw(task, key)).texts for key in ("dataset", "validation")
    )
    return train, validation


def draw(task: Task, key: str) -> dict[str, Any]:
    """How `read_corpus` and `read_labelled` draw the texts that `key` of the training names."""
    given = task.settings["training"]
    seed = given.get("draw_seed", given["seed"])
    if key == "dataset":
        return {"number": given["sequences"], "choose": given.get("choose", "random"), "seed": seed}
    return {"number": given.get("evaluated"), "seed": seed}


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
        **{key: value for key, value in task.settings["training"].items() if key not in OF_THE_DRAW},
    }
