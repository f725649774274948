"""The miniature sweep, run for real: what it makes, what it says, and that it makes it again just so."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import duckdb
import idsweep
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import skdim
from builders.explored import PACK, unpack
from idsweep.estimators import estimate_global
from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import (
    EmbeddingsWriter,
    read_embeddings,
    read_estimates,
    read_identities,
    read_neighbors,
    read_points,
    representations,
)
from idsweep.neighbors.points import prepare_points
from idsweep.neighbors.variants import of_cloud
from idsweep.tables.captions import CAPTIONS

from workflow.checkout import MINI, PROJECT, Project


def test_everything_is_made(finished: Project) -> None:
    made = {str(path.relative_to(finished.results)) for path in finished.results.rglob("*") if path.is_file()}
    expected = {f"figures/{figure}.{ending}" for figure in MINI["figures"] for ending in ("pdf", "png", "svg")}
    expected |= {
        f"tables/{table}.{ending}" for table in ("local", "global", "training") for ending in ("parquet", "csv")
    }
    expected |= {"estimates/quick/minilm/final/lee_news/points/layers_0-6.parquet"}
    expected |= {
        f"estimates/likelihood/mini_neox/{step}/lee_news/points/layers_0-2.parquet" for step in ("step0", "step4")
    }
    assert expected | {"report.html", "about.html"} <= made
    assert not [name for name in made if "unfinished" in name]


def test_a_second_run_does_nothing(project: Project) -> None:
    done = project.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout


def test_the_screen_says_what_was_made_and_where(fresh: Project) -> None:
    fresh.configure(models={"minilm": {"layers": [0]}}, figures={"violins": {}}, points__number=100)
    done = fresh.snakemake()
    assert done.returncode == 0, done.stdout
    said = done.stdout[done.stdout.index("Figures:") :]
    assert "results/mini/figures/violins.{pdf,png,svg}" in said
    assert "results/mini/tables/local.{parquet,csv}" in said
    assert "results/mini/report.html" in said


def test_any_file_by_name(project: Project) -> None:
    wanted = project.results / "figures/dynamics.pdf"
    wanted.unlink()
    done = project.snakemake("results/mini/figures/dynamics.pdf")
    assert done.returncode == 0, done.stdout
    assert wanted.read_bytes().startswith(b"%PDF")


def test_numbers_are_scikit_dimension_s(finished: Project) -> None:
    """From the stored hidden states alone, scikit-dimension finds the stored estimates."""
    cloud = read_embeddings(finished.results / "embeddings/minilm/final/lee_news.parquet", 6)
    file = finished.results / "estimates/quick/minilm/final/lee_news/points/layers_0-6.parquet"
    estimates = read_estimates(file, 6)
    of_data = estimates.filter([variant == "data" for variant in estimates["variant"].to_pylist()])
    local = of_data.filter([scope == "local" for scope in of_data["scope"].to_pylist()])
    points = cloud[local["point"].to_numpy()].astype(np.float64)
    assert len(points) == MINI["points"]["number"]
    expected = skdim.id.TwoNN().fit_transform_pw(points, n_neighbors=16)
    np.testing.assert_allclose(local["value"].to_numpy(), expected, rtol=1e-6)
    of_global = of_data.filter([scope == "global" for scope in of_data["scope"].to_pylist()])
    np.testing.assert_allclose(of_global["value"].to_numpy(), skdim.id.TwoNN().fit_transform(points), rtol=1e-6)


def test_broken_vectors_are_named_by_file_layer_and_count(project: Project) -> None:
    path = project.results / "embeddings/minilm/final/lee_news.parquet"
    vectors = {layer: np.array(read_embeddings(path, layer)) for layer in representations(path)}
    vectors["layer_6"][[7, 9]] = np.nan
    made_by = provenance(path)
    with EmbeddingsWriter(path, lambda: made_by) as file:
        file.write(np.arange(len(vectors["layer_6"])), vectors)
    done = project.snakemake("results/mini/neighbors/minilm/final/lee_news/points.parquet")
    assert done.returncode != 0
    expected = "lee_news.parquet, layer_6: vectors has NaN or infinite values in 2 of 300 rows, the first of them row 7"
    assert f"error: results/mini/embeddings/minilm/final/{expected}" in done.stdout


def test_variants_are_measured_from_the_stored_states(finished: Project) -> None:
    """Half of the points and the Gaussian null, made again from the embeddings, give the estimates in the table."""
    cloud = read_embeddings(finished.results / "embeddings/minilm/final/lee_news.parquet", 6)
    points = prepare_points(cloud, number=MINI["points"]["number"], seed=778).vectors
    table = pd.read_parquet(finished.results / "tables/global.parquet")
    here = table.query("estimator == 'twonn' and model == 'minilm' and layer == 6").set_index("variant")
    for variant in of_cloud(points, halvings=2, nulls=["gaussian"], seed=0, neighbors=16):
        expected = skdim.id.TwoNN().fit_transform(variant.vectors.astype(np.float64))
        assert here.loc[variant.name, "value"] == pytest.approx(expected, rel=1e-3)
        assert here.loc[variant.name, "n_points"] == len(variant.rows)
    coarser = here.loc[["data/2", "data/4"], "value"]
    stable = (coarser - here.loc["data", "value"]).abs().max() <= 0.1 * here.loc["data", "value"]
    assert here.loc["data", "scale_stable"] == stable


def test_standard_errors_know_the_sequences(finished: Project) -> None:
    """The stored error is that of the graph with each token's sequence as its group."""
    graph_file = finished.results / "neighbors/minilm/final/lee_news/points.parquet"
    points, *graph = read_neighbors(graph_file, 6)
    sequences = read_table(finished.results / "tokens/minilm/lee_news.parquet")["sequence"].to_numpy()
    expected = estimate_global(None, "twonn", graph, sequences[points])
    table = pd.read_parquet(finished.results / "tables/global.parquet")
    row = table.query("estimator == 'twonn' and model == 'minilm' and layer == 6 and variant == 'data'").iloc[0]
    np.testing.assert_equal((row["value"], row["standard_error"]), (expected.value, expected.standard_error))
    assert 0 < expected.standard_error != estimate_global(None, "twonn", graph).standard_error


def test_the_same_tokens_at_every_checkpoint(finished: Project) -> None:
    ids = [
        read_points(finished.results / f"embeddings/mini_neox/{step}/lee_news.parquet", layer)
        for step in ("step0", "step4")
        for layer in (0, 1, 2)
    ]
    tokens = read_table(finished.results / "tokens/mini_neox/lee_news.parquet")
    assert all(np.array_equal(part, tokens["point"].to_numpy()) for part in ids)
    # Layer 0 of GPT-NeoX is the token's embedding alone: equal rows are equal tokens, at every checkpoint.
    for step in ("step0", "step4"):
        vectors = read_embeddings(finished.results / f"embeddings/mini_neox/{step}/lee_news.parquet", 0)
        _, as_vectors = np.unique(vectors, axis=0, return_inverse=True)
        _, as_tokens = np.unique(tokens["token_id"].to_numpy(), return_inverse=True)
        as_vectors = as_vectors.ravel()  # numpy 2.0 gives it another shape
        assert len({*zip(as_vectors, as_tokens, strict=True)}) == as_vectors.max() + 1 == as_tokens.max() + 1


def test_tables_hold_one_row_per_estimate(finished: Project) -> None:
    local = pd.read_parquet(finished.results / "tables/local.parquet")
    keys = ["estimator", "model", "checkpoint", "dataset", "layer", "variant"]
    assert not local.duplicated(keys).any()
    assert local["variant"].drop_duplicates().tolist() == ["data", "data/2", "data/4", "gaussian"]
    assert len(local) == 2 * (2 + 2 * 3) * 4
    known = local[local["standard_error"].notna()]
    assert set(known["estimator"]) == {"twonn"}  # for the means of others no way is known that is right
    steps = local.groupby("checkpoint")["step"].first()
    assert steps["step4"] == 4
    assert pd.isna(steps["final"])
    assert (local["n_points"] <= MINI["points"]["number"]).all()
    csv = pd.read_csv(finished.results / "tables/local.csv", float_precision="round_trip")
    np.testing.assert_array_equal(csv["mean"], local["mean"])


def test_training_is_recorded(finished: Project) -> None:
    training = pd.read_parquet(finished.results / "tables/training.parquet")
    assert set(training["metric"]) == {"train_loss", "validation_loss"}
    losses = training[training["metric"] == "train_loss"].set_index("step")["value"]
    assert losses[4] < losses[0]


def test_all_estimates_are_one_table_for_other_tools(finished: Project) -> None:
    """duckdb and pandas find in the tree what the tables say."""
    tree, local = finished.results / "estimates", pd.read_parquet(finished.results / "tables/local.parquet")
    key = ["estimator", "model", "checkpoint", "dataset", "layer", "variant"]
    query = f"""select {", ".join(key)}, any_value(step) as step, avg(value) as mean from '{tree}/**/*.parquet'
        where scope = 'local' and not isnan(value) group by {", ".join(key)}"""
    frame = pd.read_parquet(tree).query("scope == 'local'")
    for found in (duckdb.sql(query).df(), frame.groupby(key)["value"].mean().rename("mean").reset_index()):
        both = local.merge(found, on=key, suffixes=("", "_found"))
        assert len(both) == len(local) == len(found)
        np.testing.assert_allclose(both["mean_found"], both["mean"], rtol=1e-12)
    assert frame["extrinsic_dimension"].notna().all()
    assert set(frame["seed"].dropna()) == set(local["seed"].dropna())


def test_provenance_tells_the_whole_way(finished: Project) -> None:
    file = finished.results / "estimates/quick/mini_neox/step4/lee_news/points/layers_0-2.parquet"
    found = provenance(file)
    assert read_identities(file)["layer_1"]["checkpoint"] == found["wildcards"]["checkpoint"] == "step4"
    way = [found["rule"]]
    while found["from"]:
        found = found["from"][0]
        way.append(found["rule"])
    assert way == ["estimate_dimensions", "find_neighbors", "extract_embeddings", "sample_tokens"]
    assert found["settings"]["tokens"]["seed"] == 42
    assert len(found["settings"]["texts"]["content"][0]) == 64
    extraction = provenance(finished.results / "embeddings/mini_neox/step4/lee_news.parquet")
    assert extraction["from"][1]["rule"] == "train_language_model"
    assert extraction["from"][1]["settings"]["training"]["learning_rate"] == 0.001
    extraction = provenance(finished.results / "embeddings/minilm/final/lee_news.parquet")
    assert len(extraction["settings"]["source"]["files"]["model.safetensors"]) == 64
    table = provenance(finished.results / "tables/local.parquet")
    sets = table["settings"]["config"]["estimator_sets"]
    assert {name: [(one["estimator"], one["scope"]) for one in items] for name, items in sets.items()} == {
        name: [(one["estimator"], one["scope"]) for one in items] for name, items in MINI["estimator_sets"].items()
    }


def test_the_same_config_gives_the_same_tables(finished: Project, fresh: Project) -> None:
    done = fresh.snakemake("results/mini/tables/local.parquet", "results/mini/tables/global.parquet")
    assert done.returncode == 0, done.stdout
    for table in ("local", "global"):
        one, other = (pq.read_table(p.results / f"tables/{table}.parquet") for p in (finished, fresh))
        # pandas compares NaN as equal; replace_schema_metadata sets times aside
        assert one.schema.equals(other.schema)
        for name in one.column_names:
            assert one[name].combine_chunks().buffers()[-1] == other[name].combine_chunks().buffers()[-1], name


def test_a_failing_job_ends_the_screen_with_its_log_and_reason(fresh: Project) -> None:
    (fresh.folder / "few.txt").write_text("Only a few words.\n")
    few = {"few": {"loader": "text", "path": str(fresh.folder / "few.txt")}}
    fresh.configure(models={"minilm": {"layers": [0]}}, datasets=["few"], catalog__datasets=few)
    elsewhere = fresh.folder / "else where"  # a working folder of its own, with a space in its name
    elsewhere.mkdir()
    done = fresh.snakemake("results/mini/tables/local.parquet", "--directory", str(elsewhere))
    assert done.returncode != 0
    last = done.stdout[done.stdout.rindex("job(s) failed") :]
    assert "results/mini/logs/find_neighbors/minilm/final/few/points.log" in last
    reason = r"error: results/mini/embeddings/minilm/final/few.parquet: .* more than 16 different points, too few"
    assert re.search(reason, last)
    assert "Traceback" not in done.stdout
    log = (elsewhere / "results/mini/logs/find_neighbors/minilm/final/few/points.log").read_text()
    assert "Traceback" in log


def test_more_points_than_tokens_uses_all_and_says_so(fresh: Project) -> None:
    fresh.configure(models={"minilm": {"layers": [0]}}, tokens__number=80, points__number=100, figures={})
    done = fresh.snakemake("results/mini/tables/local.parquet")
    assert done.returncode == 0, done.stdout
    assert re.search(r"points\.number = 100, but there are only 80 vectors of \w+: all are used", done.stdout)


def test_scripts_use_the_library_of_their_own_checkout(project: Project) -> None:
    """An installed idsweep of another version must not run under signatures of this source."""
    (project.folder / "workflow_scripts/idsweep/version.py").write_text('__version__ = "0.0.test"\n')
    (project.results / "tables/local.csv").unlink()
    (project.results / "tables/local.parquet").unlink()
    done = project.snakemake("results/mini/tables/local.parquet")
    assert done.returncode == 0, done.stdout
    assert provenance(project.results / "tables/local.parquet")["versions"]["idsweep"] == "0.0.test"


def test_rulegraph(fresh: Project) -> None:
    done = fresh.snakemake("--rulegraph", "mermaid-js")
    assert done.returncode == 0
    for rule in ("sample_tokens", "extract_embeddings", "find_neighbors", "estimate_dimensions", "write_report"):
        assert rule in done.stdout


def test_contrasts_are_differences_at_the_same_tokens(finished: Project) -> None:
    """Of each estimator: MiniLM's two layers, and three layers at two checkpoints."""
    contrasts = pd.read_parquet(finished.results / "tables/contrasts.parquet")
    kinds = contrasts[contrasts["estimator"] == "twonn"].groupby(["model", "contrast"]).size().to_dict()
    of_neox = {"last": 3, "first": 3, "next_layer": 4, "highest_layer": 4}
    of_minilm = {"next_layer": 1, "highest_layer": 1}
    expected = {"minilm": of_minilm, "mini_neox": of_neox}
    assert kinds == {(model, kind): number for model, of_model in expected.items() for kind, number in of_model.items()}
    assert len(contrasts) == 2 * sum(kinds.values())
    row = contrasts.query("estimator == 'twonn' and contrast == 'last' and layer == 1").iloc[0]
    tree = pd.read_parquet(finished.results / "estimates/quick/mini_neox")
    values = tree.query("scope == 'local' and variant == 'data' and layer == 1").pivot(
        index="point", columns="step", values="value"
    )
    sequence = (
        read_table(finished.results / "tokens/mini_neox/lee_news.parquet").to_pandas().set_index("point")["sequence"]
    )

    def by_clusters(one: pd.Series) -> tuple[int, float]:
        one = one.dropna()
        sums = (one - one.mean()).groupby(sequence.loc[one.index].to_numpy()).sum()
        return len(sums), np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(one)

    difference = (values[0] - values[4]).dropna()
    n_sequences, error = by_clusters(difference)
    local = pd.read_parquet(finished.results / "tables/local.parquet").query(
        "model == 'mini_neox' and estimator == 'twonn' and variant == 'data' and layer == 1"
    )
    known = local.set_index("step")["standard_error"]
    squares = {step: by_clusters(values.loc[difference.index, step])[1] ** 2 for step in (0, 4)}
    times = {step: (known[step] / by_clusters(values[step])[1]) ** 2 for step in (0, 4)}
    error *= np.sqrt(max(1, sum(times[step] * squares[step] for step in (0, 4)) / sum(squares.values())))
    assert (row["n_pairs"], row["n_sequences"]) == (len(difference), n_sequences)
    assert (row["mean_difference"], row["standard_error"]) == pytest.approx((difference.mean(), error), rel=1e-9)


def test_the_report_holds_figures_tables_and_what_made_them(finished: Project) -> None:
    report = (finished.results / "report.html").read_text()
    assert "The local intrinsic dimension was measured by TwoNN (16 neighbours) in minilm and mini_neox" in report
    assert "Violins of the local estimates" in report
    assert {f'id="figure-{name}"' in report for name in ("violins", "dynamics")} == {True}
    packs = {name: unpack(text) for name, text in PACK.findall(report)}
    rows = {one["name"]: one["n_rows"] for one in packs["tables"]}
    assert rows == {
        file.stem: pq.read_metadata(file.with_suffix(".parquet")).num_rows
        for file in finished.results.glob("tables/*.csv")
    }
    assert {one["name"]: one["caption"] for one in packs["tables"]}["leads"] == CAPTIONS["leads"]
    made = report[report.index("How it was made</h2>") :]
    for text in ("--configfile mini.yaml", "scikit-dimension", "sweep: mini", "<td>extract_embeddings</td>"):
        assert text in made, text
    assert (finished.results / "about.html").exists()


def test_snakemakes_own_report_can_be_made(project: Project) -> None:
    done = project.snakemake("--report", "own.html")
    assert done.returncode == 0, done.stdout
    report = (project.folder / "own.html").read_text()
    for text in ("violins.png", "local.csv", "about.html", "Violins of the local estimates"):
        assert text in report, text
    assert CAPTIONS["leads"].split(":")[0] in report


def test_results_are_read_from_python(finished: Project) -> None:
    results = idsweep.load(finished.results)
    local = results.table("local")
    values = results.local(model="mini_neox", dataset="lee_news", checkpoint="step4", layer=1, estimator="twonn")
    tokens = read_table(finished.results / "tokens/mini_neox/lee_news.parquet").to_pandas().set_index("point")
    assert values["token"].tolist() == tokens.loc[values["point"], "token"].tolist()
    row = local.query(
        "model == 'mini_neox' and step == 4 and layer == 1 and estimator == 'twonn' and variant == 'data'"
    )
    assert values["value"].mean() == pytest.approx(row["mean"].item())
    for name in ("dynamics", "violins"):
        assert results.figure(name).axes
    with pytest.raises(
        ValueError,
        match="means several estimates; choose one of checkpoint: step0, step4; set: likelihood, quick; estimator: mle, twonn",
    ):
        results.local(model="mini_neox", dataset="lee_news", layer=1)
    with pytest.raises(ValueError, match="has no model 'neox'; it has mini_neox, minilm"):
        results.local(model="neox", dataset="lee_news", layer=1)
    with pytest.raises(FileNotFoundError, match="has no table shifts; it has contrasts,"):
        results.figure("shifts")


def test_the_command_line_shows_a_result(finished: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "idsweep.cli", "show", str(finished.results / "tables/local.parquet")],
        env=os.environ | {"PYTHONPATH": str(PROJECT / "workflow_scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"rule": "collect_estimates"' in done.stdout
