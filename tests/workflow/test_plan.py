"""Plans beside what Snakemake and finished sweeps say: numbers of jobs, time, disk and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from idsweep.files.benchmarks import usage
from idsweep.files.parquet import provenance
from idsweep.planning.command import open_sweep
from idsweep.planning.plan import DELETED, plan

from workflow import in_process
from workflow.checkout import MINI, PROJECT, Project, check_out

CONFIGS = [
    "config/config.yaml",
    "config/experiments/grokking_laptop.yaml",
    "config/experiments/token_embeddings_small.yaml",
]
CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("config", CONFIGS)
def test_jobs_are_those_of_a_dry_run(tmp_path: Path, config: str) -> None:
    project = Project(check_out(tmp_path / "idsweep").folder, Path(config).stem)
    project.configfile.write_text((PROJECT / config).read_text())
    with in_process.inside(project):
        assert in_process.stale(project) == plan(open_sweep(str(PROJECT / config))).jobs


def within(factor: float, planned: float, measured: float) -> None:
    assert measured / factor < planned < measured * factor, f"{planned:g} planned, {measured:g} measured"


def test_a_plan_is_less_than_twice_off(finished: Project) -> None:
    made = plan(open_sweep(str(finished.configfile)), cores=CORES)
    used = usage(finished.results)
    assert {rule: each.jobs for rule, each in used.items()} == made.jobs
    within(2, sum(made.core_seconds().values()), sum(each.core_seconds for each in used.values()))
    within(2, max(made.memory().values()), max(each.memory for each in used.values()))
    files = [path for path in finished.results.rglob("*") if path.is_file()]
    within(2, made.peak(), sum(path.stat().st_size for path in files))
    written = made.written()
    for folder in ("embeddings", "neighbors", "estimates", "training"):
        sizes = [path.stat().st_size for path in files if path.is_relative_to(finished.results / folder)]
        within(2, written[folder], sum(sizes))


def test_the_command_finds_its_project_by_itself(fresh: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "idsweep.cli", "plan", fresh.configfile.name],
        cwd=fresh.folder,
        env=os.environ | {"PYTHONPATH": str(fresh.folder / "workflow_scripts")},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mini: ")


class Watch(threading.Thread):
    """Looks how many files folders hold at one time for as long as it runs."""

    def __init__(self, folders: list[Path]) -> None:
        super().__init__()
        self.most, self.running = dict.fromkeys(folders, 0), True

    def run(self) -> None:
        while self.running:
            for folder, most in self.most.items():
                self.most[folder] = max(most, len(list(folder.rglob("*.parquet"))))
            time.sleep(0.02)


def test_no_more_files_are_there_than_jobs_run(fresh: Project) -> None:
    fresh.configure(
        models={"mini_neox": {"checkpoints": ["step0", "step4"], "layers": [-1]}},
        estimator_sets={"quick": MINI["estimator_sets"]["quick"]},
        keep_embeddings=False,
        keep_neighbors=False,
        extraction={"storage": "float16"},
        scales={"halvings": 0},
        nulls=[],
        figures={},
    )
    watch = Watch([fresh.results / folder for folder in DELETED])
    watch.start()
    done = fresh.snakemake("--cores", "1")
    watch.running = False
    watch.join()
    assert done.returncode == 0, done.stdout
    assert set(watch.most.values()) == {1}
    files = list((fresh.results / "estimates").rglob("*.parquet"))
    assert len(files) == 2
    made_by = [provenance(file)["from"][0]["from"][0] for file in files]
    assert {made["settings"]["storage"] for made in made_by} == {"float16"}
