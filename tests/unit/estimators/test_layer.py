"""One table of all estimates of a layer: what stands in it, on which variant, and when a value is scale-stable."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
from idsweep.estimators import estimate_global, estimate_local, estimate_mean
from idsweep.estimators.layer import Cloud, estimate_layer
from idsweep.files.columns import ESTIMATES
from idsweep.neighbors.search import nearest_neighbors
from idsweep.neighbors.variants import is_null, of_cloud

RNG = np.random.default_rng(0)
K = 32


def clouds(X, groups=None, **options):
    for variant in of_cloud(X, neighbors=K, **options):
        of_rows = None if groups is None or is_null(variant.name) else groups[variant.rows]
        graph = nearest_neighbors(variant.vectors, K)
        yield Cloud(variant.name, (10 * variant.rows).astype(np.int32), of_rows, graph, variant.vectors)


def wanted(estimator, scope, name=None, **parameters):
    return {"name": name or estimator, "estimator": estimator, "scope": scope, "parameters": parameters}


@pytest.fixture(scope="module")
def flat():
    """A table of a plane of 2 dimensions and its variants."""
    X = RNG.random((1200, 2)) @ RNG.standard_normal((2, 6))
    groups = np.repeat(np.arange(60), 20)
    asked = [
        wanted("mle", "local", n_neighbors=12),
        wanted("twonn", "global", method="mle"),
        wanted("gride", "global", n1=1, n2=None),
        wanted("participation_ratio", "global"),
    ]
    table = estimate_layer(clouds(X, groups, halvings=3, nulls=["gaussian"]), asked, tolerance=0.15)
    return X, groups, table.to_pandas()


def test_rows_and_columns(flat):
    X, _, table = flat
    assert table.columns.tolist() == ESTIMATES.names
    local = table[table["scope"] == "local"]
    sizes = {"data": 1200, "data/2": 600, "data/4": 300, "data/8": 150, "gaussian": 1200}
    assert local.groupby("variant", sort=False).size().to_dict() == sizes
    graph = nearest_neighbors(X, K)
    of_data = local[local["variant"] == "data"]
    values = estimate_local(X, "mle", 12, graph)
    np.testing.assert_array_equal(of_data["value"], values)
    np.testing.assert_allclose(of_data["standard_error"], values / 3)
    np.testing.assert_array_equal(of_data["point"], 10 * np.arange(1200))
    assert local.loc[local["variant"] == "gaussian", "point"].isna().all()
    mean = table[(table["scope"] == "mean") & (table["variant"] == "data")].iloc[0]
    assert mean["value"] == estimate_mean(X, "mle", 12, graph).value and np.isnan(mean["standard_error"])
    assert mean["n_neighbors"] == 12 and mean["n_points"] == 1200
    assert mean["scale"] == pytest.approx(graph.distances[:, 11].mean())


def test_groups_are_used_for_the_data_and_not_for_nulls(flat):
    X, groups, table = flat
    whole = table[(table["estimator"] == "twonn")].set_index("variant")["standard_error"]
    assert whole["data"] == estimate_global(X, "twonn", groups=groups, method="mle").standard_error
    assert whole["data"] != estimate_global(X, "twonn", method="mle").standard_error


def test_gride_has_its_own_scales_on_the_data(flat):
    X, _, table = flat
    of_gride = table[table["estimator"] == "gride"]
    expected = ["data", "n1=2", "n1=4", "n1=8", "n1=16", "data/2", "data/4", "data/8", "gaussian"]
    assert of_gride["variant"].tolist() == expected
    assert of_gride["n_neighbors"].tolist() == [2, 4, 8, 16, 32, 2, 2, 2, 2]
    scales = of_gride["scale"].tolist()
    assert scales[:5] == sorted(scales[:5])
    assert of_gride.iloc[1]["value"] == estimate_global(X, "gride", n1=2).value


def test_a_plane_is_scale_stable_and_only_values_of_the_data_are_judged(flat):
    _, _, table = flat
    judged = table[table["scale_stable"].notna()]
    assert set(judged["variant"]) == {"data"}
    assert set(judged["scope"]) == {"mean", "global"}
    assert judged.set_index("estimator")["scale_stable"].to_dict() == {
        "mle": True,
        "twonn": True,
        "gride": True,
        "participation_ratio": True,
    }
    assert table.loc[table["estimator"] == "participation_ratio", "scale"].isna().all()


def test_a_plane_with_noise_is_not_scale_stable():
    X = np.column_stack([RNG.random((2000, 2)), 0.02 * RNG.standard_normal((2000, 20))])
    table = estimate_layer(clouds(X, halvings=2), [wanted("gride", "global", n1=1, n2=None)], 0.1).to_pandas()
    assert table["scale_stable"].tolist()[0] is False
    values = table.set_index("variant")["value"]
    assert values["data"] > 1.2 * values["n1=16"]


def test_stability_looks_no_farther_than_four_times_coarser():
    """Of N/2, N/4 and N/8 the first two count, of GRIDE's scales 2 n1 and 4 n1."""
    X = RNG.random((2000, 2))
    everything = list(clouds(X, halvings=3))
    bent = everything[3]._replace(graph=everything[3].graph._replace(distances=everything[3].graph.distances ** 3))
    asked = [wanted("twonn", "global")]
    for replaced, stable in ((3, True), (2, False)):
        changed = [
            bent._replace(variant=f"data/{2**i}") if i == replaced else cloud for i, cloud in enumerate(everything)
        ]
        table = estimate_layer(changed, asked, 0.25).to_pandas()
        assert table["scale_stable"].tolist()[0] is stable


def test_without_coarser_scales_nothing_is_judged():
    table = estimate_layer(clouds(RNG.random((200, 2))), [wanted("twonn", "global")]).to_pandas()
    assert table["scale_stable"].tolist() == [None]


def test_undefined_points_are_kept_counted_and_told(caplog):
    X = RNG.standard_normal((200, 3))
    X[5] = X[4]
    with caplog.at_level(logging.WARNING, logger="idsweep"):
        table = estimate_layer(clouds(X), [wanted("mle", "local", n_neighbors=10)]).to_pandas()
    assert "mle (mean, data) is undefined at 2 of 200 points" in caplog.text
    assert table["value"].isna().sum() == 2 and (table["n_undefined"] == 2).all()
    assert table[table["scope"] == "mean"]["value"].notna().all()


def test_an_error_names_the_estimate_the_variant_and_the_number_of_points():
    X = np.column_stack([RNG.random(100)])
    with pytest.raises(
        ValueError,
        match=r"flat \(global\) on data, 100 points: PCA needs at least 2 points and 2 coordinates, not 100 points and 1 coordinates",
    ):
        estimate_layer(clouds(X), [wanted("lpca", "global", name="flat")])


def test_a_light_job_imports_nothing_heavy(tmp_path):
    """Files in, estimates, table out, without pandas, torch or scikit-dimension: their import would be most of its time."""
    code = f"""
import sys
import numpy as np
import pyarrow as pa
pa.int32().to_pandas_dtype()  # older versions of pyarrow import pandas for this
given = set(sys.modules)
from idsweep.files import parquet, vectors
from idsweep.estimators.layer import Cloud, estimate_layer
from idsweep.neighbors.search import NeighborGraph, nearest_neighbors
X = np.random.default_rng(0).random((100, 3)).astype(np.float32)
with vectors.NeighborsWriter("{tmp_path}/n.parquet", dict) as file:
    file.write(0, "data", np.arange(100), *nearest_neighbors(X, 20))
with vectors.EmbeddingsWriter("{tmp_path}/e.parquet", dict) as file:
    file.write(np.arange(100), {{0: X}})
ids, *graph = vectors.read_neighbors("{tmp_path}/n.parquet", 0)
cloud = Cloud("data", ids, ids // 10, NeighborGraph(*graph), vectors.read_embeddings("{tmp_path}/e.parquet", 0))
asked = [
    {{"name": name, "estimator": name, "scope": scope, "parameters": {{"n_neighbors": 20}} if scope == "local" else {{}}}}
    for name, scope in (("twonn", "local"), ("twonn", "global"), ("mle", "local"), ("lpca", "local"))
]
parquet.write_table("{tmp_path}/t.parquet", estimate_layer([cloud], asked), {{}})
print(sorted({{"pandas", "torch", "skdim", "sklearn", "matplotlib"}} & sys.modules.keys() - given))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
