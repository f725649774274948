"""A training of somebody else's: one file in the folder of trainings, and nothing is edited anywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from idsweep.files.parquet import provenance, read_table
from idsweep.models.static_vectors import load_vectors

from workflow.checkout import Project, check_out

FILE = "workflow_scripts/idsweep/training/random_vectors.py"
TEXT = '''
"""A random vector for each of the most frequent words of a corpus."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from idsweep.data.corpora import WORD, load_sequences
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task

TRAINING = {
    "about": "a random vector for each of the most frequent words, which makes a model of kind `static`.",
    "kinds": {"static": {}},
    "metrics": ("largest_count",),
    "gpu": True,
    "mem_mb": 1000,
    "runtime": 10,
    "required": ("dataset", "words"),
    "keys": {
        "dataset": {"description": "Name in the catalog of datasets.", "type": "string"},
        "words": {"description": "Number of words.", "type": "integer", "minimum": 3},
        "dimension": {"description": "Coordinates of a vector.", "type": "integer", "minimum": 1, "default": 8},
        "law": {"description": "Law of a coordinate.", "enum": "LAWS", "default": "normal"},
        "seed": {"description": "Seed of the vectors.", "type": "integer", "default": 0},
    },
}
LAWS = ("normal", "uniform")


def train(task: Task) -> pa.Table:
    given = task.settings["training"]
    texts = load_sequences(task.settings["texts"]["dataset"]["entry"], task.files["dataset"])
    counts = Counter(word for text in texts for word in WORD.findall(text.lower())).most_common(given["words"])
    draw = getattr(np.random.Generator(np.random.PCG64(given["seed"])), given["law"])
    vectors = draw(size=(len(counts), given["dimension"])).astype(np.float32)
    Path(task.checkpoints).mkdir(parents=True)
    with Path(task.checkpoints, "final.bin").open("wb") as file:
        file.write(f"{len(counts)} {given['dimension']}\\\\n".encode())
        for (word, _), vector in zip(counts, vectors, strict=True):
            file.write(f"{word} ".encode() + vector.tobytes() + b"\\\\n")
    return pa.Table.from_pylist([{"step": 0, "metric": "largest_count", "value": counts[0][1]}], schema=METRICS)
'''.replace("\\\\n", "\\n")
RANDOM = {"train": "random_vectors", "kind": "static", "training": {"dataset": "lee_news", "words": 60}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = check_out(tmp_path_factory.mktemp("new") / "idsweep")
    (made.folder / FILE).write_text(TEXT)
    configure(made)
    return made


def configure(project: Project, **training: object) -> None:
    entry = RANDOM | {"training": RANDOM["training"] | training}
    project.configure(
        models={"mine": {}},
        datasets=[],
        layers=["input_embeddings"],
        tokens={},
        vocabulary={"number": 40},
        points={"number": 30},
        figures={},
        nulls=[],
        scales={"halvings": 0},
        catalog={"models": {"mine": entry}},
    )


def test_it_is_planned(project: Project) -> None:
    planned = project.stale()
    assert planned["train_random_vectors"] == 1 and planned["extract_vocabulary"] == 1
    assert "train_word_vectors" not in planned


def test_its_keys_are_checked_and_described(project: Project) -> None:
    configure(project, dimensions=3)
    assert "catalog.models.mine.training.dimensions: unknown key; did you mean 'dimension'?" in project.complaint()
    configure(project, law="gauss")
    assert "training.law: 'gauss' is not known; allowed: normal, uniform" in project.complaint()
    configure(project)
    page = project.python("-m", "idsweep.cli", "keys")
    assert "## Training: random_vectors\n" in page and "| `law` | Law of a coordinate. | `normal`, `uniform` |" in page
    assert "`random_vectors`" in next(line for line in page.splitlines() if line.startswith("| `train` |"))


def test_a_cluster_gives_it_a_gpu(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from snakemake.profiles import ProfileConfigFileParser

    (project.folder / "config/cluster.yaml").write_text("gpu_partition: large\n")
    monkeypatch.chdir(project.folder)
    found_of = importlib.util.find_spec
    plugin = "snakemake_executor_plugin_slurm"  # which is there where a cluster is
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: plugin if name == plugin else found_of(name))
    with Path("profiles/slurm/config.yaml").open() as file:
        found = ProfileConfigFileParser().parse(file)
    assert "train_random_vectors:slurm_partition='large'" in found["set-resources"]
    assert not any(entry.startswith("train_word_vectors") for entry in found["set-resources"])


def test_it_trains_and_what_it_makes_is_measured(project: Project) -> None:
    tables = ("results/mini/tables/training.parquet", "results/mini/tables/global.parquet")
    done = project.snakemake(*tables)
    assert done.returncode == 0, done.stdout
    words, vectors = load_vectors(project.results / "training/mine/checkpoints/final.bin")
    assert len(words) == 60 and vectors.shape == (60, 8)
    curves = read_table(project.results / "tables/training.parquet").to_pylist()
    assert [(row["model"], row["metric"]) for row in curves] == [("mine", "largest_count")]
    measured = read_table(project.results / "tables/global.parquet").to_pylist()
    assert {row["model"] for row in measured} == {"mine"}
    made_by = provenance(project.results / "training/mine/metrics.parquet")
    assert made_by["settings"]["training"] == {"words": 60, "dimension": 8, "law": "normal", "seed": 0}


def test_its_code_counts_for_itself_and_what_it_says_of_its_keys_for_nothing(project: Project) -> None:
    before = project.signature("train_random_vectors", model="mine")
    project.edit(FILE, "Number of words.", "How many words.")
    assert project.signature("train_random_vectors", model="mine") == before
    project.edit(FILE, ".astype(np.float32)", ".astype(np.float16).astype(np.float32)")
    assert project.signature("train_random_vectors", model="mine") != before
