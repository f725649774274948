"""A loaded checkpoint and its passes over sampled sequences: hidden states, log-probabilities and losses as files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from idsweep.extraction.forward import extract_hidden_states
from idsweep.extraction.losses import NO_LOSSES
from idsweep.extraction.shared import LONG, Pass, Plan, make_for_others
from idsweep.files.parquet import read_table, write_table
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.machine.devices import resolve
from idsweep.models.checkpoints import load_model, number_of_parameters
from idsweep.models.folders import commit_of
from idsweep.models.tokenizers import load_tokenizer, mask_token_id


class Loaded(NamedTuple):
    """A checkpoint in memory, and what its files say of it in their provenance."""

    model: nn.Module
    device: str
    facts: dict[str, Any]


def load_checkpoint(settings: Mapping[str, Any], *, weights: str, adapter: str, device: str) -> Loaded:
    """Load a checkpoint as the settings of a pass say.

    weights, adapter: folders; adapter is empty for whole checkpoints. device: auto, cpu or cuda.
    """
    resolved = resolve(device)
    base_name = settings.get("base", {}).get("hub")
    model = load_model(weights, device=resolved, adapter=adapter or None, base_name=base_name, **settings["model"])
    commits = {"commit": commit_of(weights), "adapter_commit": commit_of(adapter)}
    return Loaded(model, resolved, {"device": resolved, "n_parameters": number_of_parameters(model), **commits})


def run_pass(
    loaded: Loaded,
    one: Pass,
    outputs: Mapping[str, str | Path],
    *,
    tokenizer: str,
    padding_side: str,
    batch_tokens: int,
) -> None:
    """Run a checkpoint over the sampled sequences of one dataset and write what comes of it.

    outputs: paths of embeddings, predictions and losses. tokenizer: folder; needed where tokens are masked.
    """
    provenance, of_pass = one.begin().provenance, one.settings["pass"]
    mask = mask_token_id(load_tokenizer(tokenizer, **one.settings["mask"])) if of_pass["masked"] else None

    def facts() -> dict[str, Any]:
        return provenance(**loaded.facts)

    with EmbeddingsWriter(outputs["embeddings"], facts, one.settings["storage"]) as file:
        losses = extract_hidden_states(
            loaded.model,
            read_table(one.tokens),
            read_table(one.sequences),
            file.write,
            **of_pass,
            mask_token=mask,
            padding_side=padding_side,
            batch_tokens=batch_tokens,
            device=loaded.device,
        )
    predictions, of_sequences = losses or NO_LOSSES
    write_table(outputs["predictions"], predictions, facts())
    write_table(outputs["losses"], of_sequences, facts())


def run_passes(
    own: Pass,
    files: Mapping[str, str | Path],
    plans: Iterable[tuple[Path, Plan]],
    begin: Callable[[str, str, Mapping[str, Any]], Any],
    minutes: float,
    *,
    weights: str,
    adapter: str,
    device: str,
    **options: Any,
) -> None:
    """Load a checkpoint, make a job's own pass, and then the planned ones of other jobs that have not begun theirs.

    files: those of its own pass. plans: as of `shared.read_plans`. begin: called with a checkpoint, a dataset and its pass in
    the plan when that begins, gives what has a method `provenance`. minutes: that a scheduler gives the job, whose second half
    is left to what has begun. options: those of `run_pass`.
    """
    started = time.monotonic()
    loaded: Loaded | None = load_checkpoint(own.settings, weights=weights, adapter=adapter, device=device)
    run_pass(loaded, own, files, **options)
    for folder, plan in plans:
        others = {
            dataset: Pass(**one, begin=partial(begin, folder.name, dataset, one))
            for dataset, one in plan.passes.items()
            if one["signature"] != own.signature
        }
        _make_passes(folder, plan, others, started + minutes * 60 / 2, loaded, device, options)
        loaded = None  # before the next is loaded
        if time.monotonic() - started > LONG:
            return


def _make_passes(
    folder: Path,
    plan: Plan,
    passes: Mapping[str, Pass],
    until: float,
    loaded: Loaded | None,
    device: str,
    options: Mapping[str, Any],
) -> None:
    """Make the passes of one checkpoint that nobody has begun; it is loaded if there are any."""

    @cache
    def checkpoint() -> Loaded:
        settings = next(iter(passes.values())).settings
        return loaded or load_checkpoint(settings, weights=plan.weights, adapter=plan.adapter, device=device)

    make_for_others(folder, passes, lambda one, files: run_pass(checkpoint(), one, files, **options), plan, until)
