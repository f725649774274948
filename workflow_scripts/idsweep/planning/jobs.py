"""The jobs of a sweep by rule, and what each costs.

The numbers are those of `snakemake -n -q rules` in a folder without results: the graph of jobs tells both. A new rule is a
new function in `COSTS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from math import inf
from typing import Any, NamedTuple

from idsweep.config.load import needs_vectors, neighbors_needed
from idsweep.extraction import measures
from idsweep.figures import registry as figures
from idsweep.files.representations import BEFORE_FINAL_NORM, VOCABULARY, of_layer
from idsweep.neighbors.variants import DATA
from idsweep.planning import costs
from idsweep.planning.costs import Cost
from idsweep.planning.models import Shape, shape_of
from idsweep.planning.texts import UNKNOWN_NUMBER, UNKNOWN_TOKENS, Texts, of_corpus, texts_of
from idsweep.sweep.models import Model, offered_checkpoints
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph, Names

STORAGE = {"float32": 4, "float16": 2}
REGULAR_EVALUATIONS = 8  # of training/language_model.py and fine_tuning.py
TOKENS_IN_AN_EVALUATION = 8192  # of training/language_model.py, at most
CHARACTERS = 5  # bytes of text and of ids are kept for each token
TOKENIZER_BYTES = 3e6
POINTWISE_BYTES = 200  # in memory, of a local value in a figure


class Work(NamedTuple):
    """Jobs of one rule that cost the same."""

    rule: str
    number: int
    cost: Cost


class Sizes:
    """What stages ask about a sweep, each answered once."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self._shapes: dict[str, Shape] = {}
        self._texts: dict[tuple[str, str], Texts] = {}

    def shape(self, model: Model) -> Shape:
        if model.name not in self._shapes:
            self._shapes[model.name] = shape_of(self.sweep, model)
        return self._shapes[model.name]

    def texts(self, model: Model, dataset: str) -> Texts:
        key = (model.tokenizer.path, dataset)
        if key not in self._texts:
            self._texts[key] = texts_of(self.sweep, dataset, model.tokenizer)
        return self._texts[key]

    def length(self, model: Model, dataset: str) -> float:
        """Mean tokens of a sequence as it is run."""
        longest = model.tokenizer.options.get("max_length", self.sweep.config["tokens"]["max_length"])
        return self.texts(model, dataset).cut(longest)

    def sampled(self, model: Model, dataset: str) -> int:
        """Sampled tokens M, or entries of the vocabulary."""
        if dataset == VOCABULARY:
            return min(self.sweep.config["vocabulary"]["number"] or 10**9, self.shape(model).vocabulary)
        options, texts = self.sweep.config["tokens"], self.texts(model, dataset)
        each = 1 if options["select"] in ("last", "mean") else self.length(model, dataset)
        return round(min(options["number"], texts.number * each))

    def run(self, model: Model, dataset: str) -> float:
        """Tokens that are run: of all sequences that hold a sampled one, or of a copy for each that is masked."""
        length, sampled = self.length(model, dataset), self.sampled(model, dataset)
        if self.sweep.masks(model):
            return sampled * length
        return min(self.texts(model, dataset).number, sampled) * length

    def stored(self, model: Model) -> list[str]:
        """Representations that are stored: layers, and what is before the final norm."""
        all_layers = self.sweep.config["extraction"]["layers"] == "all"
        layers = range(model.depth + 1) if all_layers else model.layers_run
        return [*map(of_layer, layers), *([BEFORE_FINAL_NORM] if model.before_final_norm else [])]

    def most_sampled(self, model: Model, dataset: str) -> int:
        """Sampled tokens, where the texts hold enough of them."""
        if dataset == VOCABULARY:
            return self.sampled(model, dataset)
        return self.sweep.config["tokens"]["number"]

    def cloud(self, model: Model, dataset: str, cloud: str, name: str, sampled: int | None = None) -> costs.Cloud:
        """The point cloud of one representation; sampled: tokens, as many as are expected if None."""
        sampled = self.sampled(model, dataset) if sampled is None else sampled
        number = min(self.sweep.config["clouds"][cloud]["number"], sampled)
        k = self.sweep.neighbors(cloud)
        variants, half = {DATA: number}, number
        for power in range(1, self.sweep.config["scales"]["halvings"] + 1):
            if (half := half // 2) <= k:
                break
            variants[f"{DATA}/{2**power}"] = half
        variants |= dict.fromkeys(self.sweep.config["nulls"], number)
        return costs.Cloud(self.width(model, name), variants, k)

    def width(self, model: Model, name: str) -> int:
        """Coordinates of one representation."""
        combination = model.combinations.get(name)
        joined = combination is not None and combination.by == "concatenation"
        return self.shape(model).width * (len(combination.layers) if joined else 1)

    @cached_property
    def estimated(self) -> int:
        """Files of estimates."""
        return sum(1 for cloud in self.sweep.clouds() for _ in self.sweep.estimates(cloud))

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {model.tokenizer.path: model for model in reversed(self.sweep.models.values())}

    def model_of(self, tokenizer: str) -> Model:
        """The first of the measured models that have a tokenizer."""
        return self._models[tokenizer]

    def searched(self, model: Model, dataset: str) -> list[str]:
        """The representations whose neighbours are found: all that are stored, and combinations."""
        if dataset == VOCABULARY:
            return model.representations(VOCABULARY)
        return [*self.stored(model), *model.combinations]


def work_of(sizes: Sizes, graph: JobGraph) -> list[Work]:
    """All jobs of a sweep but the one that stands for its targets, `all`.

    The jobs of one rule cost the same at every checkpoint of a model, so each is told once with their number.
    """
    alike: Counter[tuple[str, Names]] = Counter()
    for rule, names in graph.jobs():
        alike[rule, tuple(pair for pair in names if pair[0] != "checkpoint")] += 1
    return [Work(rule, number, cost_of(sizes, rule, **dict(names))) for (rule, names), number in alike.items()]


def cost_of(sizes: Sizes, rule: str, **names: str) -> Cost:
    """What one job of a rule costs, at whichever checkpoint; the memory of searches and estimates is what they may take at
    most, which they ask for."""
    if rule in COSTS:
        return COSTS[rule](sizes, **names)
    if "model" in names:
        return _cost_of_training(sizes, sizes.sweep.known[names["model"]])
    return _cost_of_table(sizes, rule)


def assumptions(sizes: Sizes) -> Iterator[str]:
    """What of this sweep is not known before it runs, and what is taken instead."""
    measured = [
        (model, dataset)
        for model in sizes.sweep.models.values()
        if model.reads_text
        for dataset in sizes.sweep.datasets
    ]
    texts = {sizes.sweep.datasets[dataset].name: sizes.texts(model, dataset) for model, dataset in measured}
    if unknown := [name for name, texts_of_dataset in texts.items() if not texts_of_dataset.known]:
        yield (
            f"Texts of {', '.join(unknown)}: {UNKNOWN_TOKENS} tokens each before they are cut, and {UNKNOWN_NUMBER:,} "
            "texts where the sweep sets no number."
        )
    if unknown := [model.name for model in sizes.sweep.models.values() if not sizes.shape(model).known]:
        yield f"Sizes of {', '.join(unknown)}: width and size_gb are not in the catalog."
    if unknown := [
        model.name for model in sizes.sweep.known.values() if model.training and model.training.cost is None
    ]:
        yield f"Trainings of {', '.join(unknown)}: their time is not known; only the start of their jobs is counted."
    items = [item for of_set in sizes.sweep.config["estimator_sets"].values() for item in of_set]
    others = {item["estimator"] for item in items if item["scope"] == "local"} - {"twonn", "mle", "lpca"}
    if others:
        yield f"Local estimates by {', '.join(sorted(others))}: taken to last as long as local PCA."


def _fetched_checkpoint(sizes: Sizes, model: str) -> Cost:
    size = sizes.shape(sizes.sweep.known[model]).files
    return replace(costs.small("start_models", "memory_models", checkpoints=size), download=size)


def _tokenizer(sizes: Sizes, tokenizer: str) -> Cost:
    return costs.small("start_models", "memory_models", tokenizers=TOKENIZER_BYTES)


def _fetched_tokenizer(sizes: Sizes, tokenizer: str) -> Cost:
    return replace(_tokenizer(sizes, tokenizer), download=TOKENIZER_BYTES)


def _converted_weights(sizes: Sizes, model: str) -> Cost:
    known = sizes.sweep.known[model]
    size = sizes.shape(known).files
    seconds = costs.rate("gguf") * size
    cost = costs.small("start_models", "memory_models", seconds, checkpoints=size)
    return replace(cost, memory=cost.memory + 2 * size, download=_of_gguf(known.entry))


def _converted_tokenizer(sizes: Sizes, tokenizer: str) -> Cost:
    return replace(_tokenizer(sizes, tokenizer), download=_of_gguf(sizes.sweep.tokenizers()[tokenizer].owner))


def _of_gguf(entry: Mapping[str, Any]) -> float:
    """Bytes of a GGUF file that is fetched."""
    return 1e9 * entry.get("size_gb", 1) if "hub" in entry else 0.0


def _release(sizes: Sizes, release: str) -> Cost:
    return costs.small("start_models", "memory_models", corpora=5e6)


def _cost_of_training(sizes: Sizes, model: Model) -> Cost:
    shape, training, saved = sizes.shape(model), model.entry["training"], len(offered_checkpoints(model.entry))
    corpora = sizes.sweep.training_corpora(model.entry)
    texts = {key: of_corpus(corpus, model.tokenizer) for key, corpus in corpora.items()}
    return COSTS_OF_TRAININGS[model.training.cost](shape, texts, training, saved)


def _of_blocks(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    length, held_out = training["sequence_length"], training["validation_fraction"] * texts["dataset"].number
    evaluated = 2 * min(held_out * texts["dataset"].tokens, TOKENS_IN_AN_EVALUATION)
    return costs.training(
        shape,
        training["steps"],
        training["batch_size"] * length,
        evaluated * (REGULAR_EVALUATIONS + saved),
        length,
        saved,
    )


def _of_equations(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    length, held_out = texts["dataset"].tokens, (1 - training["fraction"]) * texts["dataset"].number
    evaluated = length * (training["evaluated"] or held_out) * training["steps"] / training["metrics_every"]
    return costs.training(shape, training["steps"], training["batch_size"] * length, evaluated, length, saved)


def _of_sequences(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    """Trainings from a base: evaluated on all texts of `validation`, and on as many to train on."""
    number = min(training.get("sequences") or texts["dataset"].number, texts["dataset"].number)
    length = texts["dataset"].cut(training["max_length"])
    of_an_epoch = number / training["batch_size"]
    batches = (
        training["steps"] * training["gradient_accumulation"]
        if "steps" in training
        else training["epochs"] * of_an_epoch
    )
    evaluations = saved + (REGULAR_EVALUATIONS if "steps" in training else 0)
    read = {
        key: min(training.get("evaluated") or inf, texts_of_key.number) * texts_of_key.cut(training["max_length"])
        for key, texts_of_key in texts.items()
        if key != "dataset"
    }
    evaluated = evaluations * (sum(read.values()) + min(read["validation"], number * length))
    # The files of an adapter are what is trained of it, in 32 bits.
    trained = shape.files / (costs.FLOAT * shape.parameters) if "lora" in training else 1.0
    return costs.training(
        shape,
        batches,
        training["batch_size"] * length,
        evaluated,
        length,
        saved,
        trainer=True,
        trained_share=min(1.0, trained),
    )


def _of_words(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    words = texts["dataset"].number * texts["dataset"].tokens * training["epochs"]
    return costs.word_vectors(shape, words, training["negative"])


def _unknown(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    """Of what it writes alone; `assumptions` says so."""
    return costs.small("start_models", "memory_models", training=max(1, saved) * shape.files)


# What a training may say of its `cost`.
COSTS_OF_TRAININGS = {
    "blocks": _of_blocks,
    "equations": _of_equations,
    "sequences": _of_sequences,
    "words": _of_words,
    None: _unknown,
}


def _sampled_tokens(sizes: Sizes, tokenizer: str, dataset: str) -> Cost:
    model = sizes.model_of(tokenizer)
    rows = sizes.sampled(model, dataset) * costs.rate("token_row") + costs.rate("file")
    texts = sizes.run(model, dataset) * CHARACTERS + costs.rate("file")
    read = sizes.texts(model, dataset).number * 1e-4
    return costs.small("start_models", "memory_models", read, tokens=rows, sequences=texts)


def _sampled_vocabulary(sizes: Sizes, tokenizer: str) -> Cost:
    rows = sizes.sampled(sizes.model_of(tokenizer), VOCABULARY) * costs.rate("token_row") + costs.rate("file")
    return costs.small("start_models", "memory_models", tokens=rows)


def _extraction(sizes: Sizes, model: str, dataset: str) -> Cost:
    """With a load of its own: which passes share one is seen as the sweep runs."""
    catalog_model = sizes.sweep.models[model]
    return costs.extraction(
        sizes.shape(catalog_model),
        sizes.run(catalog_model, dataset),
        sizes.length(catalog_model, dataset),
        sizes.sampled(catalog_model, dataset),
        len(sizes.stored(catalog_model)),
        sizes.sweep.has_losses(catalog_model),
        STORAGE[sizes.sweep.config["extraction"]["storage"]],
    )


def _matrices(sizes: Sizes, model: str) -> Cost:
    catalog_model = sizes.sweep.models[model]
    storage = STORAGE[sizes.sweep.config["extraction"]["storage"]]
    return costs.rows_of_matrices(
        sizes.shape(catalog_model), sizes.sampled(catalog_model, VOCABULARY), len(catalog_model.matrices), storage
    )


def _neighbors(sizes: Sizes, model: str, dataset: str, cloud: str) -> Cost:
    catalog_model = sizes.sweep.models[model]
    names, most = sizes.searched(catalog_model, dataset), sizes.most_sampled(catalog_model, dataset)
    expected = [sizes.cloud(catalog_model, dataset, cloud, name) for name in names]
    largest = [sizes.cloud(catalog_model, dataset, cloud, name, most) for name in names]
    return replace(costs.neighbors(expected), memory=costs.memory_of_search(largest, most))


def _projected(sizes: Sizes, model: str, dataset: str) -> Cost:
    catalog_model, number = sizes.sweep.models[model], sizes.most_sampled(sizes.sweep.models[model], dataset)
    widths = [sizes.width(catalog_model, name) for name in catalog_model.representations(dataset)]
    return costs.projections(sizes.sampled(catalog_model, dataset), number, widths)


def _estimates(sizes: Sizes, part: str, model: str, dataset: str, cloud: str, layers: str) -> Cost:
    sweep, catalog_model = sizes.sweep, sizes.sweep.models[model]
    items = sweep.items(part, cloud)
    counted = [item | {"n_neighbors": neighbors_needed(item)} for item in items]
    vectors = any(map(needs_vectors, items))
    most, names = sizes.most_sampled(catalog_model, dataset), sweep.blocks(catalog_model, dataset)[layers]
    each = [costs.estimates(sizes.cloud(catalog_model, dataset, cloud, name), counted, vectors) for name in names]
    largest = [sizes.cloud(catalog_model, dataset, cloud, name, most) for name in names]
    memory = [costs.memory_of_estimates(one, counted, most, vectors, len(names)) for one in largest]
    cost = costs.together(each)
    return replace(cost, cpu=cost.cpu + costs.rate("start_estimation"), memory=max(memory))


def _described(sizes: Sizes, set: str, model: str, dataset: str, cloud: str) -> Cost:
    sweep, catalog_model = sizes.sweep, sizes.sweep.models[model]
    losses = dataset != VOCABULARY and sweep.has_losses(catalog_model)
    each = costs.rate("describe") + (costs.rate("describe_losses") * len(measures.names()) if losses else 0.0)
    items = [item for part in sweep.parts_of(cloud, set) for item in sweep.items(part, cloud)]
    local = sum(item["scope"] == "local" for item in items)
    names = catalog_model.representations(dataset)
    seconds = each * local * sum(sizes.cloud(catalog_model, dataset, cloud, name).variants[DATA] for name in names)
    written = 3 * costs.rate("file") * local * len(names)
    return costs.small("start_tables", "memory_estimation", seconds, token_tables=written)


PLAIN = ("collect_training", "collect_reference", "write_csv")  # tables that need no numerical library


def _cost_of_table(sizes: Sizes, rule: str) -> Cost:
    seconds = sizes.estimated * 5e-3 if rule in ("collect_estimates", "collect_contrasts") else 0.0
    start = "start_plain" if rule in PLAIN else "start_tables"
    return costs.small(start, "memory_estimation", seconds, tables=sizes.estimated * 200.0)


def _csv(sizes: Sizes, table: str) -> Cost:
    return _cost_of_table(sizes, "write_csv")


def _figure(sizes: Sizes, figure: str) -> Cost:
    rows = _pointwise(sizes) if set(figures.tables(figure)) & {"pointwise", "compared"} else 0
    cost = costs.small("start_figures", "memory_figures", rows * 1e-6, figures=5e5)
    return replace(cost, memory=cost.memory + rows * POINTWISE_BYTES)


def _about(sizes: Sizes) -> Cost:
    return costs.small("start_plain", "memory_estimation")


def _report(sizes: Sizes) -> Cost:
    size = 1e5 + 2.5e5 * len(sizes.sweep.config["figures"]) + 60.0 * min(sizes.estimated, 10_000)
    return costs.small("start_tables", "memory_estimation", **{"report.html": size})


def _explorer(sizes: Sizes) -> Cost:
    seconds = sizes.estimated * 5e-3
    return costs.small("start_tables", "memory_estimation", seconds, **{"explorer.html": 3e6})


def _pointwise(sizes: Sizes) -> int:
    """Local values of the last checkpoints."""
    return sum(
        sum(sizes.cloud(cloud.model, cloud.dataset, cloud.cloud, name).variants.values())
        for cloud in sizes.sweep.clouds()
        if cloud.checkpoint == cloud.model.last_checkpoint
        for name in cloud.model.representations(cloud.dataset)
    )


# Rule -> cost of one of its jobs, by its names but the checkpoint. Trainings and tables are alike: see `cost_of`.
COSTS: dict[str, Callable[..., Cost]] = {
    "fetch_checkpoint": _fetched_checkpoint,
    "fetch_tokenizer": _fetched_tokenizer,
    "convert_weights": _converted_weights,
    "convert_tokenizer": _converted_tokenizer,
    "train_tokenizer": _tokenizer,
    "write_tokenizer": _tokenizer,
    "prepare_dataset": _release,
    "sample_tokens": _sampled_tokens,
    "sample_vocabulary": _sampled_vocabulary,
    "extract_embeddings": _extraction,
    "extract_vocabulary": _matrices,
    "find_neighbors": _neighbors,
    "project_points": _projected,
    "estimate_dimensions": _estimates,
    "describe_tokens": _described,
    "write_csv": _csv,
    "draw_figure": _figure,
    "describe_sweep": _about,
    "write_report": _report,
    "write_explorer": _explorer,
}
