"""The example of docs/live.md: what is measured while a model is trained is what the workflow measures on its checkpoints."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pyarrow.compute as pc
import pytest
import warm
from builders.project import PROJECT
from idsweep.files.parquet import read_table
from idsweep.files.vectors import read_estimates
from idsweep.live import LiveDimension
from transformers import AutoModel

from workflow.checkout import Project, check_out

STEPS, LAYERS = (6, 12, 18, 24), (3, 6)


def blocks() -> list[str]:
    """The code of the example: the training, the sweep's command, the figure."""
    example = (PROJECT / "docs/live.md").read_text(encoding="utf-8").partition("## An example")[2]
    return re.findall(r"```(?:python|bash)\n(.*?)```", example, flags=re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which the example has been run."""
    project = check_out(tmp_path_factory.mktemp("live") / "idsweep")
    training, command, figure = blocks()
    assert command == "snakemake --profile profiles/local --configfile live.yaml\n"
    project.sweep = "live"
    for code in (training, None, figure):
        if code is None:
            done = project.snakemake()
        else:
            done = subprocess.run(
                [warm.python(), "-c", code],
                cwd=project.folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        assert done.returncode == 0, done.stdout
    return project


def test_live_values_are_those_of_the_workflow(example: Project) -> None:
    live = read_table(example.folder / "out/local_dimension/local_dimension.parquet")
    of_sweep = read_table(example.results / "tables/local.parquet")
    assert live["step"].unique().to_pylist() == [0, *STEPS]
    assert of_sweep["step"].unique().sort().to_pylist() == [*STEPS]
    for step in STEPS:
        points = read_table(example.folder / f"out/local_dimension/points/step_{step}.parquet")
        estimates = next((example.results / f"estimates/live/live/checkpoint-{step}").rglob("*.parquet"))
        for layer in LAYERS:
            is_live = (pc.field("step") == step) & (pc.field("representation") == f"layer_0{layer}")
            measured = live.filter(is_live).to_pylist()[0]
            row = of_sweep.filter((pc.field("step") == step) & (pc.field("layer") == layer)).to_pylist()[0]
            columns = {"mean": "value", "median": "median", "n_points": "n_points", "n_undefined": "n_undefined"}
            assert {column: row[column] for column in columns} == {
                column: measured[other] for column, other in columns.items()
            }
            np.testing.assert_array_equal(row["standard_error"], measured["standard_error"])
            of_layer = points.filter((pc.field("representation") == f"layer_0{layer}") & (pc.field("scope") == "local"))
            expected = read_estimates(estimates, f"layer_{layer}").filter(pc.field("scope") == "local")
            for column in ("point", "value", "standard_error"):
                np.testing.assert_array_equal(of_layer[column].to_numpy(), expected[column].to_numpy())


def test_the_live_curve_is_a_metric_beside_the_sweep_s_own(example: Project) -> None:
    training = read_table(example.results / "tables/training.parquet")
    assert training.filter(pc.field("metric") == "live_layer_06")["step"].to_pylist() == [0, *STEPS]
    for figure in (example.results / "figures/dynamics.png", example.folder / "live.png"):
        assert figure.stat().st_size > 10_000


def test_the_tokens_of_a_sweep_give_the_same_values(example: Project) -> None:
    tokens = next((example.results / "tokens").rglob("live_texts.parquet"))
    model = AutoModel.from_pretrained(example.folder / "out/checkpoint-24")
    found = LiveDimension(model, tokens=tokens, layers=[3, -1], n_neighbors=64, points=1000).measure(24)
    of_sweep = read_table(example.results / "tables/local.parquet").filter(pc.field("step") == 24)
    means = dict(zip(of_sweep["layer"].to_pylist(), of_sweep["mean"].to_pylist(), strict=True))
    assert {layer: found[f"layer_0{layer}/mean"] for layer in LAYERS} == means
