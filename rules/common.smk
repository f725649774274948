"""The sweep, the path patterns that every rule shares, and the functions that rules ask."""

import json
import sys
from pathlib import Path

from idsweep import config as configuration
from idsweep.figures import registry as figure_registry
from idsweep.signature import Digests
from idsweep.staleness import Staleness
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

TOKENIZER = "results/{sweep}/tokenizers/{model}"
TRAINED = "results/{sweep}/training/{model}/checkpoints"
METRICS = "results/{sweep}/training/{model}/metrics.parquet"
FETCHED = "results/{sweep}/checkpoints/{model}/{checkpoint}"
TOKENS = "results/{sweep}/tokens/{model}/{dataset}.parquet"
SEQUENCES = "results/{sweep}/sequences/{model}/{dataset}.parquet"
EMBEDDINGS = "results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet"
NEIGHBORS = "results/{sweep}/neighbors/{model}/{checkpoint}/{dataset}.parquet"
ESTIMATES = "results/{sweep}/estimates/{set}/{model}/{checkpoint}/{dataset}/layer_{layer}.parquet"
TABLE = "results/{sweep}/tables/{table}.parquet"
CSV = "results/{sweep}/tables/{table}.csv"
FIGURE = "results/{sweep}/figures/{figure}.{ending}"
ABOUT = "results/{sweep}/about.html"
REPORT = "results/{sweep}/report.html"


def one_of(names):
    """Regular expression of exactly these names; one that matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    sweep=one_of([SWEEP.name]),
    model=one_of(SWEEP.models),
    checkpoint="[^/]+",
    dataset=one_of(SWEEP.datasets),
    set=one_of(SWEEP.config["estimator_sets"]),
    layer="[0-9]+",
    table="local|global|training",
    figure=one_of(SWEEP.config["figures"]),


def names_of(wildcards):
    """The wildcards that name a job; its sweep is one and the same, its layers share a signature."""
    return {key: value for key, value in wildcards.items() if key not in ("sweep", "layer")}


def settings_of(rule):
    """What shapes the numbers of a job, as canonical JSON (Snakemake compares `repr`, not names)."""
    return lambda wildcards: json.dumps(STALENESS.settings(rule, **names_of(wildcards)), sort_keys=True)


def signature_of(rule):
    """One hash of settings, source, versions and upstream signatures: the job is stale when it changes."""
    return lambda wildcards: STALENESS.signature(rule, **names_of(wildcards))


def weights_of(wildcards):
    """The rule's input that holds a checkpoint's weights; nothing for weights that are simply there."""
    source = SWEEP.models[wildcards.model].source
    return {"train": TRAINED, "hub": FETCHED}.get(source, [])


def training_of(wildcards):
    """The training curve beside trained weights, for its provenance."""
    return [METRICS] if SWEEP.models[wildcards.model].source == "train" else []


def corpus_of(wildcards):
    """The local file with the texts of a job; empty for texts from the hub. What it holds is in the signature."""
    if "dataset" in wildcards.keys():
        corpus = SWEEP.datasets[wildcards.dataset]
    else:
        corpus = SWEEP.training_corpus(SWEEP.models[wildcards.model])
    return str(corpus.file or "")


def weights_folder(wildcards):
    """The folder with one checkpoint's weights."""
    model = SWEEP.models[wildcards.model]
    folder = model.weights(wildcards.checkpoint)
    if folder is not None:
        return str(folder)
    return (f"{TRAINED}/{{checkpoint}}" if model.source == "train" else FETCHED).format(**wildcards)


def tokenizer_of(wildcards):
    return TOKENIZER if SWEEP.models[wildcards.model].tokenizer is None else []


def tokenizer_folder(wildcards):
    folder = SWEEP.models[wildcards.model].tokenizer
    return TOKENIZER.format(**wildcards) if folder is None else str(folder)


def kept_if_asked(path):
    return path if SWEEP.config["keep_embeddings"] else temp(path)


NEEDS_VECTORS = {
    set: any(configuration.needs_vectors(item) for item in items)
    for set, items in SWEEP.config["estimator_sets"].items()
}


def cloud_of(wildcards):
    """The neighbour graph and the tokens behind its points, and the vectors only where an estimator of the set needs them."""
    return {"neighbors": NEIGHBORS, "tokens": TOKENS} | (
        {"embeddings": EMBEDDINGS} if NEEDS_VECTORS[wildcards.set] else {}
    )


def estimates_of(clouds):
    return [
        ESTIMATES.format(
            sweep=SWEEP.name, set=set, model=model.name, checkpoint=checkpoint.name, dataset=dataset.name, layer=layer
        )
        for set in SWEEP.config["estimator_sets"]
        for model, checkpoint, dataset in clouds
        for layer in model.layers
    ]


ALL_ESTIMATES = estimates_of(list(SWEEP.clouds()))
LAST_ESTIMATES = estimates_of([cloud for cloud in SWEEP.clouds() if cloud[1] == cloud[0].last_checkpoint])


def files_of_table(table):
    """The files behind one input of a figure: `pointwise` is the last checkpoints' estimates as they are."""
    return LAST_ESTIMATES if table == "pointwise" else TABLE.format(sweep=SWEEP.name, table=table)


def tables_of_figure(wildcards):
    return {table: files_of_table(table) for table in figure_registry.tables(wildcards.figure)}


FIGURE_FILES = [
    FIGURE.format(sweep=SWEEP.name, figure=figure, ending=ending)
    for figure in SWEEP.config["figures"]
    for ending in ("pdf", "png", "svg")
]
TABLES = ["local", "global"] + (["training"] if SWEEP.trained() else [])
TABLE_FILES = [pattern.format(sweep=SWEEP.name, table=table) for table in TABLES for pattern in (TABLE, CSV)]

# What a device request means to a scheduler; `auto` takes a GPU only where one happens to be.
GPUS = int(COMPUTE["device"] == "cuda")

# Report captions are the figures' own descriptions; they reach the caption file through the config.
config["captions"] = {figure: figure_registry.description(figure) for figure in figure_registry.names()}
