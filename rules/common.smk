"""The sweep, its graph of jobs, and the functions that rules ask."""

import inspect
import json
import math
import sys
from pathlib import Path

from snakemake.io import IOFile

from idsweep.config.command_line import typed
from idsweep.config.load import ConfigError, load
from idsweep.figures import registry as figure_registry
from idsweep.files.representations import VOCABULARY
from idsweep.sweep.checks import foreseen
from idsweep.sweep.expand import expand as expand_sweep
from idsweep.sweep.outputs import table_names
from idsweep.sweep.texts import check_texts
from idsweep.workflow import kept, places, preflight
from idsweep.workflow import report as sweep_report
from idsweep.training import kinds as trainings
from idsweep.workflow.job_graph import JobGraph, script_of
from idsweep.workflow.partial import left_out, measured_part
from idsweep.workflow.records import Unrecorded
from idsweep.workflow.paths import MADE_BY, outputs
from idsweep.workflow.patterns import one_of

try:
    given = typed(config, workflow.config_settings.config_args or ())
    SWEEP = expand_sweep(load(given, Path(workflow.basedir) / "config", workflow.configfiles))
    GRAPH = JobGraph(SWEEP)
    kept.put_back_of_killed(Path("results", SWEEP.name))
    if SWEEP.config["partial"]:
        SWEEP = measured_part(SWEEP, GRAPH)
        GRAPH = JobGraph(SWEEP)
    else:
        check_texts(SWEEP)
except ConfigError as error:
    sys.exit(str(error))
UNRECORDED = Unrecorded(GRAPH)
COMPUTE = SWEEP.config["compute"]

# A sweep is one run of the workflow; its name is no wildcard, so that Snakemake tells the stages apart by how paths begin.
RESULTS = f"results/{SWEEP.name}"


pathvars:
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


def made_by(rule, candidates):
    """Regular expression of the models or tokenizers that one rule makes."""
    return one_of(name for name, candidate in candidates.items() if candidate.made_by == rule)


wildcard_constraints:
    model=one_of(SWEEP.known),
    tokenizer=one_of(SWEEP.tokenizers()),
    checkpoint=one_of({name for model in SWEEP.known.values() for name in model.checkpoints}),
    dataset=one_of([*SWEEP.datasets, VOCABULARY]),
    cloud=one_of(SWEEP.config["clouds"]),
    set=one_of(SWEEP.config["estimator_sets"]),
    part=one_of(SWEEP.parts),
    layers=one_of({block for model, _, dataset in SWEEP.passes() for block in SWEEP.blocks(model, dataset)}),
    table=one_of(MADE_BY),
    figure=one_of(SWEEP.config["figures"]),


# ---- inputs, outputs and settings: all of it from the graph of jobs


def asked_often(function):
    """A function whose signature Snakemake need not find out anew for each of thousands of jobs: a tenth of a plan's time."""
    function.__signature__ = inspect.signature(function)
    return function


def inputs_of(rule):
    """Name -> path or paths that a job reads. Of what Snakemake has no record, it hears here that it is to be made again."""

    @asked_often
    def inputs(wildcards):
        names = dict(wildcards.items())
        if workflow.is_main_process:
            workflow.dag.forcefiles.update(UNRECORDED.stale(rule, tuple(sorted(names.items())), is_recorded))
        return GRAPH.inputs(rule, **names)

    return inputs


def is_recorded(path):
    """Whether Snakemake knows what a file was made with."""
    return workflow.persistence.metadata(IOFile(path)) is not None


def outputs_of(rule):
    """Name -> pattern of what a rule writes."""
    return {name: f"{RESULTS}/{pattern}" for name, pattern in outputs(rule).items()}


def settings_of(rule):
    """What shapes the numbers of a job, as canonical JSON (Snakemake compares `repr`, not names).

    Snakemake's report holds it within a script of the page, which a `<` in it could end.
    """
    return asked_often(
        lambda wildcards: json.dumps(GRAPH.settings(rule, **dict(wildcards.items())), sort_keys=True).replace(
            "<", r"\u003c"
        )
    )


def signature_of(rule):
    """One hash of settings, source, versions and upstream signatures: the job is stale when it changes."""
    return asked_often(lambda wildcards: GRAPH.signature(rule, **dict(wildcards.items())))


def places_of(rule):
    """Name -> where something lies that a script reads beside its inputs; resources hold no mappings and lists, so these are JSON."""

    def place_of(name):
        @asked_often
        def place(wildcards):
            found = GRAPH.read(rule, **dict(wildcards.items()))[name]
            return found if isinstance(found, str) else json.dumps(found)

        return place

    return {name: place_of(name) for name in places.READ[script_of(rule)]}


def beside(name):
    """Something else that a script is given, on which no number hangs."""
    return asked_often(lambda wildcards: getattr(GRAPH.places, name)(**dict(wildcards.items())))


def kept_if_asked(rule, output):
    """The pattern of an output that is deleted after use, unless the config keeps it (`keep_embeddings` …)."""
    pattern = outputs_of(rule)[output]
    return pattern if SWEEP.config[f"keep_{output}"] else temp(pattern)


FIGURE_FILES = [
    pattern.format(figure=figure)
    for figure in SWEEP.config["figures"]
    for pattern in outputs_of("draw_figure").values()
]
TABLE_FILES = [f"{RESULTS}/tables/{table}.{ending}" for table in table_names(SWEEP) for ending in ("parquet", "csv")]
REPORT = outputs_of("write_report")["report"]


# ---- resources

# Many clouds share the cores, a thread each; a few take several, so that none stands idle.
CORES = workflow.global_resources.get("_cores").value or 1
THREADS = max(1, min(8, CORES // sum(1 for _ in SWEEP.passes())))
# `resources: checkpoint_disk_gb` of a profile (or --resources) bounds the disk that fetched checkpoints take.
DISK_BOUND = workflow.global_resources.get("checkpoint_disk_gb").value


def growing(amount):
    """Memory or minutes (a number, or a function of the wildcards), and as much again at every further attempt."""
    return asked_often(lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount))


@asked_often
def memory_of(wildcards):
    """MB for a model and its hidden states on the way to the disk: published weights may be 16-bit, loaded ones 32-bit."""
    model = SWEEP.known[wildcards.model]
    return 6000 + round(2500 * (model.size_gb + (model.base[0].size_gb if model.base else 0)))


@asked_often
def memory_of_training(wildcards):
    """MB for a training from a base: 32-bit weights, their gradients and two moments of each."""
    base, _ = SWEEP.known[wildcards.model].start
    return 6000 + round(10000 * base.entry.get("size_gb", 0.5))


def threads_of(training):
    """The threads that a training computes in; on this machine one core stays free for what is measured beside it."""
    here = min(training.threads, max(1, CORES - 1))
    return lambda wildcards: training.threads if workflow.non_local_exec else here


@asked_often
def gpus_of(wildcards):
    """What a device means to a scheduler. `auto` takes a GPU where one happens to be; a submitted job gets what it asks for."""
    return int(COMPUTE["device"] == "cuda" or (COMPUTE["device"] == "auto" and workflow.non_local_exec))


@asked_often
def size_of(wildcards):
    """GB of one fetched checkpoint, as the catalog says."""
    return str(SWEEP.known[wildcards.model].entry.get("size_gb", 1))


@asked_often
def disk_bound_of(wildcards):
    """Adapters, small as they are, wait for nothing: what they build on is there for them."""
    return 0 if SWEEP.known[wildcards.model].base else DISK_BOUND or 0


@asked_often
def disk_of(wildcards):
    """The same for Snakemake, whose resources are whole numbers; a checkpoint beyond the bound comes alone."""
    return min(math.ceil(float(size_of(wildcards))), DISK_BOUND or sys.maxsize)


# With `resources: serial=1` and `group-components: estimates=N`, as in profiles/slurm, N estimates are one submission.
# Left to itself, Snakemake takes any N; these are neighbours in the sweep, so that none waits for (or is lost with) a
# checkpoint far away.
SERIAL = workflow.global_resources.get("serial").value
PLACE_IN_SWEEP = {output.names: i for i, output in enumerate(GRAPH.estimates(SWEEP.clouds()))} if SERIAL else {}


def submission_of(wildcards):
    """The group with which an estimate is submitted."""
    together = workflow.group_settings.group_components.get("estimates", 1)
    place_in_sweep = PLACE_IN_SWEEP.get(tuple(sorted(wildcards.items())), 0)
    submission = f"estimates_{place_in_sweep // together}"
    workflow.parent_groupids[submission] = "estimates"  # whose components are counted
    return submission


# ---- before the run


def complaints():
    """What keeps this run from its work, or the jobs of it that are to run on this machine."""
    jobs = list(workflow.dag.needrun_jobs())
    yield preflight.not_writable(RESULTS)
    yield preflight.from_the_future(jobs)
    if workflow.touch:
        return
    yield preflight.no_cluster(workflow)
    here = [job for job in jobs if workflow.is_local(job.rule)]
    if COMPUTE["device"] == "cuda" and preflight.asks_for_a_gpu(workflow, here):
        yield preflight.no_gpu()
    yield preflight.no_hub(*preflight.from_the_hub(here, GRAPH))


# Report captions are the figures' own descriptions; they reach the caption files through the config, as what heads the report.
config["captions"] = {figure: figure_registry.description(figure) for figure in figure_registry.names()}
config["heading"] = sweep_report.heading(SWEEP.config)
