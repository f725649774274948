"""A checkpoint is loaded once for all datasets that a run measures it on, and what comes of it is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from idsweep.files.parquet import provenance
from idsweep.files.vectors import read_embeddings

from workflow.checkout import Project

DATASETS = ["lee_news", "film_reviews"]


def jobs_with_passes(project: Project) -> int:
    """Jobs that ran a forward pass; the others found theirs made."""
    logs = (project.results / "logs/extract_embeddings").rglob("*.log")
    return sum("extracting" in path.read_text() for path in logs)


def extracted(project: Project, dataset: str, checkpoint: str = "minilm/final") -> Path:
    return project.results / f"embeddings/{checkpoint}/{dataset}.parquet"


def check_shared_passes(project: Project, files: list[Path], layer: str) -> None:
    """Passes that one job made for all are those that each job makes alone, in numbers and provenance."""
    targets = [str(path.relative_to(project.folder)) for path in files]
    for target in targets:
        done = project.snakemake(target, "--cores", "1")
        assert done.returncode == 0, done.stdout
    assert jobs_with_passes(project) == len(files)
    expected = [(read_embeddings(path, layer), provenance(path)) for path in files]

    done = project.snakemake(*targets, "--cores", "1", "--forcerun", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    assert jobs_with_passes(project) == 1
    for path, (vectors, facts) in zip(files, expected, strict=True):
        np.testing.assert_array_equal(read_embeddings(path, layer), vectors)
        made = provenance(path)
        assert made.pop("seconds") >= 0 and made.pop("started")
        assert made == {key: value for key, value in facts.items() if key not in ("seconds", "started")}
    assert not (project.results / "passes").exists()


def test_one_job_for_all_datasets_of_a_run(fresh: Project) -> None:
    fresh.configure(models={"minilm": {"layers": [0, -1]}}, figures={"violins": {}}, datasets=DATASETS)
    check_shared_passes(fresh, [extracted(fresh, dataset) for dataset in DATASETS], "layer_6")


def test_one_job_for_all_small_checkpoints_of_a_model(fresh: Project) -> None:
    fresh.configure(models={"mini_neox": {"checkpoints": ["step0", "step4"]}}, figures={"violins": {}})
    check_shared_passes(
        fresh, [extracted(fresh, "lee_news", f"mini_neox/{step}") for step in ("step0", "step4")], "layer_2"
    )


def test_one_dataset_more_runs_its_own_passes_alone(fresh: Project) -> None:
    fresh.configure(models={"minilm": {"layers": [0, -1]}}, figures={"violins": {}}, datasets=DATASETS[:1])
    done = fresh.snakemake("--cores", "1", "--until", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    before = extracted(fresh, "lee_news").stat().st_mtime_ns
    fresh.configure(models={"minilm": {"layers": [0, -1]}}, figures={"violins": {}}, datasets=DATASETS)
    done = fresh.snakemake("--cores", "1", "--until", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    assert extracted(fresh, "lee_news").stat().st_mtime_ns == before
    assert extracted(fresh, "film_reviews").is_file()


def test_no_pass_is_made_twice(fresh: Project) -> None:
    """Two jobs at a time, and more passes than those: each pass is made once, by whichever job."""
    fresh.configure(
        models={"mini_neox": {"checkpoints": ["step0", "step1", "step2", "step4"]}},
        figures={"violins": {}},
        datasets=DATASETS,
    )
    done = fresh.snakemake("--cores", "2", "--until", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    logs = [path.read_text() for path in (fresh.results / "logs/extract_embeddings").rglob("*.log")]
    assert len(logs) == 8
    assert sum(text.count("extracting: 100 %") for text in logs) == 8
