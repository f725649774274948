"""What jobs ask of a machine or a scheduler: memory, time, threads, GPUs, disk, and which are submitted together."""

import functools
import math
import sys

from idsweep.planning.jobs import Sizes, cost_of

SIZES = Sizes(SWEEP)
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


def memory_as_planned(rule, least):
    """MB that the plan has for a job of the rule, and no less than `least`: the same at every checkpoint."""
    planned = functools.cache(lambda names: max(least, math.ceil(cost_of(SIZES, rule, **dict(names)).memory / 1e6)))
    return asked_often(
        lambda wildcards: planned(tuple(name for name in sorted(wildcards.items()) if name[0] != "checkpoint"))
    )


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
    submission = "_".join(["estimates", *([__name__] if IS_MODULE else []), str(place_in_sweep // together)])
    workflow.parent_groupids[submission] = "estimates"  # whose components are counted
    return submission
