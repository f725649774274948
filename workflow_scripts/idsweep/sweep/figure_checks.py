"""What figures need, and their options, against the sweep that they are of, before anything runs.

`config` checks names and types of options. What a figure needs is said by itself: see `idsweep.figures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from idsweep.config.load import choose, key_path, label
from idsweep.figures import registry as figures
from idsweep.files.representations import layer_of
from idsweep.sweep import comparisons
from idsweep.sweep.models import Checkpoint, Model, safe

if TYPE_CHECKING:
    from idsweep.sweep.sweep import Sweep


def complaints(sweep: Sweep) -> Iterator[str]:
    """What options name that is not in the sweep, and what a figure needs that its models have not."""
    for figure in sweep.config["figures"]:
        given, needs = _read_options(sweep, figure), figures.needs(figure)
        options = figures.options(figure) | given
        yield from _wrong_names(sweep, figure, options, needs)
        models = [model for model in _pick_models(sweep, given) if model.layers]
        yield from _wrong_layers(figure, given, models, needs)
        yield from _wrong_checkpoints(figure, given, _fine_tuned(sweep, models) if needs["comparisons"] else models)
        yield from _missing(sweep, figure, options, needs)
        yield from _wrong_metrics(sweep, figure, given, [model for model in models if len(_steps(model)) > 1], needs)


def checkpoints_drawn(sweep: Sweep, figure: str, model: Model) -> list[Checkpoint]:
    """The checkpoints of a model whose estimates a figure shows: the last one, or those that its option asks for."""
    choice = _read_options(sweep, figure).get("checkpoints")
    if choice is None:
        return [model.last_checkpoint]
    return [
        checkpoint
        for checkpoint in model.checkpoints.values()
        if choice == "all" or {checkpoint.name, checkpoint.path, checkpoint.step} & {*choice}
    ]


def _read_options(sweep: Sweep, figure: str) -> dict[str, Any]:
    """The options that the sweep sets."""
    return {key: value for key, value in (sweep.config["figures"][figure] or {}).items() if value is not None}


def _fine_tuned(sweep: Sweep, models: Iterable[Model]) -> list[Model]:
    """Those of the models that are compared with another."""
    names = {pair.model.name for pair in comparisons.pairs(sweep)}
    return [model for model in models if model.name in names]


def _at(figure: str, key: str) -> str:
    return key_path(["figures", figure, key])


def _missing(sweep: Sweep, figure: str, options: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[str]:
    """What a figure is about and the sweep has not."""
    at, models = key_path(["figures", figure]), sweep.models.values()
    if needs["log_probabilities"] and not any(sweep.has_losses(m) and m.reads_text for m in models):
        yield (
            f"{at}: no model of this sweep predicts tokens; add a causal model, or a masked one with extraction.masked, and keep "
            "extraction.losses true"
        )
    if needs["comparisons"] and not comparisons.pairs(sweep):
        yield f"{at}: no model is compared with another; measure the model that one was fine-tuned from, or name a pair in `comparisons`"
    varying = [model.name for model in models if needs["varies"] in model.varied]
    if needs["varies"] and not varying:
        yield f"{at}: no model of this sweep varies {needs['varies']}; add one whose entry in the catalog has it under `vary`"
    representations = options.get("representations", needs["representations"])
    names = dict.fromkeys(name for model in models for name in _representations(model))
    for name in representations:
        if name not in names:
            yield f"{at}: no model of this sweep has {name}; add it to a model's `layers` ({choose(name, names)})"
    if needs["one_base"] and varying and options.get("base") is None:
        others = (model for model in models if model.name not in varying)
        bases = dict.fromkeys(model.group for model in others if {*representations} <= {*_representations(model)})
        if len(bases) != 1:
            there = f"there are {', '.join(bases)}" if bases else f"there is none without {needs['varies']}"
            yield (
                f"{at}.base: the models are compared with the {', '.join(representations)} of one base, but {there}; measure the "
                "model that they were made from, or choose one with this option"
            )


def _representations(model: Model) -> list[str]:
    return [*model.matrices, *(name for name in model.states if layer_of(name) is None)]


def _wrong_names(sweep: Sweep, figure: str, options: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[str]:
    """options: all of them, those that are not set at their defaults."""
    items = [item for items in sweep.config["estimator_sets"].values() for item in items]
    labels = {scope: sorted({label(item) for item in items if item["scope"] == scope}) for scope in ("local", "global")}
    names = {name for model in sweep.models.values() for name in model.names}
    paths = {*map(safe, names)}
    known = {
        "models": [*sweep.config["models"], *sorted(names - sweep.config["models"].keys())],
        "datasets": [
            *sweep.config["datasets"],
            *(dataset.name for dataset in sweep.datasets.values() if dataset.drawn_from),
        ],
        "estimators": sorted({*labels["local"], *labels["global"]}),
    }
    for key, choices in known.items():
        for value in options.get(key) or ():
            if value not in choices and (key != "models" or safe(value) not in paths):
                yield f"{_at(figure, key)}: {value!r} is not known; {choose(value, choices)}"
    for key in ("static", "base"):
        given = options.get(key) or ()
        for name in [given] if isinstance(given, str) else given:
            if safe(name) not in paths:
                yield f"{_at(figure, key)}: {name!r} is not a model of this sweep; {choose(name, [model.name for model in sweep.models.values()])}"
    beginnings = [name.split("-")[0] for name in labels["local"]] if needs["estimator"] == "beginning" else []
    estimates = {
        "estimator": ("local", options.get("estimator"), [*labels["local"], *beginnings]),
        "estimate": ("global", options.get("estimate"), labels["global"]),
    }
    for key, (scope, value, choices) in estimates.items():
        if value is not None and value not in choices:
            yield (
                f"{_at(figure, key)}: {value!r} is not a {scope} estimate of this sweep; {choose(value, labels[scope])}"
            )
    for pair in options.get("pairs") or ():
        for scope, value in zip(("local", "global"), pair, strict=True):
            if value not in labels[scope]:
                yield (
                    f"{_at(figure, 'pairs')}: {value!r} is not a {scope} estimate of this sweep; "
                    f"{choose(value, labels[scope])}"
                )


def _pick_models(sweep: Sweep, options: Mapping[str, Any]) -> list[Model]:
    if "models" not in options:
        return list(sweep.models.values())
    return list({model.name: model for name in options["models"] for model in sweep.called(name)}.values())


def _wrong_layers(
    figure: str, options: Mapping[str, Any], models: Iterable[Model], needs: Mapping[str, Any]
) -> Iterator[str]:
    for model in models:
        for layer in options.get("layers", ()):
            if needs["layers"] == "places":
                there = -len(model.layers) <= layer < 0 or layer in model.layers
            else:
                there = (layer if layer >= 0 else model.layers[-1] + 1 + layer) in model.layers
            if not there:
                layers = ", ".join(map(str, model.layers))
                yield f"{_at(figure, 'layers')}: layer {layer} of {model.group} is not measured; measured: {layers}"


def _wrong_checkpoints(figure: str, options: Mapping[str, Any], models: Sequence[Model]) -> Iterator[str]:
    checkpoints = options.get("checkpoints", "all")
    all_checkpoints = [checkpoint for model in models for checkpoint in model.checkpoints.values()]
    names = dict.fromkeys(checkpoint.name for checkpoint in all_checkpoints)
    for choice in () if checkpoints == "all" or not models else checkpoints:
        if choice not in (
            {*names, *map(safe, names)}
            if isinstance(choice, str)
            else {checkpoint.step for checkpoint in all_checkpoints}
        ):
            yield f"{_at(figure, 'checkpoints')}: {choice!r} is not measured; {choose(choice, names)}"


def _steps(model: Model) -> set[int]:
    return {checkpoint.step for checkpoint in model.checkpoints.values() if checkpoint.step is not None}


def _of_splits(sweep: Sweep, metric: str | None, known: Sequence[str]) -> list[str]:
    """What a metric stands for that may have `{split}` in its name: those that are there; the first one where none is."""
    if metric is None:
        return []
    named = [metric.replace("{split}", str(dataset.split)) for dataset in sweep.datasets.values()]
    named = list(dict.fromkeys(named)) or [metric]
    return [name for name in named if name in known] or named[:1]


def _wrong_metrics(
    sweep: Sweep, figure: str, options: Mapping[str, Any], models: Iterable[Model], needs: Mapping[str, Any]
) -> Iterator[str]:
    """models: those with several known steps, of which metrics are drawn."""
    names = list(dict.fromkeys(name for model in sweep.models.values() for name in model.metric_names))
    choices = [("metrics", name) for name in options.get("metrics", ())]
    choices += [(key, name) for key in ("second_axis", "metric") for name in _of_splits(sweep, options.get(key), names)]
    for key, name in choices:
        if name not in names:
            yield f"{_at(figure, key)}: {name!r} is not a metric of this sweep; {choose(name, names)}"
            continue
        for model in models:
            if model.metric_names and name not in model.metric_names:
                yield (
                    f"{_at(figure, key)}: {model.name} has no metric {name!r}; it has {', '.join(model.metric_names)}; "
                    "choose other models with the option models, or bring the metric under `metrics:`"
                )
    for model in models if needs["metrics"] else ():
        if missing := [name for name in needs["metrics"] if name not in model.metric_names]:
            yield (
                f"{key_path(['figures', figure])}: {model.name} has no {' and no '.join(missing)}; expected models whose "
                "training writes them, or that bring them under `metrics:`; choose them with the option models"
            )
