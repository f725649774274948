"""The experiments of config/experiments, in miniature through the real workflow, against what can be computed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import skdim
import yaml
from idsweep import config, store
from idsweep.clouds import read_points
from scipy.spatial.distance import directed_hausdorff
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors
from workflow.checkout import MINI, PROJECT, Project, check_out

NEOX = MINI["catalog"]["models"]["mini_neox"] | {"checkpoints": "step{2}"}
NEOX["training"] = NEOX["training"] | {"steps": 2}
TOKENS = {"sequences": 60, "number": 400, "max_length": 64}
L = 16
OF_PASS = ["model", "checkpoint", "dataset"]


def miniature(folder: Path, experiment: str, **changes: Any) -> Project:
    """The experiment with dotted keys changed (`points__number=100`), run in a checkout of its own."""
    given = yaml.safe_load((PROJECT / f"config/experiments/{experiment}_small.yaml").read_text())
    for path, value in ({"sweep": "mini", "keep_embeddings": True} | changes).items():
        *parents, last = path.split("__")
        place = given
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    project = check_out(folder / "idsweep")
    (project.folder / "mini.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert (project.results / "report.html").exists()
    return project


def settings(project: Project) -> dict[str, Any]:
    """The sweep's configuration with its defaults."""
    return config.load(yaml.safe_load((project.folder / "mini.yaml").read_text()), project.folder / "config")


def table(project: Project, name: str) -> pd.DataFrame:
    return store.read_table(project.results / f"tables/{name}.parquet").to_pandas()


def training(project: Project, name: str) -> dict[str, Any]:
    return yaml.safe_load((project.folder / "mini.yaml").read_text())["catalog"]["models"][name]["training"]


def test_nothing_is_left_to_do_after_the_experiment(tuned: Project) -> None:
    assert "Nothing to be done" in tuned.snakemake().stdout


# --- token_embeddings


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A published matrix and word vectors made here, all of their tokens, the frequent and the rare."""
    vectors = {"dataset": "lee_news", "algorithm": "word2vec", "dimension": 12, "epochs": 1}
    return miniature(
        tmp_path_factory.mktemp("embedded"),
        "token_embeddings",
        models={"minilm": {"layers": ["input_embeddings"]}, "word2vec_news": {}},
        catalog__models__word2vec_news__training=vectors,
        points=[{"number": 300}, {"number": 300, "tokens": ["count>=10", "count<10"]}],
        scales={"halvings": 0},
    )


def matrix(project: Project, model: str, cloud: str) -> np.ndarray:
    """The cloud of a model's embedding matrix, float64 (N, D)."""
    points = read_points(
        project.results / f"embeddings/{model}/final/vocabulary.parquet",
        "input_embeddings",
        {},
        settings(project)["clouds"][cloud],
        store.read_table(project.results / f"tokens/{model}/vocabulary.parquet"),
    )
    return points.vectors.astype(np.float64)


def test_redundancy_is_one_less_the_share_of_the_dimension(embedded: Project) -> None:
    frames = {name: table(embedded, name).set_index(["model", "cloud"]) for name in ("local", "global")}
    for model, width in (("minilm", 384), ("word2vec_news", 12)):
        cloud = matrix(embedded, model, "tokensall")
        assert cloud.shape == (300, width)
        neighbors = NearestNeighbors(n_neighbors=21).fit(cloud).kneighbors(cloud)[1][:, 1:]
        pointwise = skdim.id.MLE(K=20).fit_transform_pw(cloud, precomputed_knn_arrays=None, n_neighbors=20)
        assert len(neighbors) == len(pointwise)
        row = frames["global"].loc[(model, "tokensall")]
        assert row["extrinsic_dimension"] == width
        expected = skdim.id.MLE(neighborhood_based=True).fit_transform(cloud, n_neighbors=20)
        assert row["value"] == pytest.approx(expected, rel=1e-6)
        assert row["redundancy"] == pytest.approx(1 - expected / width, rel=1e-6)
        mean = frames["local"].loc[(model, "tokensall")]
        assert mean["redundancy"] == pytest.approx(1 - mean["mean"] / width, rel=1e-12)
