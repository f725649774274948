"""From a sweep's tables, estimates and tokens to its explorer page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from scipy import stats

from idsweep.drawing.estimator_names import estimator_name
from idsweep.explorer.maps import MapFile, count_values, describe_maps, leave_out
from idsweep.explorer.metrics import describe_events, describe_metrics, describe_published
from idsweep.explorer.points import (
    MOST_VALUES,
    Sampled,
    choose_points,
    describe_measures,
    describe_points,
    leave_out_absent,
)
from idsweep.explorer.series import describe_models, describe_series
from idsweep.explorer.texts import describe_tokens
from idsweep.files.parquet import read_table
from idsweep.files.representations import VOCABULARY
from idsweep.neighbors.variants import DATA
from idsweep.pages.packing import pack
from idsweep.pages.page import write_page

CONFIDENCE = 0.95
WEB = Path(__file__).with_name("web")
# In the order in which they are read; each uses what stands before it.
SCRIPTS = (
    "unpack",
    "safe_text",
    "focus",
    "numbers",
    "controls",
    "statistics",
    "colours",
    "state",
    "measured",
    "downloads",
    "drawing",
    "heatmap",
    "curves",
    "profiles",
    "distribution",
    "coloured",
    "selection",
    "map",
    "tokens",
    "main",
)
VENDORED = ("uPlot.iife.min.js", "uPlot.min.css")


class Pass(NamedTuple):
    """The tokens that models of one tokenizer are measured at, and what they predict there.

    predictions: model, checkpoint and file of predictions.
    """

    models: tuple[str, ...]
    dataset: str
    tokens: str
    sequences: str | None
    predictions: tuple[tuple[str, str, str], ...]


def join_passes(
    described: Iterable[Mapping[str, Any]],
    predicted: Iterable[Mapping[str, str]],
    *,
    tokens: Iterable[str],
    sequences: Iterable[str],
    predictions: Iterable[str],
) -> list[Pass]:
    """Passes with the files that belong to them.

    described: models and dataset of each pass, in the order of the files of `tokens`, and of `sequences`, which a vocabulary has none of.
    predicted: model, checkpoint and dataset of each file of `predictions`.
    """
    of_pass: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for one, file in zip(predicted, predictions, strict=True):
        of_pass.setdefault((one["model"], one["dataset"]), []).append((one["model"], one["checkpoint"], file))
    texts = iter(sequences)
    return [
        Pass(
            tuple(one["models"]),
            one["dataset"],
            file,
            None if one["dataset"] == VOCABULARY else next(texts),
            tuple(found for model in one["models"] for found in of_pass.get((model, one["dataset"]), ())),
        )
        for one, file in zip(described, tokens, strict=True)
    ]


def write_explorer(
    path: str | Path,
    *,
    title: str,
    tables: Mapping[str, str],
    estimates: Sequence[str],
    passes: Sequence[Pass],
    maps: Sequence[MapFile] = (),
    labels: Mapping[str, Mapping[str, str]] | None = None,
    most_values: int = MOST_VALUES,
) -> None:
    """Write the page of a sweep.

    Parameters
    ----------
    tables
        Name -> file of the sweep's tables; `local` and `global` are needed.
    estimates
        Files of estimates; only those of local values of the data matter.
    passes
        What the tokens behind these estimates are.
    maps
        Where they lie in the plane of most variance; without, the page has no map.
    labels
        Of `model` and of `dataset`: name -> what it is called in the page, where that is another.
    most_values
        Local values and coordinates that the page holds; beyond, it holds those of some of the sequences, and says so.
    """
    frames = {name: read_table(file).to_pandas() for name, file in tables.items()}
    local, global_ = frames["local"], frames["global"]
    models = describe_models(pd.concat([local, global_]))
    series = describe_series(local, global_, models)
    packs: dict[str, str] = {}
    sampled = [Sampled(read_table(one.tokens), one.sequences and read_table(one.sequences)) for one in passes]
    share = _share(local, count_values(maps), most_values)
    chosen = [choose_points(one, max(1, int(len(one.tokens) * share))) for one in sampled]
    kept = {(model, one.dataset): rows for one, rows in zip(passes, chosen, strict=True) for model in one.models}
    values = describe_points(estimates, kept, models, series)
    mapped = describe_maps(maps, kept, models)
    tokens_shown, values_shown, maps_shown = [], [], []
    for one, tokens, rows in zip(passes, sampled, chosen, strict=True):
        of_pass = {model: values[model, one.dataset] for model in one.models if (model, one.dataset) in values}
        is_part = len(rows) < len(tokens.tokens)
        stays = leave_out_absent(of_pass.values(), len(rows))
        rows = rows[stays]
        name = f"tokens-{len(tokens_shown)}"
        packs[name] = pack(describe_tokens(*tokens, rows))
        n_sequences = len(pc.unique(tokens.tokens["sequence"]))
        shown = {"models": list(one.models), "dataset": one.dataset, "pack": name, "n_sequences": n_sequences}
        tokens_shown.append(shown | {"sampled": is_part, "n_kept": len(rows)})
        for model, of_series in of_pass.items():
            described = next(described for described in models if described["name"] == model)
            checkpoints = [checkpoint["name"] for checkpoint in described["checkpoints"]]
            files = [(name, file) for other, name, file in one.predictions if other == model and name in checkpoints]
            name = f"values-{len(values_shown)}"
            packs[name] = pack({"series": of_series, "measures": describe_measures(files, rows, checkpoints)})
            values_shown.append({"model": model, "dataset": one.dataset, "pack": name})
            if of_map := mapped.get((model, one.dataset)):
                leave_out(of_map, stays)
                name = f"map-{len(maps_shown)}"
                packs[name] = pack(of_map)
                maps_shown.append({"model": model, "dataset": one.dataset, "pack": name})
    most_sequences = max((one["n_sequences"] for one in tokens_shown), default=2)
    overview = {
        "title": title,
        "labels": {"model": {}, "dataset": {}} | {kind: dict(names) for kind, names in (labels or {}).items()},
        "estimators": {one["estimator"]: estimator_name(one["estimator"]) for one in series},
        "models": models,
        "series": series,
        "metrics": describe_metrics(frames),
        "events": describe_events(frames.get("events")),
        "published": describe_published(frames.get("reference")),
        "tokens": tokens_shown,
        "values": values_shown,
        "maps": maps_shown,
        # Of Student's t by degrees of freedom: none has 0.
        "quantiles": np.array([np.nan, *stats.t.ppf((1 + CONFIDENCE) / 2, np.arange(1, most_sequences + 1))]),
    }
    packs = {"overview": pack(overview)} | packs
    write_page(path, folder=WEB, scripts=SCRIPTS, vendored=VENDORED, title=title, packs=packs)


def _share(local: pd.DataFrame, coordinates: int, most_values: int) -> float:
    """The share of local values, and of coordinates in maps, that the page has room for."""
    number = int(local.loc[local["variant"] == DATA, "n_points"].sum()) + coordinates
    return min(1.0, most_values / max(1, number))
