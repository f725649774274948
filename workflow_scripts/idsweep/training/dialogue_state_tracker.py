"""Trackers of dialogue states: a pretrained encoder with heads that tell what a user wants so far, trained turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from idsweep.files.atomic import whole_or_nothing
from idsweep.models.checkpoints import load_model
from idsweep.models.quiet import quiet_transformers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.tracking.decoding import Accuracy, Said, accuracy, carried
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.examples import Example, collate, descriptions, example, history_kept, read_off
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import Labels, label
from idsweep.tracking.model import Targets, Tracker, class_weights, losses
from idsweep.tracking.slots import SLOTS
from idsweep.tracking.turns import Turn
from idsweep.training.fine_tuning import Batch, fine_tune
from idsweep.training.from_base import arguments
from idsweep.training.task import Task

HEADS = ("attention", "linear")
REFER_LOGITS = ("weights", "scores")
TRAINING = {
    "about": "its `base` with new heads, trained to track what the user of a dialogue wants (TripPy-R, Heck et al. 2022).",
    "rule": "train_dialogue_state_tracker",
    "kinds": {"encoder": {}},
    "metrics": (
        "train_loss",
        "train_class_loss",
        "train_token_loss",
        "train_refer_loss",
        "train_joint_goal_accuracy",
        "train_slot_accuracy",
        "validation_loss",
        "validation_class_loss",
        "validation_token_loss",
        "validation_refer_loss",
        "validation_joint_goal_accuracy",
        "validation_slot_accuracy",
    ),
    "metrics_with": {
        "test": (
            "test_loss",
            "test_class_loss",
            "test_token_loss",
            "test_refer_loss",
            "test_joint_goal_accuracy",
            "test_slot_accuracy",
        )
    },
    "from_base": True,
    "texts": ("dataset", "validation", "test"),
    "composes": True,
    "cost": "sequences",
    "gpu": True,
    "threads": 1,
    "mem_mb": 0,
    "check": "fine_tuning_checks",
    "required": ("dataset", "validation", "max_length"),
    "keys_of": "fine_tuning",
    "keys_left_out": ("sequences", "choose", "draw_seed", "evaluated", "lora"),
    "keys": {
        "test": {
            "description": "Further dataset that losses and scores are of: a dataset of the catalog, or NAME:SPLIT.",
            "type": "string",
        },
        "heads": {
            "description": "Heads of attention, as TripPy-R has them, or a linear layer for each slot, as TripPy has.",
            "enum": "HEADS",
            "default": "attention",
        },
        "refer_logits": {
            "description": "What `heads: attention` takes for logits of the slot that is referred to: weights of attention, as published, whose "
            "loss hardly falls, or the scores before their softmax.",
            "enum": "REFER_LOGITS",
            "default": "weights",
        },
        "head_dropout": {
            "description": "Dropout of the encoder's states before the heads.",
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1,
            "default": 0.3,
        },
        "class_loss_share": {
            "description": "Share of the classes' loss in all; values' places and references share the rest.",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "default": 0.8,
        },
        "none_weight": {
            "description": "Weight of the class none, where the others have 1.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 0.1,
        },
        "history_dropout": {
            "description": "Probability with which a turn's history is cut at random, in training alone.",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0.1,
        },
        "adam_epsilon": {
            "description": "AdamW's term against division by zero.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 0.000001,
        },
        "evaluated_dialogues": {
            "description": "Dialogues of each split that losses and scores are of, drawn once by the seed (null: all; of the "
            "training split as many as of validation).",
            "type": ["integer", "null"],
            "minimum": 1,
            "default": None,
        },
    },
}
EVALUATED_AT_ONCE = 32
INPUTS = ("input_ids", "attention_mask", "user")

Dialogue = list[tuple[Turn, Labels]]


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_tracker` on the dialogues of the datasets."""
    read = {key: read_dialogues(texts["entry"], task.files[key]) for key, texts in task.settings["texts"].items()}
    return train_tracker(read["dataset"], read["validation"], read.get("test"), **arguments(task))


def train_tracker(
    train: Sequence[Sequence[Turn]],
    validation: Sequence[Sequence[Turn]],
    test: Sequence[Sequence[Turn]] | None,
    base_folder: str | Path,
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    max_length: int,
    heads: str,
    refer_logits: str,
    head_dropout: float,
    class_loss_share: float,
    none_weight: float,
    history_dropout: float,
    evaluated_dialogues: int | None,
    seed: int,
    loading: Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> pa.Table:
    """Train the encoder of `base_folder` and new heads to tell the labels of turns, and save checkpoints as `fine_tune` does.

    A checkpoint is a model folder: the encoder with its config, below the name that its family has (`roberta.`), and the heads
    beside it.

    Parameters
    ----------
    train, validation, test
        Dialogues, each as its user turns in order.
    max_length
        Tokens that the input of a turn is cut to, special tokens included.
    heads, refer_logits, head_dropout
        As `Tracker` has them. Heads are drawn from `seed`.
    class_loss_share, none_weight
        As `losses` and `class_weights` take them. The loss of an update is the sum over its turns.
    history_dropout
        Probability with which a history is cut at random, in training alone.
    evaluated_dialogues
        Dialogues of each split that metrics are of (None: all), drawn by PCG64 from `seed`.
    settings
        What else `fine_tune` takes: identity, checkpoints, steps or epochs, learning_rate …

    Returns a table step int64 | metric string | value float64. For each split of train, validation and test it has
    `{split}_loss` and its parts `{split}_class_loss`, `{split}_token_loss`, `{split}_refer_loss` (summed over slots, mean over
    turns), `{split}_joint_goal_accuracy`, `{split}_slot_accuracy` (mean over slots), and for each slot `{split}_accuracy/{slot}` (share
    of turns after which its value is right) and `{split}_class_accuracy/{slot}` (share of turns whose class is).

    Raises ValueError if the base has no pooler's output or not the tokens of the tokenizer, as `Composer`, `Tracker`, `load_model`,
    `load_tokenizer` and `fine_tune` do.
    """
    tokenizer = load_tokenizer(tokenizer_folder, **(tokenizer_options or {}))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    composer = Composer(tokenizer, max_length)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        encoder = load_model(base_folder, kind="encoder", dtype="float32", **(loading or {}))
        if len(tokenizer) > encoder.config.vocab_size:
            raise ValueError(
                f"{tokenizer_folder} has {len(tokenizer)} tokens, and {base_folder} embeds {encoder.config.vocab_size}; take the "
                "tokenizer that the base was trained with."
            )
        tracker = Tracker(encoder, heads, head_dropout, refer_logits)
    slots = descriptions(tokenizer, pad)
    weights = class_weights(none_weight)
    splits = {
        split: [[(turn, label(turn)) for turn in turns] for turns in dialogues]
        for split, dialogues in (("train", train), ("validation", validation), ("test", test))
        if dialogues is not None
    }
    number = len(validation) if evaluated_dialogues is None else evaluated_dialogues
    evaluated = {
        split: _drawn(dialogues, number if split == "train" else evaluated_dialogues, seed)
        for split, dialogues in splits.items()
    }
    composed = {
        split: [example(turn, labels, composer) for turn, labels in chain.from_iterable(dialogues)]
        for split, dialogues in evaluated.items()
    }

    def collate_turns(turns: Sequence[tuple[Turn, Labels]]) -> Batch:
        # torch's random numbers, which depend on the number of the batch alone
        generator = np.random.default_rng(int(torch.randint(2**31, (1,))))
        some = [
            example(turn, labels, composer, history_kept(len(turn.parts) - 2, history_dropout, generator))
            for turn, labels in turns
        ]
        given, targets = collate(some, pad)
        return given | targets._asdict()

    def objective(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        device = batch["input_ids"].device
        predicted = model(
            **{key: batch[key] for key in INPUTS}, **{key: value.to(device) for key, value in slots.items()}
        )
        targets = Targets(*(batch[key] for key in Targets._fields))
        return losses(predicted, targets, class_loss_share, weights.to(device)).total.sum()

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        metrics = {}
        for split, dialogues in evaluated.items():
            turns, labels = zip(*chain.from_iterable(dialogues), strict=True)
            found, said = _said(model, turns, composed[split], pad, slots, class_loss_share, weights)
            shares = _accuracy(turns, said)
            metrics |= {f"{split}_{name}": value for name, value in found.items()}
            metrics[f"{split}_joint_goal_accuracy"] = shares.joint
            metrics[f"{split}_slot_accuracy"] = float(np.mean(list(shares.by_slot.values())))
            metrics |= {f"{split}_accuracy/{slot}": value for slot, value in shares.by_slot.items()}
            metrics |= {f"{split}_class_accuracy/{slot}": value for slot, value in class_accuracy(labels, said).items()}
        return metrics

    return fine_tune(
        tracker,
        tokenizer,
        list(chain.from_iterable(splits["train"])),
        collate_turns,
        evaluate,
        output_folder,
        seed=seed,
        objective=objective,
        save=_saver(tokenizer),
        **settings,
    )


def class_accuracy(labels: Sequence[Labels], said: Sequence[Said]) -> dict[str, float]:
    """Slot -> share of turns whose class is right. Both hold an entry for each turn."""
    return {
        slot: float(
            np.mean([one.classes[slot] == other.classes[slot] for one, other in zip(labels, said, strict=True)])
        )
        for slot in SLOTS
    }


def _drawn(dialogues: list[Dialogue], number: int | None, seed: int) -> list[Dialogue]:
    if number is None or number >= len(dialogues):
        return dialogues
    places = np.random.Generator(np.random.PCG64(seed)).choice(len(dialogues), size=number, replace=False)
    return [dialogues[place] for place in np.sort(places)]


def _said(
    model: torch.nn.Module,
    turns: Sequence[Turn],
    examples: Sequence[Example],
    pad_token_id: int,
    slots: Mapping[str, torch.Tensor],
    class_loss_share: float,
    weights: torch.Tensor,
) -> tuple[dict[str, float], list[Said]]:
    """Mean losses of turns, and what a tracker says of them."""
    device = next(model.parameters()).device
    slots = {key: value.to(device) for key, value in slots.items()}
    said: list[Said] = []
    sums = np.zeros(4)
    for begin in range(0, len(examples), EVALUATED_AT_ONCE):
        some = examples[begin : begin + EVALUATED_AT_ONCE]
        given, targets = collate(some, pad_token_id)
        predicted = model(**{key: value.to(device) for key, value in given.items()}, **slots)
        targets = Targets(*(target.to(device) for target in targets))
        of_batch = losses(predicted, targets, class_loss_share, weights.to(device))
        sums += [part.double().sum().item() for part in of_batch]
        said += read_off(predicted, some, turns[begin : begin + EVALUATED_AT_ONCE])
    names = ("loss", "class_loss", "token_loss", "refer_loss")
    return dict(zip(names, (sums / len(examples)).tolist(), strict=True)), said


def _accuracy(turns: Sequence[Turn], said: Sequence[Said]) -> Accuracy:
    return accuracy([turn.state for turn in turns], carried([turn.number == 0 for turn in turns], said))


def _saver(tokenizer: PreTrainedTokenizerBase) -> Callable[[torch.nn.Module, Path], None]:
    def save(tracker: Tracker, folder: Path) -> None:
        with quiet_transformers(), whole_or_nothing(folder) as unfinished:
            unfinished.mkdir(parents=True, exist_ok=True)
            tracker.config.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in tracker.state_dict().items()}
            save_file(weights, unfinished / "model.safetensors", metadata={"format": "pt"})

    return save
