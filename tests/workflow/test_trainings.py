"""Models of equations and a masked language model, trained, measured and drawn by the real workflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skdim
from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import read_embeddings
from idsweep.tables.events import CORRELATIONS, EVENTS, LEADS, RUN_LEADS
from sklearn.neighbors import NearestNeighbors

from workflow.checkout import MINI, Project, check_out

DECODER = {"model_type": "equation_decoder", "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
SUMS = {
    "train": "grokking",
    "kind": "encoder",
    "architecture": DECODER | {"intermediate_size": 32},
    "training": {"dataset": "sums", "steps": 40, "batch_size": 32},
    "vary": {"training.fraction": [0.3, 0.6]},  # of which one is measured
    "seeds": [0, 1],
    "checkpoints": "step{0..40/20}",
}
MASKED = {
    "train": "language_model",
    "kind": "masked",
    "architecture": MINI["catalog"]["models"]["mini_neox"]["architecture"] | {"model_type": "bert"},
    "tokenizer": {"vocabulary_size": 400},
    "training": MINI["catalog"]["models"]["mini_neox"]["training"] | {"masking": 0.15},
    "checkpoints": "step{0,4}",
}
EQUATIONS = {"loader": "equations", "task": "addition", "modulus": 13}
REFERENCE = "model,quantity,step,value,lower,upper\nsums-fraction0.6,local_dimension,40,5.5,5,6\n"
L = 16


def configure(project: Project, **changes) -> None:
    project.configure(
        **{
            "models": {"sums": {"vary": {"training.fraction": [0.6]}}},
            "datasets": ["trained_on"],
            "estimator_sets": {"quick": MINI["estimator_sets"]["quick"]},
            "layers": [-1],
            "tokens": {"select": "all", "number": 400},
            "figures": {"grokking": {}, "dynamics": {"second_axis": "validation_accuracy"}, "heatmap": {}},
            "reference": "reference.csv",
            "catalog": {"models": {"sums": SUMS}, "datasets": {"sums": EQUATIONS}},
        }
        | changes
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fraction of the sums mod 13, two seeds, trained for 40 steps and measured at three checkpoints."""
    project = check_out(tmp_path_factory.mktemp("trained") / "idsweep")
    (project.folder / "reference.csv").write_text(REFERENCE)
    configure(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


def table(project: Project, name: str) -> pd.DataFrame:
    return read_table(project.results / f"tables/{name}.parquet").to_pandas()


def test_each_run_is_measured_on_its_own_equations(trained: Project) -> None:
    texts = [
        set(
            read_table(trained.results / f"sequences/sums-fraction0.6-seed{seed}/trained_on.parquet")[
                "text"
            ].to_pylist()
        )
        for seed in (0, 1)
    ]
    assert [90 < len(of_seed) <= round(0.6 * 169) for of_seed in texts] == [True, True]
    assert texts[0] != texts[1]


def test_tables_tell_runs_groups_and_seeds(trained: Project) -> None:
    local, training = table(trained, "local"), table(trained, "training")
    for frame in (local, training):
        assert set(frame["group"]) == {"sums-fraction0.6"}
        assert (frame["model"] == frame["group"] + "-seed" + frame["seed"].astype(str)).all()
    assert set(training["metric"]) == {"train_loss", "validation_loss", "train_accuracy", "validation_accuracy"}
    assert sorted(training["step"].unique()) == [10, 20, 30, 40]  # before the first update there is no batch
    assert set(local["split"]) == {"train"}
    assert table(trained, "reference")["value"].tolist() == [5.5]
    for name, schema in (
        ("events", EVENTS),
        ("leads", LEADS),
        ("run_leads", RUN_LEADS),
        ("correlations", CORRELATIONS),
    ):
        assert read_table(trained.results / f"tables/{name}.parquet").schema.equals(schema)
        assert (trained.results / f"tables/{name}.csv").exists()


def test_the_last_checkpoint_s_estimate_is_scikit_dimension_s(trained: Project) -> None:
    model = "sums-fraction0.6-seed1"
    vectors = read_embeddings(trained.results / f"embeddings/{model}/step40/trained_on.parquet", 2)
    tokens = np.sort(np.random.Generator(np.random.PCG64(778)).choice(len(vectors), 200, replace=False))
    _, first = np.unique(vectors[tokens], axis=0, return_index=True)
    cloud = vectors[tokens][np.sort(first)].astype(np.float64)
    assert len(cloud) < 200, "equal prefixes have equal hidden states, so some must be duplicates"
    neighbors = NearestNeighbors(n_neighbors=L + 1).fit(cloud).kneighbors(cloud)[1][:, 1:]
    expected = np.mean([skdim.id.TwoNN().fit(cloud[of_point]).dimension_ for of_point in neighbors])
    local = table(trained, "local")
    (row,) = local[
        (local["model"] == model)
        & (local["checkpoint"] == "step40")
        & (local["dataset"] == "trained_on")
        & (local["estimator"] == "twonn")
        & (local["variant"] == "data")
    ].itertuples()
    assert (row.n_points, row.n_neighbors) == (len(cloud), L)
    assert row.mean == pytest.approx(expected, rel=1e-6)


def test_tokens_can_be_operands_or_the_place_of_the_answer(trained: Project, tmp_path: Path) -> None:
    project = trained.copied(tmp_path / "idsweep")
    trained_on = set(
        read_table(project.results / "sequences/sums-fraction0.6-seed0/trained_on.parquet")["text"].to_pylist()
    )
    for tokens, words in (
        ({"select": "classes", "classes": ["operand"], "number": 400}, set(map(str, range(13)))),
        ({"select": "last", "number": 400}, {"="}),
    ):
        configure(project, tokens=tokens, datasets=["held_out"])
        made = "tokens/sums-fraction0.6-seed0/held_out.parquet"
        done = project.snakemake(f"results/mini/{made}")
        assert done.returncode == 0, done.stdout
        assert set(read_table(project.results / made)["token"].to_pylist()) == words
        sequences = read_table(project.results / made.replace("tokens", "sequences"))
        assert not trained_on & set(sequences["text"].to_pylist())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        (
            {"models": {"sums": {"vary": {"training.fraction": [0.6]}, "seeds": [0]}}},
            {"collect_estimates": 1, "collect_training": 1, "detect_events": 1, "write_csv": 8}
            | {"collect_contrasts": 1, "draw_figure": 3, "describe_sweep": 1, "write_report": 1},
        ),
        (
            {"figures": {"grokking": {"band": False}}},
            {"draw_figure": 1, "describe_sweep": 1, "write_report": 1},
        ),
    ],
)  # fmt: skip
def test_what_is_stale_after_a_change(trained: Project, tmp_path: Path, changes, expected) -> None:
    project = trained.copied(tmp_path / "idsweep")
    configure(project, **changes)
    assert project.stale() == expected


def test_other_published_values_redraw_what_shows_them(trained: Project, tmp_path: Path) -> None:
    project = trained.copied(tmp_path / "idsweep")
    (project.folder / "reference.csv").write_text(REFERENCE.replace("5.5", "7"))
    assert project.stale() == {
        "collect_reference": 1, "write_csv": 1, "draw_figure": 2, "write_report": 1
    }  # fmt: skip


def test_a_metric_from_elsewhere_stands_beside_those_of_training(trained: Project, tmp_path: Path) -> None:
    project = trained.copied(tmp_path / "idsweep")
    for seed in (0, 1):
        (project.folder / f"probe{seed}.csv").write_text("step,value\n0,0.1\n20,0.3\n40,0.7\n")
    configure(
        project,
        models={"sums": {"vary": {"training.fraction": [0.6]}, "metrics": {"probe": "probe{seed}.csv"}}},
        figures={"dynamics": {"metrics": ["probe"]}},
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    training = table(project, "training")
    assert training.loc[training["metric"] == "probe", "value"].tolist() == [0.1, 0.3, 0.7] * 2
    assert "train_grokking" not in done.stdout


def test_a_masked_language_model_is_trained_and_measured(tmp_path: Path) -> None:
    project = check_out(tmp_path / "idsweep")
    project.configure(
        models={"mini_bert": {}},
        catalog={"models": {"mini_bert": MASKED}},
        extraction={"masked": True},
        datasets=["held_out"],
        figures={},
        nulls=[],
        scales={"halvings": 0},
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    losses = read_table(project.results / "losses/mini_bert/step4/held_out.parquet").to_pandas()
    assert losses["loss"].notna().all()
    tokens = project.results / "tokens/mini_bert/held_out.parquet"
    assert provenance(tokens)["settings"]["part"]["name"] == "validation"
