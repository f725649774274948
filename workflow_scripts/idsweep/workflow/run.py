"""What surrounds a run of the workflow: its environment, the plan of shared passes, and the last lines on the screen."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from idsweep.extraction.shared import Plan, discard, write_plan
from idsweep.machine.printable import printable
from idsweep.workflow import memory
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.modules import own_name
from idsweep.workflow.script import REASON, STOPPED

# What Snakemake says in its log when Ctrl-C or SIGTERM ends a run.
INTERRUPTED = ("Terminating processes on user request", "Will exit after finishing currently running jobs")


def set_environment(library: Path) -> None:
    """Set what all jobs of a run inherit; called once, while the workflow is read.

    library: the folder that holds the package idsweep of this workflow, and no other package.
    """
    # Scripts use the library whose source is in the signatures, not another one that is installed.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(library) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(library), *paths]))
    # Jobs share cores: a thread that waits for its siblings must sleep, not spin on a core that another needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Where the package kernels is installed, transformers would fetch compiled code for some families, and run it.
    os.environ.setdefault("USE_HUB_KERNELS", "NO")
    # The report is written by a nested call of this Snakemake, whatever environment its job runs in.
    os.environ.setdefault("IDSWEEP_PYTHON", sys.executable)
    # What a run holds on the disk is told from what others left there.
    os.environ.setdefault("IDSWEEP_RUN", f"{platform.node()}:{os.getpid()}:{time.time():.0f}")
    # For the page about the sweep; nested calls keep the first.
    os.environ.setdefault("IDSWEEP_COMMAND", shlex.join(["snakemake", *sys.argv[1:]]))


def name_of_run() -> str:
    """What tells this run from others, once its environment is set."""
    return os.environ["IDSWEEP_RUN"]


def plan_passes(dag: Any, jobs: Iterable[Any], graph: JobGraph, root: Path, most: int | None) -> None:
    """Tell the jobs of each checkpoint which passes this run is going to make, so that they share loads and imports.

    dag: Snakemake's plan. jobs: those of it that are to run. root: the folder `passes/`; what an earlier run left there for jobs that this one does not have, or
    is asked to run again, is deleted. most: as in `extraction.shared.Plan`.
    """
    planned: dict[tuple[str, ...], dict[Path, Plan]] = {}  # what must be there -> folder -> plan
    welcome = set()
    for job in jobs:
        if own_name(job.rule) == "extract_embeddings":
            names, given, read = dict(job.wildcards.items()), job.resources, job.input
            tokens = graph.output("extract_embeddings", "tokens", **names)
            needed = (names["model"], *sorted({*read} - {read.tokens, read.sequences}))
            folder = Path(given.passes)
            fresh = Plan(name_of_run(), most, given.weights, given.adapter, {}, folder.name)
            planned.setdefault(needed, {}).setdefault(folder, fresh).passes[names["dataset"]] = {
                "settings": graph.settings("extract_embeddings", **names),
                "signature": graph.signature("extract_embeddings", **names),
                "tokens": str(read.tokens),
                "tokens_signature": graph.signature(tokens.rule, **dict(tokens.names)),
                "sequences": str(read.sequences),
            }
            if not dag.reason(job).forced:
                welcome.add(folder / names["dataset"])
    for place in root.glob("*/*/*/"):
        if place not in welcome:
            discard(place)
    for plans in planned.values():
        following = deque(folder.name for folder in plans)
        following.rotate(-1)
        for (folder, plan), name in zip(plans.items(), following, strict=True):
            if len(plans) + len(plan.passes) > 2:
                write_plan(folder, plan._replace(following=name))


def describe_failures(snakemake_logs: Iterable[str], most: int = 5, put_back: int = 0) -> str:
    """The logs of the jobs that failed in a run, each with its reason, for the last lines on the screen.

    snakemake_logs: the files that Snakemake itself logs the run to. put_back: how many files of earlier runs jobs failed to
    make anew; see `kept`.
    """
    text = "\n".join(Path(path).read_text(encoding="utf-8", errors="replace") for path in snakemake_logs)
    failed = _failed(text)
    interrupted = any(words in text for words in INTERRUPTED)
    if interrupted:  # what gave no reason was stopped with the run
        failed = {path: rule for path, rule in failed.items() if _given(Path(path)) not in ([], [f"{REASON}{STOPPED}"])}
    lines = [f"  {path}\n    {_reason(Path(path), rule)}" for path, rule in list(failed.items())[:most]]
    if len(failed) > most:
        lines.append(f"  … and {len(failed) - most} more")
    head = f"{len(failed)} job(s) failed; what is done is kept; run the same command again to go on:"
    if put_back:
        lines.append(
            f"{put_back} file(s) of earlier runs, which these jobs were to make anew, are there again: with the earlier "
            "settings they are current."
        )
    lines.append(
        "For tables and figures of what is measured, with the names of what is missing, add --config partial=True."
    )
    stopped = (
        ["The run was interrupted; what is done is kept; run the same command again to go on."] if interrupted else []
    )
    if failed:
        return printable("\n".join([*stopped, head, *lines]))
    return stopped[0] if stopped else "The run failed; the messages above say where."


def _failed(text: str) -> dict[str, str]:
    """Log -> rule of the jobs that failed for good, as Snakemake tells."""
    failed: dict[str, tuple[str, str | None]] = {}  # log -> rule and number of the job
    rule, number = "", None
    for line in text.splitlines():
        if found := re.match(r"Error in rule (\w+)", line):
            rule, number = found[1], None
        elif found := re.match(r"\s+jobid: (\d+)", line):
            number = found[1]
        elif found := re.match(r"\s+log: (.+?) \(check log file", line):
            failed[found[1]] = rule, number
        elif found := re.match(r"Trying to restart job (\d+)", line):
            failed = {log: failure for log, failure in failed.items() if failure[1] != found[1]}
    return {log: rule for log, (rule, _) in failed.items()}


def _reason(log: Path, rule: str) -> str:
    """The reason a job gave, or the last line it wrote where it was killed."""
    if not log.is_file():
        return "(no log was written: the job was stopped before it began)"
    if given := _given(log):
        return "\n    ".join(given)
    lines = _lines(log)
    return (
        f"killed without a reason given; its last line: {lines[-1] if lines else '(empty)'}\n    Most often the system or "
        f"the cluster kills a job because memory ran out. {memory.advice(rule)}"
    )


def _given(log: Path) -> list[str]:
    """The lines of the reason that a job gave; empty if it gave none."""
    lines = _lines(log) if log.is_file() else []
    begins = [i for i, line in enumerate(lines) if line.startswith(REASON)]
    return lines[begins[-1] :] if begins else []


def _lines(log: Path) -> list[str]:
    return [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]


def describe_results(files: Iterable[str]) -> str:
    """What there is of `files` after a run and where to look, for the last lines on the screen."""
    kinds = {"Figures": (".pdf", ".png", ".svg"), "Tables": (".parquet", ".csv"), "Report": (".html",)}
    lines = []
    files = [path for path in files if Path(path).is_file()]
    for kind, endings in kinds.items():
        stems: dict[str, list[str]] = {}
        for path in map(Path, files):
            if path.suffix in endings:
                stems.setdefault(str(path.with_suffix("")), []).append(path.suffix[1:])
        lines += (
            [
                f"{kind}:",
                *(
                    f"  {stem}.{{{','.join(formats)}}}" if len(formats) > 1 else f"  {stem}.{formats[0]}"
                    for stem, formats in stems.items()
                ),
            ]
            if stems
            else []
        )
    return printable("\n".join(lines))
