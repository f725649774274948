"""The sweep, its graph of jobs, and the functions that rules ask."""

import functools
import inspect
import json
import sys
from pathlib import Path

from snakemake.io import IOFile
from snakemake.settings.types import RerunTrigger

from idsweep.config.command_line import typed
from idsweep.config.load import ConfigError, load
from idsweep.figures import registry as figure_registry
from idsweep.files.representations import VOCABULARY
from idsweep.sweep.checks import foreseen
from idsweep.sweep.expand import expand as expand_sweep
from idsweep.sweep.outputs import table_names
from idsweep.sweep.texts import check_texts
from idsweep.tables.captions import CAPTIONS
from idsweep.workflow import kept, places, preflight, repeated
from idsweep.workflow.heading import heading
from idsweep.training import kinds as trainings
from idsweep.workflow.job_graph import JobGraph, script_of
from idsweep.workflow.partial import left_out, measured_part
from idsweep.workflow.records import Unrecorded
from idsweep.workflow.paths import MADE_BY, outputs
from idsweep.workflow.same_tokens import SameTokens
from idsweep.workflow.patterns import one_of

# Where the results of all sweeps lie: another workflow may say so, by `pathvars:` of its own or of its module statement.
ROOT = workflow.pathvars.apply("<results>").rstrip("/")

try:
    given = typed(config, workflow.config_settings.config_args or (), within=IS_MODULE)
    SWEEP = expand_sweep(load(given, modules.config_folder(BASE), () if IS_MODULE else workflow.configfiles))
    GRAPH = JobGraph(SWEEP, root=ROOT)
    kept.put_back_of_killed(Path(GRAPH.folder))
    if SWEEP.config["partial"]:
        SWEEP = measured_part(SWEEP, GRAPH)
        GRAPH = JobGraph(SWEEP, root=ROOT)
    else:
        check_texts(SWEEP)
except ConfigError as error:
    sys.exit(f"module {__name__}: {error}" if IS_MODULE else str(error))
if IS_MODULE:
    preflight.refuse([modules.same_results(workflow, SWEEP.name, GRAPH.folder)])
UNRECORDED = Unrecorded(GRAPH)
SAME_TOKENS = SameTokens(SWEEP, GRAPH)
COMPUTE = SWEEP.config["compute"]

# A sweep is one run of the workflow; its name is no wildcard, so that Snakemake tells the stages apart by how paths begin.
RESULTS = GRAPH.folder


pathvars:
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


preflight.refuse([modules.elsewhere(workflow, RESULTS)])


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


@functools.cache
def only_what_is_stale():
    """Whether signatures alone say what runs: nothing is asked to run again, and changed inputs by themselves say nothing.

    The report runs nothing, and shows how all jobs depend on each other.
    """
    asked = workflow.dag_settings
    # Here, since Snakemake has no triggers yet while it reads the workflow.
    if IS_MODULE and workflow.is_main_process and RerunTrigger.CODE in asked.rerun_triggers:
        print(modules.misleading_trigger(__name__), file=sys.stderr)
    forced = asked.forceall or asked.forcerun or asked.forcetargets or "--report" in sys.argv
    return not forced and RerunTrigger.INPUT not in asked.rerun_triggers


def inputs_of(rule):
    """Name -> path or paths that a job reads; nothing for one that is done with vectors which were then deleted, or with
    tokens that are made again as they were.

    Snakemake would else make them again, and with them all that ever read them, for one new estimate of them. Of what it
    has no record, it hears here that it is to be made again.
    """

    @asked_often
    def read(wildcards):
        names = dict(wildcards.items())
        if only_what_is_stale() and repeated.is_done(GRAPH, workflow.persistence, rule, names):
            return {}
        if only_what_is_stale() and SAME_TOKENS.stay(workflow.persistence, rule, tuple(sorted(names.items()))):
            return {}
        if workflow.is_main_process:
            workflow.dag.forcefiles.update(UNRECORDED.stale(rule, tuple(sorted(names.items())), is_recorded))
        return GRAPH.inputs(rule, **names)

    return read


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
EXPLORER = outputs_of("write_explorer")["explorer"] if SWEEP.config["explorer"] else []
# A report that is current needs no tokens, but those beside it must be its own.
TOKEN_FILES = [] if SWEEP.config["partial"] else SAME_TOKENS.paths()


# ---- before the run


def own(jobs):
    """Jobs of this workflow among those of one that may import it as a module, once or under several names."""
    return [job for job in jobs if job.rule.module_globals["__name__"] == __name__]


def complaints():
    """What keeps this run from its work, or the jobs of it that are to run on this machine."""
    jobs = own(workflow.dag.needrun_jobs())
    yield preflight.not_writable(RESULTS)
    yield preflight.from_the_future(jobs)
    if workflow.touch:
        return
    yield preflight.no_cluster(workflow)
    here = [job for job in jobs if workflow.is_local(job.rule)]
    if COMPUTE["device"] == "cuda" and preflight.asks_for_a_gpu(workflow, here):
        yield preflight.no_gpu()
    yield preflight.no_hub(*preflight.from_the_hub(here, GRAPH))


def tell(text):
    """Print a text, if there is one, where Snakemake prints."""
    if text:
        print(text, file=sys.stderr)


def tell_alike(text):
    """Say which checkpoints hold the weights of others, or refuse to run."""
    if text and SWEEP.config["identical_checkpoints"] == "error":
        preflight.refuse([f"identical_checkpoints: error, and\n  {text}".replace("\n", "\n  ")])
    tell(text)


def tell_repeated_passes():
    """Say which forward passes this run, or the run that a dry run plans, makes again."""
    tell(repeated.in_run(own(workflow.dag.needrun_jobs(exclude_finished=False)), GRAPH))


# Captions of Snakemake's own report, and what heads it, reach the files in report/ through the config.
config["captions"] = {
    "figures": {figure: figure_registry.description(figure) for figure in SWEEP.config["figures"]},
    "tables": CAPTIONS,
}
config["heading"] = heading(SWEEP.config)
