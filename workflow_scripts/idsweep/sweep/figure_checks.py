"""Options of figures against the sweep that they are of, before anything runs. `config` checks their names and types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from idsweep.config.load import choose, key_path, label
from idsweep.figures import registry as figures
from idsweep.sweep import comparisons
from idsweep.sweep.models import Checkpoint, Model, safe

if TYPE_CHECKING:
    from idsweep.sweep.sweep import Sweep

ACCURACIES = ("train_accuracy", "validation_accuracy")


def complaints(sweep: Sweep) -> Iterator[str]:
    """What options name that is not in the sweep, and what a figure needs that its models have not."""
    for figure, given in sweep.config["figures"].items():
        options = {key: value for key, value in (given or {}).items() if value is not None}
        allowed = figures.options(figure)
        yield from _wrong_names(sweep, figure, options, allowed)
        models = [model for model in _picked(sweep, options) if model.reads_text]
        yield from _wrong_layers(figure, options, models)
        yield from _wrong_checkpoints(figure, options, _fine_tuned(sweep, models) if figure == "shifts" else models)
        yield from _missing(sweep, figure, options | {"estimate": options.get("estimate", allowed.get("estimate"))})
        yield from _wrong_metrics(sweep, figure, options, [model for model in models if len(_steps(model)) > 1])


def shifted(sweep: Sweep, model: Model) -> list[Checkpoint]:
    """The checkpoints of a model at which the figure shifts draws its estimates: the last one, or those asked for."""
    asked = (sweep.config["figures"].get("shifts") or {}).get("checkpoints")
    if asked is None:
        return [model.last_checkpoint]
    return [held for held in model.checkpoints.values() if asked == "all" or held.name in asked or held.step in asked]


def _fine_tuned(sweep: Sweep, models: Iterable[Model]) -> list[Model]:
    """Those of the models that are compared with another."""
    names = {pair.model.name for pair in comparisons.pairs(sweep)}
    return [model for model in models if model.name in names]


def _at(figure: str, key: str) -> str:
    return key_path(["figures", figure, key])


def _missing(sweep: Sweep, figure: str, options: Mapping[str, Any]) -> Iterator[str]:
    """What a figure is about and the sweep has not."""
    at, models = key_path(["figures", figure]), sweep.models.values()
    if figure in ("losses", "perplexity") and not any(sweep.has_losses(m) and m.reads_text for m in models):
        yield (
            f"{at}: no model of this sweep predicts tokens; add a causal one, or a masked one with extraction.masked, and leave "
            "extraction.losses true"
        )
    if figure == "shifts" and not comparisons.pairs(sweep):
        yield f"{at}: no model is compared with another; measure what one was fine-tuned from, or name both in `comparisons`"
    ranked = [model.name for model in models if "training.rank" in model.varied]
    if figure == "ranks" and not ranked:
        yield f"{at}: no model of this sweep varies training.rank; add one with `train: lora_embedding` that does"
    if figure in ("ranks", "redundancy"):
        held = [name for m in models for name in (*m.matrices, *m.combinations)]
        for name in options.get("representations", ["input_embeddings"]):
            if name not in held:
                yield f"{at}: {name} is measured of no model; add it to a model's `layers` ({choose(name, dict.fromkeys(held))})"
    if figure == "ranks":
        items = [item for items in sweep.config["estimator_sets"].values() for item in items]
        estimates = sorted({label(item) for item in items if item["scope"] == "global"})
        if options["estimate"] not in estimates:
            yield f"{at}.estimate: {options['estimate']!r} is no global estimate of this sweep; {choose(options['estimate'], estimates)}"
        bases = dict.fromkeys(m.group for m in models if m.name not in ranked and "input_embeddings" in m.matrices)
        if ranked and "base" not in options and len(bases) != 1:
            held = f"there are {', '.join(bases)}" if bases else "there is none without a rank"
            yield (
                f"{at}.base: the ranks are compared with the input_embeddings of one model, and {held}; measure what was "
                "trained from, or choose one by this option"
            )
    for key in ("static", "base"):
        names = {name for model in models for name in _names(model)}
        given = options.get(key, ())
        for name in [given] if isinstance(given, str) else given:
            if safe(name) not in names:
                yield f"{at}.{key}: {name!r} is no model of this sweep; {choose(name, sweep.models)}"


def _wrong_names(sweep: Sweep, figure: str, options: Mapping[str, Any], allowed: Mapping[str, Any]) -> Iterator[str]:
    items = [item for items in sweep.config["estimator_sets"].values() for item in items]
    labels = {scope: sorted({label(item) for item in items if item["scope"] == scope}) for scope in ("local", "global")}
    names = {name for model in sweep.models.values() for name in _names(model)}
    known = {
        "models": [*sweep.config["models"], *sorted(names - sweep.config["models"].keys())],
        "datasets": sweep.config["datasets"],
        "estimators": sorted({*labels["local"], *labels["global"]}),
    }
    for key, held in known.items():
        for value in options.get(key, ()):
            if value not in held and (key != "models" or safe(value) not in names):
                yield f"{_at(figure, key)}: {value!r} is not known; {choose(value, held)}"
    estimator = options.get("estimator", allowed.get("estimator"))
    # What is varied in estimates is part of their names, and what `sensitivity` shows.
    beginnings = [name.split("-")[0] for name in labels["local"]] if figure == "sensitivity" else []
    if estimator is not None and estimator not in [*labels["local"], *beginnings]:
        yield (
            f"{_at(figure, 'estimator')}: {estimator!r} is no local estimate of this sweep; "
            f"{choose(estimator, labels['local'])}"
        )
    for pair in options.get("pairs", ()):
        for scope, value in zip(("local", "global"), pair, strict=True):
            if value not in labels[scope]:
                yield (
                    f"{_at(figure, 'pairs')}: {value!r} is no {scope} estimate of this sweep; "
                    f"{choose(value, labels[scope])}"
                )


def _names(model: Model) -> tuple[str, str, str]:
    """What options may call a model: as the entry that it is a run of, as the group of its seeds, as itself."""
    return safe(model.catalogued), model.group, model.name


def _picked(sweep: Sweep, options: Mapping[str, Any]) -> list[Model]:
    asked = {safe(name) for name in options["models"]} if "models" in options else None
    return [model for model in sweep.models.values() if asked is None or asked & set(_names(model))]


def _wrong_layers(figure: str, options: Mapping[str, Any], models: Iterable[Model]) -> Iterator[str]:
    for model in models:
        for layer in options.get("layers", ()):
            if figure == "scales":  # it counts the measured ones
                there = -len(model.layers) <= layer < 0 or layer in model.layers
            else:
                there = (layer if layer >= 0 else model.layers[-1] + 1 + layer) in model.layers
            if not there:
                held = ", ".join(map(str, model.layers))
                yield f"{_at(figure, 'layers')}: {layer} is not measured of {model.group}; measured: {held}"


def _wrong_checkpoints(figure: str, options: Mapping[str, Any], models: Sequence[Model]) -> Iterator[str]:
    checkpoints = options.get("checkpoints", "all")
    held = [checkpoint for model in models for checkpoint in model.checkpoints.values()]
    names = dict.fromkeys(checkpoint.name for checkpoint in held)
    for asked in () if checkpoints == "all" or not models else checkpoints:
        if asked not in (names if isinstance(asked, str) else {checkpoint.step for checkpoint in held}):
            yield f"{_at(figure, 'checkpoints')}: {asked!r} is not measured; {choose(asked, names)}"


def _steps(model: Model) -> set[int]:
    return {checkpoint.step for checkpoint in model.checkpoints.values() if checkpoint.step is not None}


def _wrong_metrics(sweep: Sweep, figure: str, options: Mapping[str, Any], models: Iterable[Model]) -> Iterator[str]:
    """models: those with several known steps, of which metrics are drawn."""
    held = list(dict.fromkeys(name for model in sweep.models.values() for name in model.metric_names))
    asked = [("metrics", name) for name in options.get("metrics", ())]
    asked += [(key, options[key]) for key in ("second_axis", "metric") if key in options]
    for key, name in asked:
        if name not in held:
            yield f"{_at(figure, key)}: {name!r} is no metric of this sweep; {choose(name, held)}"
            continue
        for model in models:
            if model.metric_names and name not in model.metric_names:
                yield (
                    f"{_at(figure, key)}: {model.name} has no metric {name!r}, but {', '.join(model.metric_names)}; "
                    "choose others by the option models, or bring it under `metrics:`"
                )
    for model in models if figure == "grokking" else ():
        if missing := [name for name in ACCURACIES if name not in model.metric_names]:
            yield (
                f"figures.{figure}: {model.name} has no {' and no '.join(missing)}; expected models with "
                "`train: grokking` or these `metrics:`; choose them by the option models"
            )
