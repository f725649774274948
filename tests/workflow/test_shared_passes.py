"""A checkpoint is loaded once for all datasets that a run measures it on, and what comes of it is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from idsweep.files.parquet import provenance
from idsweep.files.vectors import read_embeddings

from workflow.checkout import Project

DATASETS = ["lee_news", "film_reviews"]


def loads(project: Project) -> int:
    """Jobs that ran a forward pass; the others found theirs made."""
    logs = (project.results / "logs/extract_embeddings").rglob("*.log")
    return sum("extracting" in path.read_text() for path in logs)


def extracted(project: Project, dataset: str) -> Path:
    return project.results / f"embeddings/minilm/final/{dataset}.parquet"


def test_one_load_for_all_datasets_of_a_run(fresh: Project) -> None:
    fresh.configure(models={"minilm": {"layers": [0, -1]}}, figures={"violins": {}}, datasets=DATASETS)
    alone = [str(extracted(fresh, dataset).relative_to(fresh.folder)) for dataset in DATASETS]
    for target in alone:
        done = fresh.snakemake(target, "--cores", "1")
        assert done.returncode == 0, done.stdout
    assert loads(fresh) == 2
    expected = {dataset: read_embeddings(extracted(fresh, dataset), "layer_6") for dataset in DATASETS}
    facts = {dataset: provenance(extracted(fresh, dataset)) for dataset in DATASETS}

    done = fresh.snakemake(*alone, "--cores", "1", "--forcerun", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    assert loads(fresh) == 1
    for dataset in DATASETS:
        np.testing.assert_array_equal(read_embeddings(extracted(fresh, dataset), "layer_6"), expected[dataset])
        made = provenance(extracted(fresh, dataset))
        assert made.pop("seconds") >= 0 and made.pop("started")
        assert made == {key: value for key, value in facts[dataset].items() if key not in ("seconds", "started")}
    assert not (fresh.results / "passes").exists()


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
