"""What is wrong about a sweep as a whole, told before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from idsweep.config.load import LONGEST_NAME, MOST_SHOWN, choose
from idsweep.data.entries import LABEL_KEYS, reading
from idsweep.figures import registry
from idsweep.files.representations import VOCABULARY
from idsweep.sweep import comparisons, figure_checks
from idsweep.sweep.labels import wrong_labels
from idsweep.sweep.models import Model, catalog_path, safe
from idsweep.sweep.sweep import HELD_OUT, PARTS, TRAINED_ON, Dataset, Sweep
from idsweep.training import kinds

NO_WORDS = ("special", "continuation")  # tokens that no entry of static vectors is


def foreseen(sweep: Sweep) -> str:
    """What is known to fail before anything runs, in lines; empty if nothing is."""
    failing = sweep.failing()
    lines = [f"  {name}: {error}" for name, error in failing.items()]
    if len(lines) > MOST_SHOWN:
        lines = [*lines[:MOST_SHOWN], f"  … and {len(lines) - MOST_SHOWN} more"]
    return "\n".join([f"{len(failing)} checkpoint(s) cannot be measured; the others can:", *lines]) if lines else ""


def check_parts(models: Iterable[Model], datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """Complaints about `trained_on` and `held_out`, which need a training and its own tokenizer."""
    parts = [name for name in datasets if name in PARTS]
    for model in models if parts else ():
        if not model.reads_text:
            continue
        if model.source != "train":
            yield f"datasets: {parts[0]}: {model.name} is not trained here; leave out the dataset or the model"
        elif HELD_OUT in parts and not model.training.share and not model.training.from_base:
            yield f"datasets: {HELD_OUT}: {model.name} is trained on all of its dataset; measure {TRAINED_ON} alone"
        elif model.tokenizer.owner != model.entry:
            texts = model.entry["training"]["dataset"]
            mend = (
                f"measure it on {texts}, which it was trained on" if model.start else "give it a tokenizer of its own"
            )
            yield (
                f"datasets: {parts[0]}: {model.name} has the tokenizer of another entry, {model.tokenizer.name}, which "
                f"was trained on other texts; {mend}"
            )


def check_groups(models: Iterable[Model]) -> Iterator[str]:
    """Complaints about entries whose names are those of another entry's runs: they would be one curve."""
    of_group: dict[str, Model] = {}
    for model in models:
        other = of_group.setdefault(model.group, model)
        if other.catalogued != model.catalogued:
            yield (
                f"models: {other.catalogued} and {model.catalogued} both have runs named {model.group!r}, which would be "
                "taken for seeds of one model; rename one of them in the catalog"
            )


def check_whole(sweep: Sweep) -> Iterator[str]:
    config, models, datasets = sweep.config, sweep.models, sweep.datasets
    readers = [model.name for model in models.values() if model.reads_text]
    if readers and not datasets:
        yield f"datasets: name at least one; {', '.join(readers)} would be measured on its texts"
    if not readers and datasets:
        yield "datasets: no model of this sweep reads text (embedding matrices need none); leave datasets out"
    if config["extraction"]["masked"] and not any(model.kind == "masked" for model in models.values()):
        yield "extraction.masked: no model of this sweep is of kind `masked`; set it to false, or add one"
    yield from _check_names(sweep)
    yield from wrong_labels(sweep)
    yield from comparisons.complaints(sweep)
    yield from _check_tokens(sweep)
    yield from _check_trainings(sweep)
    yield from _check_labels(sweep)
    yield from _check_kinds_of_tokens(sweep)
    yield from _check_generated(sweep)
    yield from _check_composed(sweep)
    if not any(model.layers for model in models.values()) and (
        wrong := [name for name in config["figures"] if registry.needs(name)["texts"]]
    ):
        others = ", ".join(name for name in registry.names() if not registry.needs(name)["texts"])
        yield f"figures: {', '.join(wrong)} show layers, but this sweep measures none; set `figures: {{}}`, or choose from {others}"
    else:
        yield from figure_checks.complaints(sweep)


def _check_names(sweep: Sweep) -> Iterator[str]:
    """Complaints about names that are too long for a file, or that differ in case alone."""
    named: dict[str, Iterable[str]] = {
        "catalog.models": {one.name: None for one in (*sweep.known.values(), *sweep.tokenizers().values())},
        "catalog.datasets": [
            *{one.name: None for one in (*sweep.datasets.values(), *sweep.corpora.values())},
            VOCABULARY,
        ],
        "sweep": [sweep.name],
        "estimator_sets": sweep.config["estimator_sets"],
        "points": sweep.config["clouds"],
    }
    for model in sweep.known.values():
        checkpoints = [checkpoint.name for checkpoint in model.checkpoints.values()]
        named[f"{catalog_path('models', model.catalogued)}.checkpoints"] = checkpoints
        named["representations"] = model.states
    for at, names in named.items():
        spellings: dict[str, str] = {}
        for name in names:
            path = safe(name)
            if not any(letter.isprintable() and not letter.isspace() for letter in name):
                yield f"{at}: the name {name!a} has no letter that can be seen; give it another one"
            if (size := len(path.encode())) > LONGEST_NAME:
                yield f"{at}: {name[:40]}… is too long for a file, {size} bytes; expected at most {LONGEST_NAME}"
            if (other := spellings.setdefault(path.casefold(), name)) != name:
                yield (
                    f"{at}: {other!r} and {name!r} differ only in upper and lower case, which some file systems do not tell apart; rename one"
                )


def _check_labels(sweep: Sweep) -> Iterator[str]:
    """Complaints about classifiers whose texts have no labels."""
    for model in sweep.known.values():
        if model.reads_labels:
            for key, corpus in sweep.training_corpora(model.entry).items():
                if not corpus.entry.keys() & set(LABEL_KEYS):
                    yield (
                        f"{catalog_path('models', model.catalogued)}.training.{key}: {corpus.source} has no labels; give its "
                        "entry in the catalog a label_column or a label_pattern"
                    )


def _check_kinds_of_tokens(sweep: Sweep) -> Iterator[str]:
    """Complaints about clouds of tokens that there are not, or that are chosen by counts that there are not."""
    selections = list(dict.fromkeys(cloud["tokens"] for cloud in sweep.config["clouds"].values()))
    for model in sweep.models.values():
        for which in selections:
            if model.kind == "static" and which in NO_WORDS:
                yield (
                    f"points.tokens: {which!r} selects nothing from {model.name}, whose static vectors stand for whole "
                    "words; choose another selection, or measure static vectors in a sweep of their own"
                )
    models = [model for model in sweep.models.values() if model.kind != "static"]
    measured = {"tokens": any(m.reads_text for m in models), "vocabulary": any(m.matrices for m in models)}
    for key in measured:
        select = sweep.config[key]["select"]
        if "special" in selections and measured[key] and select != "all":
            yield f"points.tokens: 'special' needs special tokens, and {key}.select: {select} leaves them out; set it to all"
    counting = [which for which in selections if which.startswith("count")]
    matrices = any(model.matrices for model in sweep.models.values())
    if counting and matrices and sweep.config["vocabulary"]["counted_in"] is None:
        yield (
            f"points.tokens: {counting[0]!r} needs the number of times that each entry of a vocabulary occurs in texts; name "
            "the dataset to count in with vocabulary.counted_in"
        )
    if counting and sweep.config["tokens"]["select"] == "mean" and any(m.reads_text for m in sweep.models.values()):
        yield (
            f"points.tokens: {counting[0]!r} selects tokens, but with `tokens: {{select: mean}}` each point is the mean over a "
            "sequence; choose another selection"
        )


def _check_trainings(sweep: Sweep) -> Iterator[str]:
    """Complaints about what models are trained on, and about shares of texts that only their number decides."""
    numbers: dict[str, int] = {}
    for model in filter(lambda model: model.training is not None, sweep.known.values()):
        trained_on, at = sweep.training_corpus(model.entry), catalog_path("models", model.catalogued)
        loader, required_loader = trained_on.entry["loader"], model.training.loader
        if required_loader is not None and loader != required_loader:
            yield (
                f"{at}.training.dataset: {trained_on.name} has the loader {loader}; `train: {model.training.name}` needs a "
                f"dataset with the loader {required_loader}"
            )
        elif required_loader is None and (own := kinds.trained_on(loader)) is not None:
            yield f"{at}.training.dataset: {trained_on.name} has the loader {loader}; train on it with `train: {own}`, or name a dataset of texts"
        elif "trained_fraction" in model.training.share and trained_on.generator is not None:
            if trained_on.name not in numbers:
                numbers[trained_on.name] = trained_on.generator.number(trained_on.entry)
            varied = sweep.config["catalog"]["models"][model.catalogued].get("vary", {})
            share = model.training.share["trained_fraction"]
            fraction, number = model.entry["training"][share], numbers[trained_on.name]
            if not 0 < round(fraction * number) < number:
                path = f"{at}.vary.training.{share}" if f"training.{share}" in varied else f"{at}.training.{share}"
                yield (
                    f"{path}: {fraction} of {number} {loader} leaves one side empty; choose a fraction that gives each side "
                    "at least one"
                )


def _check_generated(sweep: Sweep) -> Iterator[str]:
    """Complaints about models that know the words of one dataset alone and would read something else."""
    for model in sweep.models.values():
        if model.reads_text and model.training is not None and model.training.loader is not None:
            trained_on = sweep.training_corpus(model.entry)
            for path, dataset in sweep.datasets.items():
                if reading(sweep.corpus(path, model.entry).entry) != reading(trained_on.entry):
                    yield (
                        f"datasets: {dataset.name}: {model.name} is trained on the {model.training.loader} of {trained_on.name} and "
                        f"knows no other sequences; measure it on {TRAINED_ON}, {HELD_OUT} or {trained_on.name}"
                    )


def _check_composed(sweep: Sweep) -> Iterator[str]:
    """Complaints about composed turns that are cut at another length than those that a model is trained on."""
    composed = [dataset.name for dataset in sweep.datasets.values() if "compose" in dataset.entry]
    for model in sweep.models.values() if composed else ():
        if not model.reads_text or model.training is None or not model.training.composes:
            continue
        trained = model.entry["training"]["max_length"]
        own = model.tokenizer.options.get("max_length")
        at = (
            "tokens.max_length"
            if own is None
            else f"{catalog_path('models', model.tokenizer.name)}.tokenizer.max_length"
        )
        measured = sweep.config["tokens"]["max_length"] if own is None else own
        if measured != trained:
            yield (
                f"{at}: {measured} tokens of {composed[0]} would be measured, but {model.name} is trained on turns cut to "
                f"{trained}; set both alike ({catalog_path('models', model.catalogued)}.training.max_length), or measure models "
                "that are trained on other lengths in sweeps of their own"
            )


def _check_tokens(sweep: Sweep) -> Iterator[str]:
    tokens = sweep.config["tokens"]
    read = [
        (dataset.name, sweep.corpus(path, model.tokenizer.owner))
        for model in sweep.models.values()
        for path, dataset in sweep.datasets.items()
        if model.reads_text
    ]
    if tokens["select"] == "mean" and sweep.config["extraction"]["masked"]:
        yield "tokens.select: a mean over a sequence has no token to mask; set extraction.masked to false, or choose another selection"
    if isinstance(tokens["sequence_seed"], list):
        if tokens["choose"] == "first":
            yield "tokens.sequence_seed: with `choose: first` no sequences are drawn; remove this key, or set choose to random"
        elif tokens["sequences"] is None:
            yield "tokens.sequence_seed: all sequences are taken, so that none are drawn; set tokens.sequences, or remove this key"
    if tokens["select"] != "classes" and "classes" in tokens:
        yield "tokens.classes: this key is only for `select: classes`; remove it, or set `select: classes`"
    if tokens["select"] != "all" and "without" in tokens:
        yield "tokens.without: this key is only for `select: all`; remove it, or set `select: all`"
    if tokens["select"] == "classes":
        if not tokens.get("classes"):
            yield "tokens.classes: name at least one, as B-person or B-*, for `select: classes`"
        for name in (name for name, corpus in read if not corpus.has_classes):
            yield f"tokens.select: {name} has no classes (no `class_column` in the catalog); choose another selection"
        classes_by_loader = {
            corpus.entry["loader"]: corpus.generator.classes for _, corpus in read if corpus.generator is not None
        }
        for loader, classes in classes_by_loader.items():
            for pattern in tokens.get("classes", ()):
                if not _means(pattern, classes):
                    yield f"tokens.classes: {pattern!r} is not a class of {loader}; {choose(pattern, dict.fromkeys(classes))}"
    if tokens["sequences"] is None:
        for name in (name for name, corpus in read if corpus.entry.get("streaming")):
            yield f"tokens.sequences: a number is needed, because {name} is streamed and its length is not known"


def _means(pattern: str, classes: Iterable[str]) -> bool:
    """Whether a class, or one that ends in *, is among the classes."""
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for name in classes)
