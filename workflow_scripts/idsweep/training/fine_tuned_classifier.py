"""Classifiers of texts: a pretrained encoder or decoder with a new head, fine-tuned on texts with labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from idsweep.data.corpora import LabelledTexts, read_labelled
from idsweep.models.checkpoints import load_model
from idsweep.models.quiet import quiet_transformers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.fine_tuned_language_model import PaddedTexts, check_rows_fit
from idsweep.training.fine_tuning import Batch, fine_tune
from idsweep.training.from_base import arguments, draw
from idsweep.training.task import Task

TRAINING = {
    "about": "its `base` with a new head, trained to tell labels.",
    "rule": "fine_tune_classifier",
    "kinds": {"encoder": {}},
    "metrics": (
        "train_loss",
        "train_accuracy",
        "train_macro_f1",
        "train_weighted_f1",
        "validation_loss",
        "validation_accuracy",
        "validation_macro_f1",
        "validation_weighted_f1",
    ),
    "metrics_with": {"test": ("test_loss", "test_accuracy", "test_macro_f1", "test_weighted_f1")},
    "from_base": True,
    "texts": ("dataset", "validation", "test"),
    "reads_labels": True,
    "cost": "sequences",
    "gpu": True,
    "threads": 2,
    "mem_mb": 0,
    "check": "fine_tuning_checks",
    "required": ("dataset", "validation", "max_length"),
    "keys_of": "fine_tuning",
    "keys": {
        "test": {
            "description": "Further dataset that losses and scores are of: a dataset of the catalog, or NAME:SPLIT.",
            "type": "string",
        },
        "scored_classes": {
            "description": "Labels that macro and weighted F1 are of, as all but one that most texts have (null: all). Losses "
            "and accuracies are of all texts.",
            "type": ["array", "null"],
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string"},
            "default": None,
            "added": True,
        },
        "head_dropout": {
            "description": "Dropout before the layers of the head (null: that of the base's config).",
            "type": ["number", "null"],
            "minimum": 0,
            "exclusiveMaximum": 1,
            "default": None,
            "added": True,
        },
        "head_initialization": {
            "description": "Initial weights of the head: as transformers draws them (normal), or as torch draws those of any "
            "linear layer (uniform, biases too).",
            "enum": "HEAD_INITIALIZATIONS",
            "default": "transformers",
            "added": True,
        },
    },
}
HEAD_INITIALIZATIONS = ("transformers", "torch")
TEXTS_IN_AN_EVALUATION = 32

# Token ids of a text and the number of its class.
Example = tuple[list[int], int]


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `fine_tune_classifier` on the datasets' texts and labels."""
    read = {
        key: read_labelled(texts["entry"], task.files[key], **draw(task, key))
        for key, texts in task.settings["texts"].items()
    }
    return fine_tune_classifier(read["dataset"], read["validation"], read.get("test"), **arguments(task))


def fine_tune_classifier(
    train: LabelledTexts,
    validation: LabelledTexts,
    test: LabelledTexts | None,
    base_folder: str | Path,
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    max_length: int,
    seed: int,
    loading: Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    lora: Mapping[str, Any] | None = None,
    scored_classes: Collection[str] | None = None,
    head_dropout: float | None = None,
    head_initialization: str = "transformers",
    **settings: Any,
) -> pa.Table:
    """Fine-tune the model of `base_folder` to tell the labels of texts, and save checkpoints as `fine_tune` does.

    What is trained is the base without its own head, under a new one (see `new_classifier`). Each text is a sequence, with
    the special tokens that the tokenizer adds, cut to `max_length` tokens and padded on the right. A tokenizer without a
    padding token, as decoders have, pads with its end-of-text token.

    Parameters
    ----------
    train, validation, test
        The classes are the labels of `train` in alphabetical order; a checkpoint's config names them (`id2label`).
    loading, tokenizer_options
        How `load_model` (`BASE_OPTIONS` of it) and `load_tokenizer` load the base and its tokenizer.
    lora
        As in `fine_tune`. The head, BERT's pooler included, is trained as a whole and saved with the adapter.
    scored_classes
        Labels that the F1 scores are of; None for those that occur or are predicted.
    head_dropout, head_initialization
        As in `new_classifier`.
    settings
        What else `fine_tune` takes: identity, checkpoints, steps or epochs, learning_rate …

    Returns a table step int64 | metric string | value float64. For each split of train, validation and test it has
    `{split}_loss` (mean nats per text), `{split}_accuracy`, `{split}_macro_f1` and `{split}_weighted_f1` (scikit-learn's
    f1_score over `scored_classes`: their mean, and their mean by the number of their texts; 0 where it is undefined). The
    training texts that are evaluated are as many as those of validation, drawn once.

    Raises ValueError if there are fewer than two classes, if a scored one is none of them, if validation or test has a label
    that train has not, if a split has no text, if texts do not fit the model, and as `new_classifier`, `load_tokenizer` and
    `fine_tune` do.
    """
    classes = _classes(train, {"validation": validation, "test": test})
    scored = _places_of(scored_classes, classes)
    tokenizer = load_tokenizer(tokenizer_folder, **(tokenizer_options or {}))
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ValueError(
                f"The tokenizer {tokenizer_folder} has neither a padding nor an end-of-text token, so texts of several "
                "lengths do not fit in one batch; take another."
            )
        tokenizer.pad_token = tokenizer.eos_token
    examples = {
        split: _examples(texts, tokenizer, classes, max_length)
        for split, texts in (("train", train), ("validation", validation), ("test", test))
        if texts is not None
    }
    model = new_classifier(
        base_folder,
        classes,
        pad_token_id=tokenizer.pad_token_id,
        seed=seed,
        head_dropout=head_dropout,
        head_initialization=head_initialization,
        **(loading or {}),
    )
    pad = PaddedTexts(tokenizer, None)
    check_rows_fit(model, [row for split in examples.values() for row, _ in split], pad, base_folder, tokenizer_folder)

    def collate(batch: Sequence[Example]) -> Batch:
        rows, labels = zip(*batch, strict=True)
        return pad(rows) | {"labels": torch.tensor(labels)}

    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(train.texts))[: len(validation.texts)]
    evaluated = examples | {"train": [examples["train"][place] for place in drawn]}

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        return {
            f"{split}_{metric}": value
            for split, of_split in evaluated.items()
            for metric, value in classification_metrics(model, of_split, collate, scored).items()
        }

    return fine_tune(
        model,
        tokenizer,
        examples["train"],
        collate,
        evaluate,
        output_folder,
        lora=None if lora is None else {**lora, "modules_to_save": _head(model)},
        seed=seed,
        **settings,
    )


def new_classifier(
    base_folder: str | Path,
    classes: Sequence[str],
    *,
    pad_token_id: int,
    seed: int,
    head_dropout: float | None = None,
    head_initialization: str = "transformers",
    **loading: Any,
) -> PreTrainedModel:
    """A float32 classifier with the weights of a base and the head that transformers gives its family.

    BERT's head is a linear layer on the state of the first token, behind the pooler, which is new too if the base has none;
    RoBERTa's has two layers; a decoder's is a linear layer on the state of the last token. Heads are always new, also where the
    base is a classifier, and drawn from `seed` alone; torch's random numbers outside are left as they were.

    head_dropout: of the head's inputs; of a head of several layers, before each of them. None: what the base's config says.
    head_initialization: "transformers" draws the head's weights from a normal distribution and sets biases to zero; "torch"
        draws both as any new linear layer has them, uniform within ±1/√inputs.
    loading: how `load_model` loads the base.

    Raises ValueError if the family has no classifier, or none with dropout before its head, which head_dropout needs, if
    head_initialization is not known, and as `load_model` does.
    """
    if head_initialization not in HEAD_INITIALIZATIONS:
        raise ValueError(
            f"head_initialization: {head_initialization!r} is not known; choose one of {', '.join(HEAD_INITIALIZATIONS)}."
        )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        base = load_model(base_folder, kind="encoder", dtype="float32", **loading)
        config = copy.deepcopy(base.config)
        config.id2label = dict(enumerate(classes))
        config.label2id = {label: place for place, label in enumerate(classes)}
        config.problem_type = "single_label_classification"
        config.pad_token_id = pad_token_id
        config.use_cache = False
        try:
            model = AutoModelForSequenceClassification.from_config(
                config,
                dtype=torch.float32,
                attn_implementation=loading.get("attention"),
                trust_remote_code=loading.get("trust_remote_code", False),
            )
        except ValueError as error:
            raise ValueError(
                f"{base_folder}, of model_type {config.model_type!r}, has no classifier in transformers; take another base."
            ) from error
        # Some families' classifiers leave out the pooler that their base has.
        missing = model.base_model.load_state_dict(base.state_dict(), strict=False).missing_keys
        if head_initialization == "torch":
            for module in _beside_base(model):
                if isinstance(module, torch.nn.Linear):
                    module.reset_parameters()
    if missing:
        raise ValueError(
            f"{base_folder}: its classifier in transformers has {len(missing)} weights that the base has not, as "
            f"{missing[0]}; take another base."
        )
    if head_dropout is not None:
        _set_head_dropout(model, head_dropout)
    return model


def _set_head_dropout(model: PreTrainedModel, share: float) -> None:
    dropouts = [module for module in _beside_base(model) if isinstance(module, torch.nn.Dropout)]
    if not dropouts:
        raise ValueError(
            f"head_dropout: the classifier that transformers has for model_type {model.config.model_type!r} has no dropout "
            "before its head; remove this key, or take another base."
        )
    for dropout in dropouts:
        dropout.p = share


def classification_metrics(
    model: torch.nn.Module,
    examples: Sequence[Example],
    collate: Callable[[Sequence[Example]], Batch],
    scored: Sequence[int] | None = None,
) -> dict[str, float]:
    """`loss` (mean nats per text), `accuracy`, `macro_f1` and `weighted_f1` of a model in evaluation mode.

    scored: numbers of the classes that F1 scores are of; None for those that occur or are predicted.
    """
    device = next(model.parameters()).device
    by_length = sorted(examples, key=lambda example: len(example[0]))
    scores, labels = [], torch.tensor([label for _, label in by_length])
    with torch.no_grad():
        for first in range(0, len(by_length), TEXTS_IN_AN_EVALUATION):
            batch = collate(by_length[first : first + TEXTS_IN_AN_EVALUATION])
            inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
            scores.append(model(**inputs).logits.double().cpu())
    logits = torch.cat(scores)
    predicted = logits.argmax(1)
    return {
        "loss": cross_entropy(logits, labels).item(),
        "accuracy": (predicted == labels).double().mean().item(),
        **{
            f"{average}_f1": float(
                f1_score(labels.numpy(), predicted.numpy(), labels=scored, average=average, zero_division=0)
            )
            for average in ("macro", "weighted")
        },
    }


def _classes(train: LabelledTexts, others: Mapping[str, LabelledTexts | None]) -> list[str]:
    for split, of_split in {"train": train, **others}.items():
        if of_split is not None and not of_split.texts:
            raise ValueError(f"{split}: there is no text; take a dataset or split with texts.")
    classes = sorted(set(train.labels))
    if len(classes) < 2:
        raise ValueError(
            f"train: all texts have the label {classes[0]!r}. A classifier needs two or more; mend label_column or "
            "label_pattern, or take more texts."
        )
    for split, of_split in others.items():
        if of_split is not None and (unseen := sorted(set(of_split.labels) - set(classes))):
            raise ValueError(
                f"{split}: its labels {', '.join(map(repr, unseen))} are not among those of the training texts, "
                f"{', '.join(map(repr, classes))}. Take splits of one dataset, or more training texts."
            )
    return classes


def _places_of(scored: Collection[str] | None, classes: Sequence[str]) -> list[int] | None:
    if scored is None:
        return None
    if unknown := sorted(set(scored) - set(classes)):
        raise ValueError(
            f"scored_classes: {', '.join(map(repr, unknown))} {'is no label' if len(unknown) == 1 else 'are no labels'} of the "
            f"training texts; they have {', '.join(map(repr, classes))}."
        )
    return [place for place, label in enumerate(classes) if label in scored]


def _examples(
    texts: LabelledTexts, tokenizer: PreTrainedTokenizerBase, classes: Sequence[str], max_length: int
) -> list[Example]:
    shortest = tokenizer.num_special_tokens_to_add() + 1
    if max_length < shortest:
        raise ValueError(f"max_length: {max_length} is too short; this tokenizer needs {shortest} at least.")
    with quiet_transformers():
        rows = tokenizer(texts.texts, truncation=True, max_length=max_length)["input_ids"]
    if empty := [text for text, row in zip(texts.texts, rows, strict=True) if not row]:
        raise ValueError(f"The text {empty[0]!r} has no token; leave it out of the dataset, as by 'drop_prefixes'.")
    number = {label: place for place, label in enumerate(classes)}
    return [(row, number[label]) for row, label in zip(rows, texts.labels, strict=True)]


def _beside_base(model: PreTrainedModel) -> Iterator[torch.nn.Module]:
    """The modules of a classifier that are not its base's."""
    for child in model.children():
        if child is not model.base_model:
            yield from child.modules()


def _head(model: PreTrainedModel) -> list[str]:
    """Names of the modules that no pretraining knows: what stands beside the base, and BERT's pooler."""
    beside = [
        name
        for name, module in model.named_children()
        if module is not model.base_model and next(module.parameters(), None) is not None
    ]
    return beside + [name for name, _ in model.base_model.named_children() if name == "pooler"]
