"""The sweep, the path patterns that every rule shares, and the functions that rules ask."""

import json
import math
import sys
from pathlib import Path

from idsweep.config.load import ConfigError, load, needs_vectors
from idsweep.figures import registry as figure_registry
from idsweep.files.representations import VOCABULARY
from idsweep.sweep import comparisons, figure_checks
from idsweep.sweep.models import safe
from idsweep.sweep.expand import expand as expand_sweep
from idsweep.workflow import preflight
from idsweep.workflow import report as sweep_report
from idsweep.sweep.outputs import MADE_BY, table_names
from idsweep.training import kinds as trainings
from idsweep.workflow.job_graph import Staleness
from idsweep.workflow.partial import left_out, measured_part
from idsweep.workflow.signature import Digests

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
DIGESTS = Digests(Path(".snakemake/idsweep/digests.json"))

try:
    SWEEP = expand_sweep(load(config, Path(workflow.basedir) / "config"))
except ConfigError as error:
    sys.exit(str(error))
STALENESS = Staleness(SWEEP, SCRIPTS, DIGESTS)
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
NEIGHBORS = f"{RESULTS}/neighbors/{{model}}/{{checkpoint}}/{{dataset}}/{{cloud}}.parquet"
ESTIMATES = f"{RESULTS}/estimates/{{set}}/{{model}}/{{checkpoint}}/{{dataset}}/{{cloud}}/{{layers}}.parquet"
DESCRIBED = f"{RESULTS}/token_tables/{{set}}/{{model}}/{{checkpoint}}/{{dataset}}/{{cloud}}"
TABLE = f"{RESULTS}/tables/{{table}}.parquet"
CSV = f"{RESULTS}/tables/{{table}}.csv"
FIGURE = f"{RESULTS}/figures/{{figure}}.{{ending}}"
ABOUT = f"{RESULTS}/about.html"
REPORT = f"{RESULTS}/report.html"

if SWEEP.config["partial"]:
    try:
        SWEEP = measured_part(SWEEP, STALENESS, ESTIMATES.format)
    except ConfigError as error:
        sys.exit(str(error))
    STALENESS = Staleness(SWEEP, SCRIPTS, DIGESTS)


def one_of(names):
    """Regular expression of exactly these names; one that matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def made_by(rule, made):
    """Regular expression of the models or tokenizers that one rule makes."""
    return one_of(name for name, one in made.items() if one.made_by == rule)


BLOCKS = {block for model, _, dataset in SWEEP.passes() for block in SWEEP.blocks(model, dataset)}


wildcard_constraints:
    model=one_of(SWEEP.known),
    tokenizer=one_of(SWEEP.tokenizers()),
    checkpoint=one_of({name for model in SWEEP.known.values() for name in model.checkpoints}),
    dataset=one_of([*SWEEP.datasets, VOCABULARY]),
    cloud=one_of(SWEEP.config["clouds"]),
    set=one_of(SWEEP.config["estimator_sets"]),
    layers=one_of(BLOCKS),
    table=one_of(MADE_BY),
    figure=one_of(SWEEP.config["figures"]),


def settings_of(rule):
    """What shapes the numbers of a job, as canonical JSON (Snakemake compares `repr`, not names).

    Snakemake's report holds it within a script of the page, which a `<` in it could end.
    """
    return lambda wildcards: json.dumps(STALENESS.settings(rule, **dict(wildcards.items())), sort_keys=True).replace(
        "<", r"\u003c"
    )


def signature_of(rule):
    """One hash of settings, source, versions and upstream signatures: the job is stale when it changes."""
    return lambda wildcards: STALENESS.signature(rule, **dict(wildcards.items()))


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
    ending = ".bin" if model.kind == "static" else ""
    return made.format(model=model.name, checkpoint=checkpoint) + ending


def start_of(wildcards):
    """What rules make of the weights that a training starts from; nothing for weights that are simply there."""
    start = SWEEP.known[wildcards.model].start
    if start is None or start[0].source not in MADE:
        return []
    return [MADE[start[0].source].format(model=start[0].name, checkpoint=start[1].name)]


def start_folder(wildcards):
    start = SWEEP.known[wildcards.model].start
    return folder_of(start[0], start[1].name) if start else ""


def training_corpora_of(wildcards):
    return SWEEP.training_corpora(SWEEP.known[wildcards.model].entry)


def training_prepared_of(wildcards):
    """The utterances that rules make of releases, of all that a training reads."""
    read = training_corpora_of(wildcards).values()
    return sorted({CORPUS.format(release=corpus.source) for corpus in read if corpus.prepared})


def training_corpora_files(wildcards):
    """Key -> the file or folder with the texts, empty for texts from the hub; as JSON, since resources hold no mappings."""
    files = {
        key: CORPUS.format(release=corpus.source) if corpus.prepared else str(corpus.file or "")
        for key, corpus in training_corpora_of(wildcards).items()
    }
    return json.dumps(files)


def weights_folder(wildcards):
    """The folder with the weights that are loaded: a checkpoint's own, or those that its adapters build on."""
    return folder_of(*checkpoints_of(wildcards)[-1])


def adapter_folder(wildcards):
    """The folder with a checkpoint's adapters; empty for whole checkpoints."""
    own, *base = checkpoints_of(wildcards)
    return folder_of(*own) if base else ""


def memory_of(wildcards):
    """MB for a model and its hidden states on the way to the disk: published weights may be 16-bit, loaded ones 32-bit."""
    return 6000 + round(2500 * sum(model.size_gb for model, _ in checkpoints_of(wildcards)))


def memory_of_training(wildcards):
    """MB for a training from a base: 32-bit weights, their gradients and two moments of each."""
    base, _ = SWEEP.known[wildcards.model].start
    return 6000 + round(10000 * base.entry.get("size_gb", 0.5))


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
    """The dataset that a job reads: the one that is measured, or the one that its tokenizer is trained on."""
    if "dataset" in wildcards.keys():
        return SWEEP.corpus(wildcards.dataset, SWEEP.tokenizers()[wildcards.tokenizer].owner)
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
    if tokenizer.made_by in trainings.by_rule():  # static vectors, whose words are the tokens
        return TRAINED.format(model=tokenizer.name)
    return TOKENIZER.format(tokenizer=tokenizer.name) if tokenizer.folder is None else []


def tokenizer_folder(wildcards):
    """The folder (file, of static vectors) with a tokenizer."""
    tokenizer = tokenizer_named(wildcards)
    if tokenizer.made_by in trainings.by_rule():
        return f"{tokenizer_of(wildcards)}/final.bin"
    return tokenizer_of(wildcards) or str(tokenizer.folder)


def training_tokenizer_of(wildcards):
    """The same for a training, but for static vectors, which it makes."""
    return [] if SWEEP.known[wildcards.model].training.makes_vectors else tokenizer_of(wildcards)


def training_tokenizer_folder(wildcards):
    return "" if SWEEP.known[wildcards.model].training.makes_vectors else tokenizer_folder(wildcards)


def counted_of(wildcards):
    """The utterances that a rule makes of the dataset in which vocabularies are counted; nothing for other datasets."""
    counted_in = SWEEP.config["vocabulary"]["counted_in"]
    corpus = SWEEP.corpora[safe(counted_in)] if counted_in else None
    return CORPUS.format(release=corpus.source) if corpus and corpus.prepared else []


def counted_file(wildcards):
    counted_in = SWEEP.config["vocabulary"]["counted_in"]
    return counted_of(wildcards) or (str(SWEEP.corpora[safe(counted_in)].file or "") if counted_in else "")


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


def kept_if_asked(path, kind="embeddings"):
    return path if SWEEP.config[f"keep_{kind}"] else temp(path)


NEEDS_VECTORS = {
    set: any(needs_vectors(item) for item in items) for set, items in SWEEP.config["estimator_sets"].items()
}


def cloud_of(wildcards):
    """The neighbour graph and the tokens behind its points, and the vectors only where an estimator of the set needs them."""
    return {"neighbors": NEIGHBORS, "tokens": tokens_of(wildcards)} | (
        {"embeddings": EMBEDDINGS} if NEEDS_VECTORS[wildcards.set] else {}
    )


def names_of_pass(model, checkpoint, dataset):
    return {"model": model.name, "checkpoint": checkpoint.name, "dataset": dataset}


def estimates_of(clouds):
    return [
        ESTIMATES.format(set=set, layers=layers, **cloud.names())
        for cloud in clouds
        for set, layers in SWEEP.estimates(cloud)
    ]


def described_of(wildcards):
    """Every representation's estimates of one set and cloud, the tokens and, of texts, what the model makes of them."""
    blocks = SWEEP.blocks(SWEEP.models[wildcards.model], wildcards.dataset)
    given = {
        "estimates": [ESTIMATES.replace("{layers}", layers) for layers in blocks],
        "tokens": tokens_of(wildcards),
    }
    if wildcards.dataset == VOCABULARY:
        return given
    return given | {"sequences": sequences_of(wildcards), "predictions": PREDICTIONS}


PASSES = list(SWEEP.passes())
CLOUDS = list(SWEEP.clouds())
ALL_ESTIMATES = estimates_of(CLOUDS)
LAST_ESTIMATES = estimates_of([cloud for cloud in CLOUDS if cloud.checkpoint == cloud.model.last_checkpoint])
WITH_LOSSES = [made for made in PASSES if made[2] != VOCABULARY and SWEEP.has_losses(made[0])]
PAIRS = comparisons.pairs(SWEEP)


def of_pairs(drawn):
    """The clouds of models that are compared and of their bases; drawn: of each model only checkpoints that `shifts` draws."""
    wanted = {(pair.base.name, pair.checkpoint.name) for pair in PAIRS}
    for pair in PAIRS:
        held = figure_checks.shifted(SWEEP, pair.model) if drawn else pair.model.checkpoints.values()
        wanted |= {(pair.model.name, checkpoint.name) for checkpoint in held}
    return [c for c in CLOUDS if (c.model.name, c.checkpoint.name) in wanted and c.dataset != VOCABULARY]


def tokens_with_losses():
    """The tokens behind each file of log-probabilities."""
    return [TOKENS.format(tokenizer=model.tokenizer.name, dataset=dataset) for model, _, dataset in WITH_LOSSES]


def tokens_of_pairs():
    """The tokens behind each of the compared clouds' estimates."""
    return [
        TOKENS.format(tokenizer=cloud.model.tokenizer.name, dataset=cloud.dataset)
        for cloud in of_pairs(drawn=False)
        for _ in SWEEP.estimates(cloud)
    ]


def token_tables_of(table):
    return [
        f"{DESCRIBED}/{table}.parquet".format(set=set, **cloud.names())
        for cloud in CLOUDS
        for set in SWEEP.config["estimator_sets"]
        if SWEEP.items(set, cloud.cloud)
    ]


def files_of_table(table):
    """The files behind one input of a figure; some are estimates and log-probabilities as they are."""
    if table == "pointwise":
        return LAST_ESTIMATES
    if table == "compared":
        return estimates_of(of_pairs(drawn=True))
    if table == "predictions":
        last = [made for made in WITH_LOSSES if made[1] == made[0].last_checkpoint]
        return [PREDICTIONS.format(**names_of_pass(*made)) for made in last]
    return TABLE.format(table=table)


def tables_of_figure(wildcards):
    return {table: files_of_table(table) for table in figure_registry.tables(wildcards.figure)}


FIGURE_FILES = [
    FIGURE.format(figure=figure, ending=ending)
    for figure in SWEEP.config["figures"]
    for ending in ("pdf", "png", "svg")
]
TABLE_FILES = [pattern.format(table=table) for table in table_names(SWEEP) for pattern in (TABLE, CSV)]

# Many clouds share the cores, a thread each; a few take several, so that none stands idle.
CORES = workflow.global_resources.get("_cores").value or 1
THREADS = max(1, min(8, CORES // len(PASSES)))


def gpus_of(wildcards):
    """What a device means to a scheduler. `auto` takes a GPU where one happens to be; a submitted job gets what it asks for."""
    return int(COMPUTE["device"] == "cuda" or (COMPUTE["device"] == "auto" and workflow.non_local_exec))


def growing(amount):
    """Memory or minutes (a number, or a function of the wildcards), and as much again at every further attempt."""
    return lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount)


# With `resources: serial=1` and `group-components: estimates=N`, as in profiles/slurm, N estimates are one submission.
# Left to itself, Snakemake takes any N; these are neighbours in the sweep, so that none waits for (or is lost with) a
# checkpoint far away.
SERIAL = workflow.global_resources.get("serial").value
PLACES = {file: place for place, file in enumerate(ALL_ESTIMATES)} if SERIAL else {}


def submission_of(wildcards):
    """The group with which an estimate is submitted."""
    together = workflow.group_settings.group_components.get("estimates", 1)
    submission = f"estimates_{PLACES.get(ESTIMATES.format(**dict(wildcards.items())), 0) // together}"
    workflow.parent_groupids[submission] = "estimates"  # whose components are counted
    return submission


def hub_datasets_of(job):
    """The datasets of the hub that a job reads."""
    if "corpora" in job.rule.resources:
        read = training_corpora_of(job.wildcards).values()
    else:
        reads_one = job.rule.name in ("sample_tokens", "train_tokenizer")
        read = [corpus_named(job.wildcards)] if reads_one else []
    return [corpus.entry["hub"] for corpus in read if corpus.remote]


def complaints():
    """What keeps this run from its work, or the jobs of it that are to run on this machine."""
    jobs = list(workflow.dag.needrun_jobs())
    yield preflight.not_writable(RESULTS)
    yield preflight.from_the_future(jobs)
    if workflow.touch:
        return
    here = [job for job in jobs if workflow.is_local(job.rule)]
    fetched = [
        json.loads(job.params.settings) for job in here if job.rule.name in ("fetch_checkpoint", "fetch_tokenizer")
    ]
    wanted = COMPUTE["device"] == "cuda"
    yield preflight.no_gpu() if wanted and preflight.asks_for_a_gpu(workflow, here) else None
    yield preflight.no_hub(
        [(model["hub"], model["revision"]) for model in fetched],
        [dataset for job in here for dataset in hub_datasets_of(job)],
    )


# Report captions are the figures' own descriptions; they reach the caption files through the config, as what heads the report.
config["captions"] = {figure: figure_registry.description(figure) for figure in figure_registry.names()}
config["heading"] = sweep_report.heading(SWEEP.config)
