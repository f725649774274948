"""A disk that is full: it is told with the file and the room there is, nothing half is kept, and the rest goes on."""

from __future__ import annotations

import subprocess

from workflow.checkout import Project

from faults.conftest import mounted, needs_root

# A sweep whose large file does not fit, beside a small one that does.
FAILS = "results/mini/embeddings/minilm/final/lee_news.parquet"
WRITTEN = "results/mini/passes/minilm/final/lee_news/embeddings.parquet"  # until its job is done
GOES_ON = "results/mini/neighbors/mini_neox/step0/lee_news/points.parquet"


@needs_root
def test_a_full_disk_fails_what_does_not_fit_and_the_next_run_completes(fresh: Project) -> None:
    fresh.configure(catalog__models__mini_neox__checkpoints="step{0}", models__mini_neox={})
    with mounted(fresh.folder / "results", "-t", "tmpfs", "-o", "size=2m", "none"):
        done = fresh.snakemake(FAILS, GOES_ON, "--cores", "1")
        assert done.returncode != 0
        said = done.stdout[done.stdout.rindex("job(s) failed") :]
        assert f"error: {WRITTEN}: the disk is full. After " in said
        assert "MB are free there" in said and "Make room" in said
        assert "Traceback" not in done.stdout
        assert not list((fresh.folder / FAILS).parent.glob("*")), "nothing half is kept"
        assert not list(fresh.results.rglob(".*unfinished"))
        assert (fresh.folder / GOES_ON).exists()

        _mount_again(fresh, "size=32m")
        done = fresh.snakemake(FAILS, GOES_ON)
        assert done.returncode == 0, done.stdout
        assert (fresh.folder / FAILS).stat().st_size > 2e6
        assert "train_language_model" not in done.stdout


@needs_root
def test_a_training_that_fills_the_disk_goes_on_when_there_is_room(fresh: Project) -> None:
    target = "results/mini/training/mini_neox/metrics.parquet"
    fresh.configure(models={"mini_neox": {}})
    with mounted(fresh.folder / "results", "-t", "tmpfs", "-o", "size=900k", "none"):
        done = fresh.snakemake(target)
        assert done.returncode != 0
        said = done.stdout[done.stdout.rindex("job(s) failed") :]
        assert ": the disk is full. After " in said and "/.checkpoints.unfinished/" in said
        assert not list(fresh.results.rglob(".*.unfinished/**/.*unfinished"))

        _mount_again(fresh, "size=32m")
        done = fresh.snakemake(target)
        assert done.returncode == 0, done.stdout
        assert "Going on from step" in (fresh.results / "logs/train_language_model/mini_neox.log").read_text()


@needs_root
def test_a_disk_that_is_full_before_anything_starts(fresh: Project) -> None:
    with mounted(fresh.folder / "results", "-t", "tmpfs", "-o", "size=64k", "none"):
        (fresh.folder / "results/other").write_bytes(bytes(40_000))
        done = fresh.snakemake("results/mini/tables/reference.parquet")
        assert done.returncode != 0
        assert "Nothing was started:\n  the disk of " in done.stdout
        assert "Traceback" not in done.stdout


def _mount_again(project: Project, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(project.folder / "results")], check=True)
