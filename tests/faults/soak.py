"""Thousands of small jobs in one run: does the memory of Snakemake's process, with this workflow in it, stay bounded?

python -m faults.soak [--jobs 2000]     (make soak)

The jobs are estimates of the real workflow, on clouds of 60 points. Prints memory over jobs, and fails if it was more than
1.3 times that after the first 200 jobs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workflow.checkout import MINI, Project, check_out

WARM_UP = 200
MOST = 1.3
CLOUDS = 20


def sweep_of(jobs: int, folder: Path) -> Project:
    """A sweep with so many jobs of estimates, ready for them: neighbours are found."""
    project = check_out(folder)
    mle = {"estimator": "mle", "scope": "global", "n_neighbors": 12}
    sets = {f"set{i}": [mle | {"name": f"mle{i}"}] for i in range(jobs // CLOUDS)}
    project.configure(
        MINI | {"estimator_sets": sets},
        models={"mini_neox": {"checkpoints": ["step0"], "layers": [-1]}},
        points={"number": 60, "seed": list(range(CLOUDS))},
        scales={"halvings": 0},
        nulls=[],
        figures={},
    )
    done = project.snakemake("results/mini/tables/global.parquet", "--until", "find_neighbors")
    assert done.returncode == 0, done.stdout
    return project


def resident(process: int) -> float:
    """MB that a process has in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024


def run(project: Project) -> dict[int, float]:
    """Jobs done -> MB of Snakemake's process, by the hundred and at the last."""
    command = [sys.executable, "-m", "snakemake", "results/mini/tables/global.parquet", "--profile", "profiles/local"]
    command += ["--configfile", project.configfile.name]
    measured: dict[int, float] = {}
    with subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as snakemake:
        for line in snakemake.stdout:
            if found := re.match(r"(\d+) of (\d+) steps", line):
                done, of = map(int, found.groups())
                if done % 100 == 0 or done == of - 1:
                    measured[done] = resident(snakemake.pid)
    assert snakemake.returncode == 0, "the run failed"
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        project = sweep_of(jobs, Path(folder) / "idsweep")
        since = time.monotonic()
        measured = run(project)
    print("jobs    MB")
    for done, megabytes in measured.items():
        print(f"{done:>5} {megabytes:>5.0f}")
    warm, last = measured[WARM_UP], measured[max(measured)]
    most = max(megabytes for done, megabytes in measured.items() if done >= WARM_UP)
    print(
        f"{max(measured):,} jobs in {time.monotonic() - since:.0f} s; after {WARM_UP} of them {warm:.0f} MB, at the end {last:.0f} MB,"
    )
    print(f"at most {most / warm:.2f} times what it was after {WARM_UP}.")
    return int(most > MOST * warm)


if __name__ == "__main__":
    sys.exit(main())
