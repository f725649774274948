"""`idsweep plan`: from a sweep's file to the page about it."""

from __future__ import annotations

from pathlib import Path

from idsweep.config.load import load
from idsweep.config.yaml_file import read_yaml
from idsweep.files.benchmarks import usage
from idsweep.files.project import PROJECT, in_project, sweep_file
from idsweep.planning.measured import factors
from idsweep.planning.page import page
from idsweep.planning.plan import corrected, plan
from idsweep.planning.profiles import bounds
from idsweep.sweep.expand import expand
from idsweep.sweep.sweep import Sweep
from idsweep.sweep.texts import check_texts
from idsweep.workflow import repeated
from idsweep.workflow.job_graph import JobGraph

CONFIG = PROJECT / "config"
RESULTS = Path("results")


def plan_page(sweep: str, profile: Path, cores: int | None = None, measured: str | None = None) -> str:
    """The page about a sweep.

    sweep, measured: files, or names in config/experiments. profile: whose bounds hold. cores: instead of its.
    measured: a sweep that was run here, by whose jobs the core seconds are corrected.

    Raises ValueError for a file or profile that is not there, and ConfigError for a wrong configuration.
    """
    given = bounds(in_project(profile))
    opened = open_sweep(sweep)
    the_plan = plan(opened, cores=cores or given.cores, checkpoint_disk_gb=given.checkpoint_disk_gb)
    if measured is not None:
        other = plan(open_sweep(measured))
        if not (used := usage(RESULTS / other.name)):
            raise ValueError(f"{measured} was not run here: {RESULTS / other.name} holds no benchmarks.")
        the_plan = corrected(the_plan, factors(other, used))
    return page(the_plan, usage(RESULTS / the_plan.name), repeated.in_results(opened, JobGraph(opened)))


def open_sweep(sweep: str) -> Sweep:
    """The sweep of a file, or of a name in config/experiments. Raises ValueError if there is none, or it is wrong."""
    file = sweep_file(sweep)
    given = read_yaml(file)
    if not isinstance(given, dict):
        raise ValueError(f"{file} holds no mapping of keys.")
    sweep = expand(load(given, CONFIG))
    check_texts(sweep)
    return sweep
