"""The tables that a sweep makes."""

from __future__ import annotations

from idsweep.figures import registry
from idsweep.files.representations import VOCABULARY
from idsweep.sweep import comparisons
from idsweep.sweep.sweep import Sweep


def table_names(sweep: Sweep) -> list[str]:
    """Names of the tables that are made, each as Parquet and CSV."""
    losses = any(name != VOCABULARY and sweep.has_losses(model) for model, _, name in sweep.passes())
    conditions = {
        ("local", "global"): True,
        ("training",): sweep.trained() or sweep.brought_metrics(),
        ("events", "leads", "run_leads", "correlations"): sweep.has_dynamics(),
        ("reference",): "reference" in sweep.config,
        ("losses",): losses,
        ("shifts",): comparisons.pairs(sweep),
        ("contrasts",): has_contrasts(sweep),
        ("token_groups", "token_extremes", "loss_correlations"): describes_tokens(sweep),
    }
    return [table for tables, condition in conditions.items() if condition for table in tables]


def has_contrasts(sweep: Sweep) -> bool:
    """Whether local values are compared between checkpoints or layers: where there are several, or where a figure asks for it."""
    is_local = any(item["scope"] == "local" for items in sweep.config["estimator_sets"].values() for item in items)
    are_several = any(len(model.checkpoints) > 1 or len(model.layers) > 1 for model in sweep.models.values())
    return (is_local and are_several) or any("contrasts" in registry.tables(name) for name in sweep.config["figures"])


def describes_tokens(sweep: Sweep) -> bool:
    """Whether tables of single tokens are made: where a figure shows them."""
    tables = {"token_groups", "token_extremes", "loss_correlations"}
    return any(tables & set(registry.tables(name)) for name in sweep.config["figures"])
