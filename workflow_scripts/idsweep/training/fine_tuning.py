"""Fine-tuning of a loaded model by transformers' Trainer, whole or as a LoRA adapter, saved at chosen steps or epochs."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from idsweep.files.atomic import whole_or_nothing
from idsweep.machine.progress import Progress
from idsweep.models.quiet import quiet_transformers
from idsweep.training.adamw import UncorrectedAdamW
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.metrics import METRICS
from idsweep.training.unfinished import Unfinished

CHOOSE = ("random", "first", "shuffled")  # of `data.corpora`
# Keys that trainings from a base share.
KEYS = {
    "dataset": {"description": "What is trained on: a dataset of the catalog, or NAME:SPLIT.", "type": "string"},
    "validation": {
        "description": "What the validation loss is of: a dataset of the catalog, or NAME:SPLIT.",
        "type": "string",
    },
    "sequences": {
        "description": "Number of sequences to train on (null takes all).",
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
    },
    "choose": {
        "description": "Whether those sequences are drawn at random, are the first ones, or the first ones after the library "
        "`datasets` has shuffled them (shuffled).",
        "enum": "CHOOSE",
        "default": "random",
        "added": True,
    },
    "draw_seed": {
        "description": "Seed of that draw (null: `seed`).",
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 2147483647,
        "default": None,
        "added": True,
    },
    "evaluated": {
        "description": "Number of texts of `validation` (and `test`) that losses and scores are of, drawn at random by the seed "
        "of the draw (null: all).",
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "added": True,
    },
    "max_length": {
        "description": "Tokens that a sequence is cut to, special tokens included.",
        "type": "integer",
        "minimum": 2,
    },
    "steps": {
        "description": "Training steps (updates of the weights); checkpoints are then step{…}. Give either steps or epochs.",
        "type": "integer",
        "minimum": 1,
    },
    "epochs": {
        "description": "Passes over the sequences; checkpoints are then epoch{…}, and epochs take the place of steps in "
        "tables.",
        "type": "integer",
        "minimum": 1,
    },
    "batch_size": {
        "description": "Sequences in one batch.",
        "type": "integer",
        "minimum": 1,
        "maximum": 1000000,
        "default": 8,
    },
    "gradient_accumulation": {
        "description": "Batches in one step.",
        "type": "integer",
        "minimum": 1,
        "default": 1,
    },
    "learning_rate": {
        "description": "Highest learning rate, of AdamW.",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.00005,
    },
    "schedule": {
        "description": "Course of the learning rate after the warm-up, by transformers' name.",
        "enum": "SCHEDULES",
        "default": "linear",
    },
    "warmup_steps": {
        "description": "Steps of linear warm-up, none with schedule constant.",
        "type": "integer",
        "minimum": 0,
        "default": 0,
    },
    "weight_decay": {
        "description": "Decoupled weight decay, of AdamW.",
        "type": "number",
        "minimum": 0,
        "default": 0.01,
    },
    "bias_correction": {
        "description": "Whether AdamW corrects its moments for beginning at zero; false is what BERT was trained with.",
        "type": "boolean",
        "default": True,
        "added": True,
    },
    "order": {
        "description": "Order of the sequences: shuffled anew for each epoch, or once, the same for all.",
        "enum": "ORDERS",
        "default": "anew",
        "added": True,
    },
    "precision": {
        "description": "Floating-point type of the forward and backward pass; float16 needs a GPU. Weights stay float32.",
        "enum": "PRECISIONS",
        "default": "float32",
    },
    "gradient_clipping": {
        "description": "Largest norm of the gradient.",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.0,
    },
    "seed": {
        "description": "Seed of the sequences' order, masks, dropout and new weights, and of their draw without draw_seed.",
        "type": "integer",
        "minimum": 0,
        "maximum": 2147483647,
        "default": 0,
    },
    "freeze": {
        "description": 'Patterns of names of weights that are not trained; not with lora; as "*embeddings*" or '
        '"*layer.[0-3].*".',
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "string", "minLength": 1},
        "default": [],
    },
    "lora": {
        "description": "Train low-rank updates of matrices instead of the weights (Hu et al. 2021); checkpoints are then "
        "adapters.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "rank": {"description": "Rank of the updates.", "type": "integer", "minimum": 1, "default": 16},
            "alpha": {
                "description": "Scale of the updates, divided by the rank (rank-stabilized: by its root).",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 32,
            },
            "dropout": {
                "description": "Dropout before the updates.",
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.01,
            },
            "rank_stabilized": {
                "description": "Divide by the root of the rank (Kalajdzievski 2023).",
                "type": "boolean",
                "default": True,
            },
            "target_modules": {
                "description": "Ends of the names of the modules that are updated (null: peft's choice for the "
                "architecture).",
                "type": ["array", "null"],
                "minItems": 1,
                "items": {"type": "string"},
                "default": None,
            },
        },
    },
}
logger = logging.getLogger(__name__)

NOT_PREDICTED = -100
ORDERS = ("anew", "same")
PRECISIONS = ("float32", "bfloat16", "float16")
# Those of transformers that need neither an evaluation nor settings of their own.
SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
NEEDED_LORA_KEYS = ("rank", "alpha", "dropout", "rank_stabilized")
LORA_KEYS = (*NEEDED_LORA_KEYS, "target_modules", "modules_to_save")
# Options of `load_model` that a base brings along: of training itself are the kind, and weights in float32.
BASE_OPTIONS = ("layers", "attention", "prefix", "trust_remote_code")
REGULAR_EVALUATIONS = 8
METRICS_OF_STATE = "metrics.json"
WEIGHTS_OF_STATE = "pytorch_model.bin"  # the name under which the Trainer looks for them

Examples = Sequence[Mapping[str, Any]]
Batch = dict[str, torch.Tensor]


def fine_tune(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train_dataset: Examples,
    collator: Callable[[list[Any]], Batch],
    evaluate: Callable[[torch.nn.Module], Mapping[str, float]],
    output_folder: str | Path,
    *,
    identity: str,
    checkpoints: Collection[int],
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int,
    gradient_accumulation: int,
    learning_rate: float,
    schedule: str,
    warmup_steps: int,
    weight_decay: float,
    precision: str,
    gradient_clipping: float,
    lora: Mapping[str, Any] | None = None,
    freeze: Collection[str] = (),
    seed: int,
    device: str,
    base_name: str,
    bias_correction: bool = True,
    order: str = "anew",
    adam_epsilon: float = 1e-8,
    objective: Callable[[torch.nn.Module, Batch], torch.Tensor] | None = None,
    save: Callable[[torch.nn.Module, Path], None] | None = None,
) -> pa.Table:
    """Train a model further and save each of `checkpoints` as a folder `step{n}`, or `epoch{n}`, of `output_folder`.

    AdamW (betas 0.9 and 0.999) that decays neither biases nor normalisations. What is minimised is the mean
    cross-entropy over all labels of an update, however many batches it is made of, or the sum of what `objective` says of them.

    Parameters
    ----------
    model
        In float32. It is changed. Parameters that need no gradient are left as they are.
    train_dataset
        Examples by number; in which order epochs take them, `order` says.
    collator
        Examples -> the model's inputs and `labels`, int64, shaped as the logits without their last dimension: what is
        to be predicted at each place, `NOT_PREDICTED` where nothing is. Labels are not shifted. Where it draws random
        numbers they are torch's.
    evaluate
        The model, on the device and with dropout off -> metrics. It is called at 0, at every checkpoint, and at each epoch
        or eighth of the steps.
    identity
        What shapes the training. A training that was killed goes on from its last state, which is kept beside
        `output_folder` at every checkpoint and every minute, if it was started with the same `identity`.
    checkpoints
        Steps with `steps`, epochs with `epochs`; 0 is the model before any training.
    steps, epochs
        How long to train; exactly one of them. A step is one update; an epoch's last update may be of fewer examples.
    batch_size, gradient_accumulation
        Examples that pass the model at once, and the number of such batches in one update.
    learning_rate, schedule, warmup_steps
        The highest learning rate and its course, one of `SCHEDULES`, over all updates.
    precision
        One of `PRECISIONS`, of the forward and backward pass; weights and optimizer stay in float32.
    gradient_clipping
        Largest norm of the gradient; 0 for no bound.
    lora
        None trains the whole model. Otherwise a low-rank update of some matrices is trained and all else frozen (Hu et
        al. 2021): `rank`, `alpha`, `dropout`, `rank_stabilized` (scaled by alpha / √rank, not alpha / rank),
        `target_modules` (names of modules; without it, what PEFT has for the architecture), `modules_to_save` (modules
        that are trained as a whole and saved with the adapter, as a new head). Checkpoints are then PEFT adapters.
    freeze
        Patterns, as `*embeddings*` or `encoder.layer.[0-3].*`, of names of parameters that are not trained.
    base_name
        The name that adapters give their base.
    bias_correction
        False: the moments of AdamW are not corrected for beginning at zero (`UncorrectedAdamW`).
    order
        "anew": each epoch takes the examples in an order of its own. "same": all epochs take them in one order. Both are
        drawn from `seed`.
    adam_epsilon
        AdamW's term against division by zero.
    objective
        The model and the inputs of a batch, on the device -> what is minimised, a scalar. Batches need no `labels` then.
    save
        Writes a checkpoint of the model to a folder. None: a whole model folder with its tokenizer, or the adapter.

    Returns a table step int64 | metric string | value float64, in which `step` counts epochs where `checkpoints` does.

    On a CPU deterministic for a given seed and number of threads, also when it was killed meanwhile.

    Raises ValueError if a checkpoint lies outside the training, steps and epochs are both given or both missing, an option
    is not known, a pattern of `freeze` matches nothing or nothing is left to train, PEFT cannot adapt the model, there are
    no examples, the precision needs another device, or a loss or metric is no longer finite.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"steps: {steps}, epochs: {epochs}. Give exactly one of the two.")
    unit, length = ("step", steps) if epochs is None else ("epoch", epochs)
    numbers = sorted(set(checkpoints))
    if not numbers or numbers[0] < 0 or numbers[-1] > length:
        raise ValueError(f"checkpoints: {numbers} must be {unit}s from 0 to {length}, at least one.")
    _check_options(precision, schedule, warmup_steps, order, device)
    if not len(train_dataset):
        raise ValueError("The training data is empty: there is nothing to fine-tune on. Give it at least one example.")
    if lora is not None:
        if freeze:
            raise ValueError("freeze: with lora all of the base is frozen; leave freeze out, or lora.")
        _seed(seed, 0, 0)
        model = _with_adapter(model, lora, base_name)
    _freeze(model, freeze)
    if save is None:
        save = _save_adapter if lora is not None else _whole_model(tokenizer)

    batches_in_epoch = math.ceil(len(train_dataset) / batch_size)
    updates_in_epoch = math.ceil(batches_in_epoch / gradient_accumulation)
    updates_in_unit = 1 if epochs is None else updates_in_epoch
    between_evaluations = max(1, steps // REGULAR_EVALUATIONS) if epochs is None else 1
    evaluated = {*numbers, *range(0, length + 1, between_evaluations), length}

    with Unfinished(output_folder, identity) as unfinished:
        done, state = unfinished.kept() or (0, None)
        epochs_done, updates_since = divmod(done, updates_in_epoch)
        batches_done = epochs_done * batches_in_epoch + updates_since * gradient_accumulation
        with quiet_transformers(), warnings.catch_warnings():
            # accelerate and peft ask others for what will have another name
            warnings.simplefilter("ignore", FutureWarning)
            arguments = TrainingArguments(
                output_dir=str(unfinished.scratch),
                max_steps=length * updates_in_unit,
                per_device_train_batch_size=batch_size,
                gradient_accumulation_steps=gradient_accumulation,
                learning_rate=learning_rate,
                lr_scheduler_type=schedule,
                warmup_steps=warmup_steps,
                weight_decay=weight_decay,
                adam_epsilon=adam_epsilon,
                max_grad_norm=gradient_clipping,
                bf16=precision == "bfloat16",
                fp16=precision == "float16",
                seed=seed,
                data_seed=seed,
                use_cpu=device == "cpu",
                dataloader_pin_memory=device != "cpu",
                remove_unused_columns=False,
                logging_nan_inf_filter=False,
                eval_strategy="no",
                save_strategy="no",
                logging_strategy="no",
                log_level="error",
                report_to="none",
                disable_tqdm=True,
            )
            if arguments.n_gpu > 1:
                arguments._n_gpu = 1  # otherwise the Trainer divides each batch among all GPUs that it sees
            recorder = _Recorder(
                unfinished,
                evaluate=evaluate,
                save=save,
                unit=unit,
                updates_in_unit=updates_in_unit,
                saved=set(numbers),
                evaluated=evaluated,
                metrics=[] if state is None else json.loads((state / METRICS_OF_STATE).read_text(encoding="utf-8")),
                advice=f"learning_rate: {learning_rate} is too high",
                seed=seed,
            )
            trainer = _Trainer(
                model=model,
                args=arguments,
                train_dataset=train_dataset,
                data_collator=_SeededCollator(collator, seed, batches_done),
                callbacks=[recorder],
                optimizer_cls_and_kwargs=None
                if bias_correction
                else (UncorrectedAdamW, {"lr": learning_rate, "eps": adam_epsilon}),
                places=_places_in_order(len(train_dataset), seed) if order == "same" else None,
                objective=objective,
            )
            trainer.remove_callback(PrinterCallback)
            logger.info(
                "%s: %d of %d parameters are trained on %d examples, %d updates of %d.%s",
                type(model).__name__,
                sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
                sum(parameter.numel() for parameter in model.parameters()),
                len(train_dataset),
                arguments.max_steps,
                batch_size * gradient_accumulation,
                "" if state is None else f" Going on from step {done}.",
            )
            with nullcontext() if state is None else unfinished.readable(state):
                trainer.train(resume_from_checkpoint=None if state is None else str(state))
        unfinished.finish()
    return pa.Table.from_pylist(recorder.metrics, schema=METRICS)


def total_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats, summed over labels int64 (...) other than `NOT_PREDICTED`; logits are (..., classes)."""
    scores = logits.float().reshape(-1, logits.shape[-1])
    return cross_entropy(scores, labels.to(scores.device).reshape(-1), ignore_index=NOT_PREDICTED, reduction="sum")


def count_labels(labels: torch.Tensor) -> int:
    """How many labels are to be predicted."""
    return int((labels != NOT_PREDICTED).sum())


class _Trainer(Trainer):
    """The mean loss over all labels of an update: models' own losses are means over each batch with some families.

    Or, with an objective, the sum over its batches.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        places: Sequence[int] | None,
        objective: Callable[[torch.nn.Module, Batch], torch.Tensor] | None,
        **settings: Any,
    ) -> None:
        """places: of the examples in the order of all epochs; None for an order that each epoch draws."""
        super().__init__(**settings)
        self._places, self._objective = places, objective

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return super()._get_train_sampler(train_dataset) if self._places is None else self._places

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], int]:
        batches = list(islice(epoch_iterator, num_batches))
        if self._objective is not None:
            return batches, len(batches)
        return batches, sum(count_labels(batch["labels"]) for batch in batches)

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: int | None = None
    ) -> Any:
        if self._objective is not None:
            return self._objective(model, inputs)
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        number = count_labels(labels) if num_items_in_batch is None else num_items_in_batch
        loss = total_loss(outputs.logits, labels) / max(1, number)
        return (loss, outputs) if return_outputs else loss

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise _not_finite(
                f"learning_rate: {self.args.learning_rate} is too high",
                "step",
                self.state.global_step + 1,
                "loss",
                loss.item(),
            )
        return loss

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """What training changes, under the names in memory: files for others may have other names, and adapters' heads."""
        weights = {
            name: tensor
            for name, tensor in self.model.state_dict(keep_vars=True).items()
            if tensor.requires_grad or not isinstance(tensor, torch.nn.Parameter)
        }
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        torch.save({name: tensor.detach() for name, tensor in weights.items()}, Path(output_dir) / WEIGHTS_OF_STATE)


class _Recorder(TrainerCallback):
    """Saves checkpoints, metrics and states while the Trainer trains, and seeds each update."""

    def __init__(
        self,
        unfinished: Unfinished,
        *,
        evaluate: Callable[[torch.nn.Module], Mapping[str, float]],
        save: Callable[[torch.nn.Module, Path], None],
        unit: str,
        updates_in_unit: int,
        saved: set[int],
        evaluated: set[int],
        metrics: list[dict[str, Any]],
        advice: str,
        seed: int,
    ) -> None:
        self.metrics = metrics
        self._unfinished, self._evaluate, self._save = unfinished, evaluate, save
        self._unit, self._updates_in_unit = unit, updates_in_unit
        self._saved, self._evaluated = saved, evaluated
        self._advice, self._seed = advice, seed

    def on_train_begin(self, args, state, control, **kwargs):
        self._progress = Progress("fine-tuning", state.max_steps, "steps")
        if state.global_step == 0:
            self._record(0, kwargs["model"])

    def on_step_begin(self, args, state, control, **kwargs):
        # Dropout of a step depends on nothing before it, so that a training can go on anywhere.
        _seed(self._seed, 1, state.global_step + 1)

    def on_step_end(self, args, state, control, **kwargs):
        step = state.global_step
        number, between = divmod(step, self._updates_in_unit)
        if between == 0:
            self._record(number, kwargs["model"])
        # After the last step nothing is left but to rename a folder.
        control.should_save = step < state.max_steps and (
            (between == 0 and number in self._saved) or self._unfinished.due
        )
        last = next((row["value"] for row in reversed(self.metrics) if row["metric"] == "validation_loss"), None)
        self._progress.report(step, "" if last is None else f"validation loss {last:.3f}")

    def on_save(self, args, state, control, **kwargs):
        """Make what the Trainer has written the state to go on from: all of it or the last."""
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (written / METRICS_OF_STATE).write_text(json.dumps(self.metrics), encoding="utf-8")
        self._unfinished.keep(written, state.global_step)

    def _record(self, number: int, model: torch.nn.Module) -> None:
        if number in self._saved:
            self._save(model, self._unfinished.checkpoints / f"{self._unit}{number}")
        if number in self._evaluated:
            model.eval()
            with torch.no_grad():
                found = self._evaluate(model)
            model.train()
            for metric, value in found.items():
                if not math.isfinite(value):
                    raise _not_finite(self._advice, self._unit, number, metric, value)
                self.metrics.append({"step": number, "metric": metric, "value": float(value)})


class _SeededCollator:
    """A collator whose random numbers depend on the number of the batch alone; batches come in their order."""

    def __init__(self, collator: Callable[[list[Any]], Batch], seed: int, first: int) -> None:
        self._collator, self._seed, self._number = collator, seed, first

    def __call__(self, examples: list[Any]) -> Batch:
        _seed(self._seed, 2, self._number)
        self._number += 1
        return self._collator(examples)


def _places_in_order(number: int, seed: int) -> list[int]:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 3]))).permutation(number).tolist()


def _seed(seed: int, purpose: int, number: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)[0]))


def _check_options(precision: str, schedule: str, warmup_steps: int, order: str, device: str) -> None:
    enums = {"precision": (precision, PRECISIONS), "schedule": (schedule, SCHEDULES), "order": (order, ORDERS)}
    for key, (value, known) in enums.items():
        if value not in known:
            raise ValueError(f"{key}: {value!r} is not known; choose one of {', '.join(known)}.")
    if precision == "float16" and not device.startswith("cuda"):
        raise ValueError(
            f"precision: float16 needs a CUDA device, and this training runs on {device}. Set precision to bfloat16 or "
            "float32, or compute.device to cuda where there is a GPU."
        )
    if schedule == "constant" and warmup_steps:
        raise ValueError(
            f"warmup_steps: {warmup_steps}, but the schedule 'constant' has no warm-up; take 'constant_with_warmup'."
        )


def _with_adapter(model: PreTrainedModel, lora: Mapping[str, Any], base_name: str) -> PeftModel:
    if unknown := [key for key in lora if key not in LORA_KEYS]:
        raise ValueError(f"lora: {unknown[0]!r} is not known; it has {', '.join(LORA_KEYS)}.")
    if missing := [key for key in NEEDED_LORA_KEYS if key not in lora]:
        raise ValueError(f"lora: {missing[0]} is missing; it needs {', '.join(NEEDED_LORA_KEYS)}.")
    targets = lora.get("target_modules")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PEFT mends by itself
            adapted = get_peft_model(
                model,
                LoraConfig(
                    r=lora["rank"],
                    lora_alpha=lora["alpha"],
                    lora_dropout=lora["dropout"],
                    use_rslora=lora["rank_stabilized"],
                    target_modules=None if targets is None else list(targets),
                    modules_to_save=lora.get("modules_to_save"),
                ),
            )
    except (TypeError, ValueError) as error:
        names = sorted({name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "weight")})
        raise ValueError(
            f"lora: PEFT cannot adapt {type(model).__name__}: {error} Give target_modules some of the names of its modules "
            f"with weights: {', '.join(names)}."
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = base_name
    return adapted


def _freeze(model: torch.nn.Module, patterns: Collection[str]) -> None:
    # Tied weights have several names, each of which may be meant.
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        matching = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matching:
            some = ", ".join(list(parameters)[:: max(1, len(parameters) // 6)])
            raise ValueError(f"freeze: {pattern!r} matches no parameter; their names are like {some}.")
        for name in matching:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ValueError(f"freeze: {list(patterns)} leaves nothing to train; freeze less.")


def _whole_model(tokenizer: PreTrainedTokenizerBase) -> Callable[[torch.nn.Module, Path], None]:
    def save(model: PreTrainedModel, folder: Path) -> None:
        save_checkpoint(model, tokenizer, folder)

    return save


def _save_adapter(model: PeftModel, folder: Path) -> None:
    with whole_or_nothing(folder) as unfinished:
        # Otherwise PEFT asks the hub whether the base's vocabulary is another.
        model.save_pretrained(unfinished, save_embedding_layers=False)
        (unfinished / "README.md").unlink(missing_ok=True)  # a model card to be filled in


def _not_finite(advice: str, unit: str, number: int, what: str, value: float) -> ValueError:
    return ValueError(
        f"{advice}: at {unit} {number} the {what} is {value}. Lower it, raise warmup_steps, or, with precision float16, take "
        "bfloat16 or float32."
    )
