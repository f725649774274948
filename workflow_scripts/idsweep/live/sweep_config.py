"""The configuration of the sweep that measures saved checkpoints at the tokens of a live measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from idsweep.files.parquet import provenance
from idsweep.live.settings import Settings
from idsweep.live.table import Measurements

DATASET = "live_texts"
KINDS = ("causal", "masked", "encoder")


def written(
    settings: Settings,
    measurements: Measurements,
    tokens: Path | None,
    dtype: str,
    checkpoints: str | Path,
    kind: str,
    name: str,
) -> str:
    """YAML that `snakemake --configfile` takes.

    tokens: the file of a sweep whose tokens were measured; None where they were drawn of texts. dtype: of the
    model's weights. checkpoints: folder in which the training saved `checkpoint-STEP`, each with its tokenizer, or one with a pattern as out/epoch_*.
    kind: causal, masked or encoder. name: of the sweep and its model.

    Raises ValueError without a folder of measurements, for another kind, and for measurements of modules, which a sweep has no layers for.
    """
    if settings.modules:
        raise ValueError("sweep_config: modules were measured, and a sweep measures layers of transformers models.")
    if measurements.folder is None:
        raise ValueError("sweep_config: the texts and the curves are read from a folder; give folder= when you begin.")
    if tokens is not None and "texts" not in provenance(tokens)["settings"]:
        raise ValueError(
            f"sweep_config: {tokens} does not say of which dataset its tokens are; give texts= in place of tokens=."
        )
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is not known; choose one of {', '.join(KINDS)}.")
    where, pattern = Path(checkpoints), "checkpoint-*"
    if "*" in where.name:
        where, pattern = where.parent, where.name
    curves = {f"live_{key}": str(file.resolve()) for key, file in measurements.curves().items()}
    estimate = {"estimator": settings.estimator, "scope": "local", "n_neighbors": settings.n_neighbors}
    config: dict[str, Any] = {
        "sweep": name,
        "title": "Local dimension of saved checkpoints, beside what was measured while they were trained",
        "models": {name: {"metrics": curves} if curves else {}},
        "datasets": [DATASET],
        "layers": list(settings.layers),
        "tokens": _tokens(settings, tokens),
        "points": {"number": settings.points, "seed": settings.points_seed} | dict(settings.cloud),
        "extraction": {"layers": "measured", "losses": False, "dtype": dtype},
        "neighbors": {"number": settings.n_neighbors},
        "scales": {"halvings": 0},
        "estimator_sets": {"live": [estimate | dict(settings.parameters)]},
        "figures": {"dynamics": {"second_axis": next(iter(curves)), "steps": "linear"}} if curves else {"dynamics": {}},
        "catalog": {
            "datasets": {DATASET: _dataset(measurements, tokens)},
            "models": {name: {"path": str(where.resolve()), "kind": kind, "checkpoints": pattern}},
        },
    }
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


def _tokens(settings: Settings, file: Path | None) -> dict[str, Any]:
    if file is not None:
        return dict(provenance(file)["settings"]["tokens"])
    keys = {"number": settings.points, "max_length": settings.max_length, "select": settings.select}
    return keys | {"seed": settings.seed}


def _dataset(measurements: Measurements, tokens: Path | None) -> dict[str, Any]:
    if tokens is not None:
        return dict(provenance(tokens)["settings"]["texts"]["entry"])
    return {"loader": "json", "path": str((measurements.folder / "texts.jsonl").resolve())}
