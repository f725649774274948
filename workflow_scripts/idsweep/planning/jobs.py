"""The jobs of a sweep by rule, and what each costs.

The numbers are those of `snakemake -n -q rules` in a folder without results. One function for each stage; a new rule is
a new function in `STAGES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from idsweep.config.load import needs_vectors, neighbors_needed
from idsweep.figures import registry as figures
from idsweep.files.representations import VOCABULARY
from idsweep.neighbors.variants import DATA
from idsweep.planning import costs
from idsweep.planning.costs import Cost
from idsweep.planning.models import Shape, shape_of
from idsweep.planning.texts import UNKNOWN_NUMBER, UNKNOWN_TOKENS, Texts, of_corpus, texts_of
from idsweep.sweep.models import Model, offered_checkpoints, safe
from idsweep.sweep.outputs import MADE_BY, describes_tokens, table_names
from idsweep.sweep.sweep import Cloud, Dataset, Sweep

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
        key = (model.tokenizer.name, dataset)
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
        wanted, texts = self.sweep.config["tokens"], self.texts(model, dataset)
        each = 1 if wanted["select"] in ("last", "mean") else self.length(model, dataset)
        return round(min(wanted["number"], texts.number * each))

    def run(self, model: Model, dataset: str) -> float:
        """Tokens that are run: of all sequences that hold a sampled one, or of a copy for each that is masked."""
        length, sampled = self.length(model, dataset), self.sampled(model, dataset)
        if self.sweep.masks(model):
            return sampled * length
        return min(self.texts(model, dataset).number, sampled) * length

    def stored(self, model: Model) -> list[int]:
        """Layers that are stored."""
        if self.sweep.config["extraction"]["layers"] == "all":
            return list(range(model.depth + 1))
        return sorted({*model.layers, *(i for one in model.combinations.values() for i in one.layers)})

    def cloud(self, cloud: Cloud, name: str) -> costs.Cloud:
        """The point cloud of one representation."""
        number = min(self.sweep.config["clouds"][cloud.cloud]["number"], self.sampled(cloud.model, cloud.dataset))
        k = self.sweep.neighbors(cloud.cloud)
        variants, half = {DATA: number}, number
        for power in range(1, self.sweep.config["scales"]["halvings"] + 1):
            if (half := half // 2) <= k:
                break
            variants[f"{DATA}/{2**power}"] = half
        variants |= dict.fromkeys(self.sweep.config["nulls"], number)
        return costs.Cloud(self._width(cloud.model, name), variants, k)

    def _width(self, model: Model, name: str) -> int:
        combination = model.combinations.get(name)
        joined = combination is not None and combination.by == "concatenation"
        return self.shape(model).width * (len(combination.layers) if joined else 1)

    @cached_property
    def measured(self) -> list[tuple[Model, str, int]]:
        """Model, dataset (or vocabulary) and number of checkpoints of all passes; those of a model cost the same."""
        passes = Counter((model.name, dataset) for model, _, dataset in self.sweep.passes())
        return [(self.sweep.models[name], dataset, number) for (name, dataset), number in passes.items()]

    @cached_property
    def clouds(self) -> list[tuple[Cloud, int]]:
        """One cloud of each pass that is estimated, and the number of checkpoints that have its like."""
        number = {(model.name, dataset): number for model, dataset, number in self.measured}
        made = {(cloud.model.name, cloud.dataset, cloud.cloud): cloud for cloud in self.sweep.clouds()}
        like = [(cloud, number[name, dataset]) for (name, dataset, _), cloud in made.items()]
        return [(cloud, number) for cloud, number in like if any(True for _ in self.sweep.estimates(cloud))]

    def searched(self, cloud: Cloud) -> list[str]:
        """The representations whose neighbours are found: all that are stored, and combinations."""
        if cloud.dataset == VOCABULARY:
            return cloud.model.representations(VOCABULARY)
        return [*map(str, self.stored(cloud.model)), *cloud.model.combinations]


def work_of(sizes: Sizes) -> list[Work]:
    """All jobs of a sweep but the one that stands for its targets, `all`."""
    return [work for stage in STAGES for work in stage(sizes) if work.number]


def assumptions(sizes: Sizes) -> Iterator[str]:
    """What of this sweep is not known before it runs, and what is taken instead."""
    texts = {dataset: sizes.texts(model, dataset) for model, dataset, _ in sizes.measured if dataset != VOCABULARY}
    if unknown := [name for name, held in texts.items() if not held.known]:
        yield (
            f"Texts of {', '.join(unknown)}: {UNKNOWN_TOKENS} tokens each before they are cut, and {UNKNOWN_NUMBER:,} of "
            "them where no number is asked for."
        )
    if unknown := [model.name for model in sizes.sweep.models.values() if not sizes.shape(model).known]:
        yield f"Sizes of {', '.join(unknown)}: the catalog does not tell width and size_gb, or nothing can."
    if unknown := [
        model.name for model in sizes.sweep.known.values() if model.training and model.training.cost is None
    ]:
        yield f"Trainings of {', '.join(unknown)}: no time beside the start of their jobs."
    items = [item for of_set in sizes.sweep.config["estimator_sets"].values() for item in of_set]
    others = {item["estimator"] for item in items if item["scope"] == "local"} - {"twonn", "mle", "lpca"}
    if others:
        yield f"Local estimates by {', '.join(sorted(others))}: as long as local PCA."


def _fetching(sizes: Sizes) -> Iterator[Work]:
    sweep = sizes.sweep
    wanted = {(model.name, checkpoint.name) for model, checkpoint, _ in sweep.passes()}
    for model in sweep.models.values():
        if model.start is not None:
            wanted.add((model.start[0].name, model.start[1].name))
    for name, number in Counter(name for name, _ in sorted(wanted)).items():
        if (model := sweep.known[name]).source == "hub":
            size = sizes.shape(model).files
            cost = costs.small("start_models", "memory_models", checkpoints=size)
            yield Work("fetch_checkpoint", number, replace(cost, download=size))
    for rule, number in Counter(tokenizer.made_by for tokenizer in sweep.tokenizers().values()).items():
        if rule in ("fetch_tokenizer", "train_tokenizer", "write_tokenizer"):
            cost = costs.small("start_models", "memory_models", tokenizers=TOKENIZER_BYTES)
            fetched = TOKENIZER_BYTES if rule == "fetch_tokenizer" else 0.0
            yield Work(rule, number, replace(cost, download=fetched))
    yield Work("prepare_dataset", len(_prepared(sweep)), costs.small("start_models", "memory_models", corpora=5e6))


def _prepared(sweep: Sweep) -> set[str]:
    """Releases whose texts something reads; entries of vocabularies are counted only where vocabularies are measured."""
    read: list[Dataset] = []
    for model, _, dataset in sweep.passes():
        if dataset != VOCABULARY:
            read.append(sweep.corpus(dataset, model.tokenizer.owner))
        elif sweep.config["vocabulary"]["counted_in"] is not None:
            read.append(sweep.corpora[safe(sweep.config["vocabulary"]["counted_in"])])
    for entry in (entry for model in sweep.known.values() for entry in (model.entry, model.tokenizer.owner)):
        read += sweep.training_corpora(entry).values() if "training" in entry else ()
    return {corpus.source for corpus in read if corpus.prepared}


def _training(sizes: Sizes) -> Iterator[Work]:
    sweep = sizes.sweep
    for model in sweep.known.values():
        if model.source == "train":
            yield Work(model.made_by, 1, _cost_of_training(sizes, model))


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
    number, length = texts["dataset"].number, texts["dataset"].tokens
    evaluated = (
        2 * length * min(training["evaluated"] or number, number) * training["steps"] / training["metrics_every"]
    )
    return costs.training(shape, training["steps"], training["batch_size"] * length, evaluated, length, saved)


def _of_sequences(shape: Shape, texts: Mapping[str, Texts], training: Mapping[str, Any], saved: int) -> Cost:
    """Trainings from a base: evaluated on all texts of `validation`, and on as many to train on."""
    number = min(training["sequences"] or texts["dataset"].number, texts["dataset"].number)
    length = texts["dataset"].cut(training["max_length"])
    steps = training["steps"] if "steps" in training else training["epochs"] * number / training["batch_size"]
    evaluations = saved + (REGULAR_EVALUATIONS if "steps" in training else 0)
    read = {key: held.number * held.cut(training["max_length"]) for key, held in texts.items() if key != "dataset"}
    evaluated = evaluations * (sum(read.values()) + min(read["validation"], number * length))
    return costs.training(shape, steps, training["batch_size"] * length, evaluated, length, saved, trainer=True)


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


def _sampling(sizes: Sizes) -> Iterator[Work]:
    sampled: dict[tuple[str, str], Model] = {}
    for model, dataset, _ in sizes.measured:
        sampled.setdefault((model.tokenizer.name, dataset), model)
    for (_, dataset), model in sampled.items():
        rows = sizes.sampled(model, dataset) * costs.rate("token_row") + costs.rate("file")
        if dataset == VOCABULARY:
            yield Work("sample_vocabulary", 1, costs.small("start_models", "memory_models", tokens=rows))
            continue
        texts = sizes.run(model, dataset) * CHARACTERS + costs.rate("file")
        read = sizes.texts(model, dataset).number * 1e-4
        yield Work("sample_tokens", 1, costs.small("start_models", "memory_models", read, tokens=rows, sequences=texts))


def _extraction(sizes: Sizes) -> Iterator[Work]:
    sweep = sizes.sweep
    estimated = {(cloud.model.name, cloud.dataset) for cloud, _ in sizes.clouds}
    storage = STORAGE[sweep.config["extraction"]["storage"]]
    for model, dataset, number in sizes.measured:
        shape, points = sizes.shape(model), sizes.sampled(model, dataset)
        if dataset == VOCABULARY:
            if (model.name, dataset) in estimated:
                cost = costs.rows_of_matrices(shape, points, len(model.matrices), storage)
                yield Work("extract_vocabulary", number, cost)
            continue
        head = sweep.has_losses(model)
        if (model.name, dataset) in estimated or head:
            length, layers = sizes.length(model, dataset), len(sizes.stored(model))
            cost = costs.extraction(shape, sizes.run(model, dataset), length, points, layers, head, storage)
            yield Work("extract_embeddings", number, cost)


def _neighbors(sizes: Sizes) -> Iterator[Work]:
    for cloud, number in sizes.clouds:
        clouds = [sizes.cloud(cloud, name) for name in sizes.searched(cloud)]
        yield Work("find_neighbors", number, costs.neighbors(clouds, sizes.sampled(cloud.model, cloud.dataset)))


def _estimates(sizes: Sizes) -> Iterator[Work]:
    """However many representations one job takes: `Sweep.estimates` tells the jobs."""
    sweep = sizes.sweep
    for cloud, number in sizes.clouds:
        jobs = Counter(set for set, _ in sweep.estimates(cloud))
        names = cloud.model.representations(cloud.dataset)
        sampled = sizes.sampled(cloud.model, cloud.dataset)
        for set, of_set in jobs.items():
            items = sweep.items(set, cloud.cloud)
            asked = [item | {"n_neighbors": neighbors_needed(item)} for item in items]
            vectors = any(map(needs_vectors, items))
            each = [costs.estimates(sizes.cloud(cloud, name), asked, sampled, vectors) for name in names]
            cost = costs.together(each, of_set)
            cost = replace(cost, cpu=cost.cpu + costs.rate("start_estimation"))
            yield Work("estimate_dimensions", of_set * number, cost)


def _description(sizes: Sizes) -> Iterator[Work]:
    sweep = sizes.sweep
    for cloud, number in sizes.clouds if describes_tokens(sweep) else ():
        losses = cloud.dataset != VOCABULARY and sweep.has_losses(cloud.model)
        each = costs.rate("describe") + (costs.rate("describe_losses") if losses else 0.0)
        for set in dict.fromkeys(set for set, _ in sweep.estimates(cloud)):
            local = sum(item["scope"] == "local" for item in sweep.items(set, cloud.cloud))
            names = cloud.model.representations(cloud.dataset)
            seconds = each * local * sum(sizes.cloud(cloud, name).variants[DATA] for name in names)
            written = 3 * costs.rate("file") * local * len(names)
            cost = costs.small("start_tables", "memory_estimation", seconds, token_tables=written)
            yield Work("describe_tokens", number, cost)


def _collecting(sizes: Sizes) -> Iterator[Work]:
    sweep = sizes.sweep
    tables = table_names(sweep)
    rules = dict.fromkeys(MADE_BY[table] for table in [*tables, *_of_figures(sweep)] if table in MADE_BY)
    if "detect_events" in rules:
        rules |= {"collect_training": None}
    estimated = sum(number * len(list(sweep.estimates(cloud))) for cloud, number in sizes.clouds)
    for rule in rules:
        seconds = estimated * 5e-3 if rule == "collect_estimates" else 0.0
        yield Work(rule, 1, costs.small("start_tables", "memory_estimation", seconds, tables=estimated * 200.0))
    yield Work("write_csv", len(tables), costs.small("start_tables", "memory_estimation", tables=estimated * 200.0))


def _of_figures(sweep: Sweep) -> list[str]:
    return [table for figure in sweep.config["figures"] for table in figures.tables(figure)]


def _reporting(sizes: Sizes) -> Iterator[Work]:
    drawn = sizes.sweep.config["figures"]
    for figure in drawn:
        rows = _pointwise(sizes) if set(figures.tables(figure)) & {"pointwise", "compared"} else 0
        cost = costs.small("start_figures", "memory_figures", rows * 1e-6, figures=5e5)
        yield Work("draw_figure", 1, replace(cost, memory=cost.memory + rows * POINTWISE_BYTES))
    yield Work("describe_sweep", 1, costs.small("start_tables", "memory_estimation"))
    yield Work(
        "write_report", 1, costs.small("start_report", "memory_figures", **{"report.html": 2e6 + 1e6 * len(drawn)})
    )


def _pointwise(sizes: Sizes) -> int:
    """Local values of the last checkpoints."""
    return sum(
        sum(sizes.cloud(cloud, name).variants.values())
        for cloud, _ in sizes.clouds
        for name in cloud.model.representations(cloud.dataset)
    )


STAGES = (
    _fetching, _training, _sampling, _extraction, _neighbors, _estimates, _description, _collecting, _reporting,
)  # fmt: skip
