"""How long Snakemake takes to plan large sweeps: python -m benchmarks.dag [--estimates N …] [--write PAGE].

Dry runs of the whole Pythia suite and of parts of it: of nothing, and of a finished copy, whose files are touched into being.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from idsweep.config.load import load
from idsweep.sweep.expand import expand
from idsweep.sweep.sweep import Sweep
from workflow.checkout import PROJECT, check_out

from benchmarks.bench import environment
from benchmarks.report import machine
from benchmarks.sweeps import run_snakemake

EXPERIMENT = PROJECT / "config/experiments/pythia.yaml"
CHECKPOINTS = {4_940: "step{1000..13000/1000}", 15_200: "step{1000..40000/1000}", 58_520: None}
WHOLE = max(CHECKPOINTS)
SHIPPED = 8  # layers per job, as the schema has it
TARGETS = {False: 90.0, True: 120.0}  # seconds for the whole suite: of nothing, of a finished copy
MOST_MEMORY = 2e9
# Snakemake sleeps a tenth of a second before it touches what a job makes: 25 minutes for the whole suite.
TOUCHING = """
import sys
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0.001
sys.exit(main())
"""
DELETED_AFTER_USE = ("embeddings", "checkpoints")


@dataclass(frozen=True)
class Plan:
    """One dry run: what it is of, and what it took (seconds of wall clock, bytes)."""

    estimates: int
    layers_per_job: int
    finished: bool
    jobs: int
    seconds: float
    memory: float


def sweep_of(estimates: int, layers_per_job: int = SHIPPED) -> tuple[dict[str, Any], Sweep]:
    """The configuration of a sweep of so many estimates (layers × checkpoints × datasets × estimator sets), and the sweep."""
    config = yaml.safe_load(EXPERIMENT.read_text())
    if (checkpoints := CHECKPOINTS[estimates]) is not None:
        config["models"] = {name: {"checkpoints": checkpoints} for name in config["models"]}
        config["figures"] = {"heatmap": {}}
    config["compute"] = {"layers_per_job": layers_per_job}
    sweep = expand(load(config, PROJECT / "config"))
    of_sets = [len(model.representations(dataset)) for model, _, dataset in sweep.passes()]
    if (held := len(sweep.config["estimator_sets"]) * sum(of_sets)) != estimates:
        raise ValueError(f"the sweep has {held} estimates, not {estimates}")
    return config, sweep


def plans(estimates: int, layers_per_job: int, folder: Path, finished: bool = True) -> list[Plan]:
    """The plan of a sweep of so many estimates, and of a finished copy of it if that is asked for."""
    given, sweep = sweep_of(estimates, layers_per_job)
    project = check_out(folder)
    (folder / "plan.yaml").write_text(yaml.safe_dump(given))
    per_job = sweep.config["compute"]["layers_per_job"]
    first = run_snakemake(project.folder, "-n", "-q", "rules", "--configfile", "plan.yaml")
    found = [Plan(estimates, per_job, False, int(first["jobs"]), first["seconds"], first["memory"])]
    if finished:
        _touch_into_being(folder)
        again = run_snakemake(project.folder, "-n", "-q", "rules", "--configfile", "plan.yaml")
        if "jobs" in again:
            raise ValueError(f"{again['jobs']:.0f} jobs are left to do in the finished copy")
        found.append(Plan(estimates, per_job, True, int(first["jobs"]), again["seconds"], again["memory"]))
    return found


def _touch_into_being(folder: Path) -> None:
    """Make empty files of all that the sweep makes and keeps, and let Snakemake take them for made."""
    call = [sys.executable, "-c", TOUCHING, "--configfile", "plan.yaml", "--profile", "profiles/local"]
    run = partial(subprocess.run, cwd=folder, env=environment(), capture_output=True, text=True)
    told = run([*call, "--summary"], check=True)
    files = {line.split("\t")[0] for line in told.stdout.splitlines()[1:]}
    for file in sorted(files):
        path = folder / file
        if Path(file).parts[2] in DELETED_AFTER_USE:
            continue
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    # All that may go at once goes at once: for two jobs at a time, the scheduler chooses among thousands each time.
    together = ["--cores", "10000", "--resources", "downloads=10000", "checkpoint_disk_gb=1000000"]
    done = run([*call, "--touch", "--quiet", *together])
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])


def write_page(path: Path, found: list[Plan], command: str, about: Mapping[str, str]) -> None:
    """Write the page with the table of all plans."""
    rows = [
        f"| {plan.estimates:,} | {plan.layers_per_job} | {plan.jobs:,} | {'finished copy' if plan.finished else 'nothing'} | "
        f"{plan.seconds:.1f} | {plan.memory / 1e6:,.0f} | {_target(plan)} |"
        for plan in found
    ]
    page = [
        "# Plans of large sweeps",
        "",
        "How long Snakemake takes to plan a large sweep, before its first job begins: `snakemake -n -q rules`, once each.",
        "",
        f"Written by `make bench-dag` (`{command}`) on {datetime.now(UTC):%Y-%m-%d}; not to be edited.",
        "",
        "| estimates | layers per job | jobs | there is | seconds | MB | target |",
        "|---:|---:|---:|---|---:|---:|---|",
        *rows,
        "",
        "- The sweep is `config/experiments/pythia.yaml`: 58,520 estimates, which are 8 models × 154 checkpoints × 2 datasets × all "
        "layers. Smaller numbers are fewer checkpoints of it.",
        "- *Layers per job* is `compute: layers_per_job`.",
        "- *There is nothing*: a fresh checkout. *There is a finished copy*: a file for everything that the sweep keeps, and nothing is "
        "left to do.",
        "- *MB* is the highest memory of all processes together.",
        "- The target holds for the whole suite.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in about.items()),
        "",
    ]
    path.write_text("\n".join(page), encoding="utf-8")


def _target(plan: Plan) -> str:
    if plan.estimates < WHOLE:
        return ""
    most = TARGETS[plan.finished]
    met = plan.seconds < most and plan.memory < MOST_MEMORY
    return f"< {most:g} s, < {MOST_MEMORY / 1e6:,.0f} MB: {'yes' if met else 'no'}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and write the page; returns 1 if a target is missed with the shipped layers_per_job."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dag", description="Time plans of large sweeps.")
    parser.add_argument("--estimates", type=int, nargs="+", choices=CHECKPOINTS, default=list(CHECKPOINTS))
    parser.add_argument("--layers-per-job", type=int, nargs="+", default=[SHIPPED, 1])
    parser.add_argument("--write", metavar="PAGE", type=Path)
    given = parser.parse_args(arguments)
    about, found = machine(), []
    for estimates in given.estimates:
        for layers_per_job in given.layers_per_job:
            with tempfile.TemporaryDirectory(prefix="idsweep-dag-") as folder:
                new = plans(estimates, layers_per_job, Path(folder) / "idsweep", finished=layers_per_job == SHIPPED)
            print(*new, sep="\n", file=sys.stderr, flush=True)
            found += new
    command = " ".join(["python", "-m", "benchmarks.dag", *(sys.argv[1:] if arguments is None else arguments)])
    page = given.write or Path(os.devnull)
    write_page(page, found, command, about)
    return int(any(_target(plan).endswith("no") for plan in found if plan.layers_per_job == SHIPPED))


if __name__ == "__main__":
    sys.exit(main())
