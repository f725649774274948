"""Two runs in one folder."""

from __future__ import annotations

from workflow.checkout import Project

from faults.conftest import kill, start, wait_until

TARGET = "results/mini/tables/local.parquet"


def test_the_second_snakemake_refuses_and_says_how_to_unlock(fresh: Project) -> None:
    run = start(fresh, TARGET)
    try:
        wait_until(lambda: list((fresh.folder / ".snakemake/locks").glob("*.lock")), run)
        second = fresh.snakemake(TARGET)
        assert second.returncode != 0
        assert "Directory cannot be locked" in second.stdout
        assert "no other Snakemake process is trying to create the same files" in second.stdout
        assert "--unlock" in second.stdout
        assert "Traceback" not in second.stdout
        assert run.poll() is None, "the first goes on"
    finally:
        kill(run, alone=False)
