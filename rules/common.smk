"""The sweep, the path patterns that every rule shares, and the functions that rules ask."""

import json
import math
import sys
from pathlib import Path

from idsweep import config as configuration
from idsweep.figures import registry as figure_registry
from idsweep.representations import VOCABULARY
from idsweep.signature import Digests
from idsweep.staleness import MADE_BY, Staleness
from idsweep.sweep import expand as expand_sweep

try:
    SWEEP = expand_sweep(configuration.load(config, Path(workflow.basedir) / "config"))
except configuration.ConfigError as error:
    sys.exit(str(error))

STALENESS = Staleness(
    SWEEP,
    scripts=Path(workflow.basedir) / "workflow_scripts",
    digests=Digests(Path(".snakemake/idsweep/digests.json")),
)
COMPUTE = SWEEP.config["compute"]

# A sweep is one run of the workflow; its name is no wildcard, so that Snakemake tells the stages apart by how paths begin.
RESULTS = f"results/{SWEEP.name}"


pathvars:
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


CORPUS = f"{RESULTS}/corpora/{{release}}.parquet"
TOKENIZER = f"{RESULTS}/tokenizers/{{tokenizer}}"
TRAINED = f"{RESULTS}/training/{{model}}/checkpoints"
METRICS = f"{RESULTS}/training/{{model}}/metrics.parquet"
FETCHED = f"{RESULTS}/checkpoints/{{model}}/{{checkpoint}}"
TOKENS = f"{RESULTS}/tokens/{{tokenizer}}/{{dataset}}.parquet"
SEQUENCES = f"{RESULTS}/sequences/{{tokenizer}}/{{dataset}}.parquet"
EMBEDDINGS = f"{RESULTS}/embeddings/{{model}}/{{checkpoint}}/{{dataset}}.parquet"
PREDICTIONS = f"{RESULTS}/predictions/{{model}}/{{checkpoint}}/{{dataset}}.parquet"
LOSSES = f"{RESULTS}/losses/{{model}}/{{checkpoint}}/{{dataset}}.parquet"
NEIGHBORS = f"{RESULTS}/neighbors/{{model}}/{{checkpoint}}/{{dataset}}.parquet"
ESTIMATES = f"{RESULTS}/estimates/{{set}}/{{model}}/{{checkpoint}}/{{dataset}}/{{representation}}.parquet"
TABLE = f"{RESULTS}/tables/{{table}}.parquet"
CSV = f"{RESULTS}/tables/{{table}}.csv"
FIGURE = f"{RESULTS}/figures/{{figure}}.{{ending}}"
ABOUT = f"{RESULTS}/about.html"
REPORT = f"{RESULTS}/report.html"


def one_of(names):
    """Regular expression of exactly these names; one that matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def made_by(rule, made):
    """Regular expression of the models or tokenizers that one rule makes."""
    return one_of(name for name, one in made.items() if one.made_by == rule)


wildcard_constraints:
    model=one_of(SWEEP.known),
    tokenizer=one_of(SWEEP.tokenizers()),
    checkpoint=one_of({name for model in SWEEP.known.values() for name in model.checkpoints}),
    dataset=one_of([*SWEEP.datasets, VOCABULARY]),
    set=one_of(SWEEP.config["estimator_sets"]),
    representation="[^/]+",
    table=one_of(MADE_BY),
    figure=one_of(SWEEP.config["figures"]),


def names_of(wildcards):
    """The wildcards that name a job; its representations share a signature."""
    return {key: value for key, value in wildcards.items() if key != "representation"}


def settings_of(rule):
    """What shapes the numbers of a job, as canonical JSON (Snakemake compares `repr`, not names)."""
    return lambda wildcards: json.dumps(STALENESS.settings(rule, **names_of(wildcards)), sort_keys=True)


def signature_of(rule):
    """One hash of settings, source, versions and upstream signatures: the job is stale when it changes."""
    return lambda wildcards: STALENESS.signature(rule, **names_of(wildcards))


MADE = {"train": TRAINED, "hub": FETCHED}


def checkpoints_of(wildcards):
    """The model and checkpoint of a job and, of adapters, those that they build on."""
    model = SWEEP.known[wildcards.model]
    return [(model, wildcards.checkpoint), *([(model.base[0], model.base[1].name)] if model.base else [])]


def weights_of(wildcards):
    """What rules make of a job's weights; nothing for weights that are simply there."""
    return [
        MADE[model.source].format(model=model.name, checkpoint=checkpoint)
        for model, checkpoint in checkpoints_of(wildcards)
        if model.source in MADE
    ]


def folder_of(model, checkpoint):
    """The folder (file, of static vectors) with a checkpoint."""
    made = {"train": f"{TRAINED}/{{checkpoint}}", "hub": FETCHED}.get(model.source)
    if made is None:
        return str(model.weights(checkpoint))
    return made.format(model=model.name, checkpoint=checkpoint)


def weights_folder(wildcards):
    """The folder with the weights that are loaded: a checkpoint's own, or those that its adapters build on."""
    return folder_of(*checkpoints_of(wildcards)[-1])


def adapter_folder(wildcards):
    """The folder with a checkpoint's adapters; empty for whole checkpoints."""
    own, *base = checkpoints_of(wildcards)
    return folder_of(*own) if base else ""


def memory_of(wildcards):
    """MB for a model and its hidden states on the way to the disk: published weights may be 16-bit, loaded ones 32-bit."""
    sizes = [model.entry.get("size_gb", 1) for model, _ in checkpoints_of(wildcards)]
    return 6000 + round(2500 * sum(sizes))


# `resources: checkpoint_disk_gb` of a profile (or --resources) bounds the disk that fetched checkpoints take.
DISK_BOUND = workflow.global_resources.get("checkpoint_disk_gb").value


def size_of(wildcards):
    """GB of one fetched checkpoint, as the catalog says."""
    return str(SWEEP.known[wildcards.model].entry.get("size_gb", 1))


def disk_bound_of(wildcards):
    """Adapters, small as they are, wait for nothing: what they build on is there for them."""
    return 0 if SWEEP.known[wildcards.model].base else DISK_BOUND or 0


def disk_of(wildcards):
    """The same for Snakemake, whose resources are whole numbers; a checkpoint beyond the bound comes alone."""
    return min(math.ceil(float(size_of(wildcards))), DISK_BOUND or sys.maxsize)


def training_of(wildcards):
    """The training curve beside trained weights, for its provenance."""
    return [METRICS] if SWEEP.known[wildcards.model].source == "train" else []


def corpus_named(wildcards):
    """The dataset that a job reads: the one that is measured, or the one that its model or tokenizer is trained on."""
    if "dataset" in wildcards.keys():
        return SWEEP.corpus(wildcards.dataset, SWEEP.tokenizers()[wildcards.tokenizer].owner)
    if "model" in wildcards.keys():
        return SWEEP.training_corpus(SWEEP.known[wildcards.model].entry)
    return SWEEP.training_corpus(SWEEP.tokenizers()[wildcards.tokenizer].owner)


def prepared_of(wildcards):
    """The utterances that a rule makes of a dataset's release; nothing for other datasets."""
    corpus = corpus_named(wildcards)
    return CORPUS.format(release=corpus.source) if corpus.prepared else []


def corpus_of(wildcards):
    """The file or folder with the texts of a job; empty for texts from the hub. What it holds is in the signature."""
    return prepared_of(wildcards) or str(corpus_named(wildcards).file or "")


def tokenizer_named(wildcards):
    """The tokenizer of a job: its own, or that of its model."""
    if "tokenizer" in wildcards.keys():
        return SWEEP.tokenizers()[wildcards.tokenizer]
    return SWEEP.known[wildcards.model].tokenizer


def tokenizer_of(wildcards):
    """The tokenizer where the rules make it; nothing for one that is simply there."""
    tokenizer = tokenizer_named(wildcards)
    return TOKENIZER.format(tokenizer=tokenizer.name) if tokenizer.folder is None else []


def tokenizer_folder(wildcards):
    """The folder (file, of static vectors) with a tokenizer."""
    return tokenizer_of(wildcards) or str(tokenizer_named(wildcards).folder)


def mask_of(wildcards):
    """The same where a rule makes it and the job needs the mask token."""
    return tokenizer_of(wildcards) if SWEEP.masks(SWEEP.models[wildcards.model]) else []


def padding_side_of(wildcards):
    return SWEEP.models[wildcards.model].tokenizer.options.get("padding_side", "right")


def tokens_of(wildcards):
    """The sampled tokens of a model on a dataset: one file for all models that share a tokenizer."""
    tokenizer = SWEEP.models[wildcards.model].tokenizer.name
    return TOKENS.format(tokenizer=tokenizer, dataset=wildcards.get("dataset", VOCABULARY))


def sequences_of(wildcards):
    tokenizer = SWEEP.models[wildcards.model].tokenizer.name
    return SEQUENCES.format(tokenizer=tokenizer, dataset=wildcards.dataset)


def kept_if_asked(path):
    return path if SWEEP.config["keep_embeddings"] else temp(path)


NEEDS_VECTORS = {
    set: any(configuration.needs_vectors(item) for item in items)
    for set, items in SWEEP.config["estimator_sets"].items()
}


def cloud_of(wildcards):
    """The neighbour graph and the tokens behind its points, and the vectors only where an estimator of the set needs them."""
    return {"neighbors": NEIGHBORS, "tokens": tokens_of(wildcards)} | (
        {"embeddings": EMBEDDINGS} if NEEDS_VECTORS[wildcards.set] else {}
    )


def names_of_cloud(model, checkpoint, dataset):
    return {"model": model.name, "checkpoint": checkpoint.name, "dataset": dataset}


def estimates_of(clouds):
    return [
        ESTIMATES.format(set=set, representation=representation, **names_of_cloud(*cloud))
        for set in SWEEP.config["estimator_sets"]
        for cloud in clouds
        for representation in cloud[0].representations(cloud[2])
    ]


CLOUDS = list(SWEEP.clouds())
ALL_ESTIMATES = estimates_of(CLOUDS)
LAST_ESTIMATES = estimates_of([cloud for cloud in CLOUDS if cloud[1] == cloud[0].last_checkpoint])


def files_of_table(table):
    """The files behind one input of a figure: `pointwise` is the last checkpoints' estimates as they are."""
    return LAST_ESTIMATES if table == "pointwise" else TABLE.format(table=table)


def tables_of_figure(wildcards):
    return {table: files_of_table(table) for table in figure_registry.tables(wildcards.figure)}


FIGURE_FILES = [
    FIGURE.format(figure=figure, ending=ending)
    for figure in SWEEP.config["figures"]
    for ending in ("pdf", "png", "svg")
]
TABLES = ["local", "global"]
TABLES += ["training"] if SWEEP.trained() or SWEEP.brought_metrics() else []
TABLES += ["events", "leads", "correlations"] if SWEEP.has_dynamics() else []
TABLES += ["reference"] if "reference" in SWEEP.config else []
TABLE_FILES = [pattern.format(table=table) for table in TABLES for pattern in (TABLE, CSV)]

# Many clouds share the cores, a thread each; a few take several, so that none stands idle.
CORES = workflow.global_resources.get("_cores").value or 1
THREADS = max(1, min(8, CORES // len(CLOUDS)))

# What a device request means to a scheduler; `auto` takes a GPU only where one happens to be.
GPUS = int(COMPUTE["device"] == "cuda")

# Report captions are the figures' own descriptions; they reach the caption file through the config.
config["captions"] = {figure: figure_registry.description(figure) for figure in figure_registry.names()}
