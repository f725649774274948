"""Sweeps, complaints and graphs of jobs, as configurations make them; nothing is run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from idsweep.config.load import ConfigError, load
from idsweep.sweep.expand import expand
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.signature import Digests

from builders.project import CONFIG

NEWS: dict[str, Any] = {"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}

# Entries of the catalog.
GROKKING: dict[str, Any] = {
    "train": "grokking",
    "kind": "encoder",
    "architecture": {"model_type": "equation_decoder", "num_hidden_layers": 2},
    "training": {"dataset": "sums", "fraction": 0.5, "steps": 20, "batch_size": 8},
    "checkpoints": "step{0..20/10}",
}
SUMS = {"loader": "equations", "task": "addition", "modulus": 7}
TUNED: dict[str, Any] = {
    "train": "fine_tuned_language_model",
    "base": "tiny_neox",
    "base_checkpoint": "step512",
    "kind": "causal",
    "training": {"dataset": "film_reviews", "validation": "lee_news", "max_length": 128, "steps": 20},
    "checkpoints": "step{0..20/10}",
}
LABELLED = {
    "loader": "text",
    "package": "gensim",
    "file": "test/test_data/pang_lee_polarity.cor",
    "encoding": "latin-1",
    "label_pattern": "^__label__(\\w+)",
    "own_splits": {"train": 0.4, "validation": 0.4, "test": 0.2},
}


def loaded(given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its defaults; what is given stays as it is."""
    return load(copy.deepcopy(dict(given)), CONFIG)


def sweep_of(given: Mapping[str, Any]) -> Sweep:
    return expand(loaded(given))


def complaints_of(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with a configuration that cannot be run."""
    with pytest.raises(ConfigError) as caught:
        sweep_of(given)
    return caught.value.complaints


def of_entry(
    entry: Mapping[str, Any],
    others: Mapping[str, Any] | None = None,
    labelled: Mapping[str, Any] = LABELLED,
    **keys: Any,
) -> dict[str, Any]:
    """The configuration of a sweep over the model `mine`; others: further entries; labelled: the dataset of that name."""
    catalog = {"models": {"mine": entry, **(others or {})}, "datasets": {"labelled": labelled}}
    return NEWS | {"models": {"mine": None}, "layers": [-1], "tokens": {"max_length": 64}, "catalog": catalog} | keys


def sweep_of_entry(*given: Any, **keys: Any) -> Sweep:
    """The sweep of what `of_entry` is given."""
    return sweep_of(of_entry(*given, **keys))


def complaints_of_entry(*given: Any, **keys: Any) -> list[str]:
    """What is wrong with what `of_entry` is given."""
    return complaints_of(of_entry(*given, **keys))


def graph_of(sweep: Sweep, folder: Path) -> JobGraph:
    """The sweep's jobs with their signatures; folder: where digests of files are remembered."""
    return JobGraph(sweep, Digests(folder / "digests.jsonl"))
