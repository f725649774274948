"""Two thousand jobs in a row: what the main process holds of jobs that are done does not pile up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from workflow.checkout import Project

JOBS, WARM = 2000, 300
MOST = 1.3
SOAK = f"""
include: "Snakefile"


rule tiny:
    output:
        "results/soak/{{number}}",
    log:
        "results/soak/logs/{{number}}.log",
    params:
        signature=lambda wildcards: GRAPH.signature("write_report") + wildcards.number,
    shell:
        "touch {{output}}"


rule soak:
    input:
        expand("results/soak/{{number}}", number=range({JOBS})),
"""


def memory(process: int) -> int:
    """Resident memory of a process, bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def test_memory_of_the_main_process_does_not_grow(fresh: Project) -> None:
    (fresh.folder / "soak.smk").write_text(SOAK)
    made = fresh.folder / "results/soak"
    command = [sys.executable, "-m", "snakemake", "soak", "--snakefile", "soak.smk", "--profile", "profiles/local"]
    command += ["--configfile", fresh.configfile.name, "--quiet", "all"]
    with (fresh.folder / "soak.log").open("w") as log:
        running = subprocess.Popen(command, cwd=fresh.folder, stdout=log, stderr=subprocess.STDOUT)
        seen: list[tuple[int, int]] = []  # jobs that are done, memory
        while running.poll() is None:
            done = sum(1 for path in made.iterdir() if path.is_file()) if made.is_dir() else 0
            seen.append((done, memory(running.pid)))
            time.sleep(1)
    assert running.returncode == 0, (fresh.folder / "soak.log").read_text()[-3000:]
    assert sum(1 for path in made.iterdir() if path.is_file()) == JOBS
    warm = next(held for done, held in seen if done >= WARM)
    highest = max(held for done, held in seen if done >= WARM)
    print(f"{JOBS} jobs: {warm / 1e6:.0f} MB after {WARM}, at most {highest / 1e6:.0f} MB")
    assert highest <= MOST * warm
