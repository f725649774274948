"""Figures hold the data they were given, say what is missing, and come out the same each time."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from idsweep.drawing import style
from idsweep.drawing.selection import IDENTITY, at_last_checkpoint, by_step, of_representations
from idsweep.estimators import registry as estimators
from idsweep.figures import registry
from idsweep.figures.agreement import draw as draw_agreement
from idsweep.figures.heatmap import draw as draw_heatmap
from idsweep.figures.nulls import COVARIANCE
from idsweep.figures.nulls import draw as draw_nulls
from idsweep.figures.scales import draw as draw_scales
from idsweep.figures.violins import draw as draw_violins
from idsweep.statistics.resampling import correlation_interval
from idsweep.sweep.models import offered_checkpoints
from matplotlib.collections import PolyCollection, QuadMesh

from unit.figures.layout import draw_dynamics, layout_faults, panels
from unit.figures.rows import PYTHIA, summary

STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def local_table(
    steps: list[int] = STEPS, layers: int = 5, datasets: tuple[str, ...] = ("news", "films")
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        summary("neox", dataset, layer, step, estimator=estimator)
        | {
            "mean": (mean := 6 + 4 * np.sin(layer) + 3 * np.log1p(step) / 6 + rng.random()),
            "q25": mean - 1,
            "q75": mean + 1,
            "standard_error": 0.1,
            "scale": 8.0,
            "scale_stable": layer % 2 == 0,
        }
        for estimator in ("twonn", "mle")
        for step in steps
        for dataset in datasets
        for layer in range(layers)
    ]
    return pd.DataFrame(rows)


def global_table(local: pd.DataFrame) -> pd.DataFrame:
    return local.rename(columns={"mean": "value"}).drop(columns=["q25", "q75"]).assign(value=lambda t: t["value"] * 0.9)


def training_table(steps: list[int] = STEPS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "neox",
            "group": "neox",
            "seed": None,
            "step": step,
            "metric": metric,
            "value": 8 - np.log1p(step) / 2 + 0.1 * i,
        }
        for step in steps
        for i, metric in enumerate(("train_loss", "validation_loss"))
    )


def pointwise_table(layers: int = 5, points: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.concat(
        pd.DataFrame(
            {
                "group": "neox",
                "model": "neox",
                "checkpoint": "step512",
                "dataset": dataset,
                "layer": layer,
                "estimator": "twonn",
                "n_neighbors": 64,
                "variant": "data",
                "cloud": "points",
                "value": rng.gamma(9, 1 + layer / layers, points),
            }
        )
        for dataset in ("news", "films")
        for layer in range(layers)
    )


def with_variants(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Beside the data half and a quarter of them at larger scales, and both nulls."""
    beside = {"data/2": (1.02, 1.1), "data/4": (1.05, 1.2), "gaussian": (4.0, 1.5), "permuted": (6.0, 1.6)}
    parts = [table]
    for variant, (factor, scale) in beside.items():
        part = table.assign(variant=variant, scale=table["scale"] * scale, scale_stable=None)
        parts.append(part.assign(**{value: factor * table[value]}))
    return pd.concat(parts, ignore_index=True)


def both_tables(layers: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Local and global estimates with variants; globally TwoNN, GRIDE over its scales and one without neighbours."""
    local = local_table(layers=layers)
    whole = global_table(local)
    whole = whole[whole["estimator"] == "twonn"].assign(scale=5.0)
    gride = with_variants(whole.assign(estimator="gride"), "value")
    of_data = gride[gride["variant"] == "data"]
    own = [
        of_data.assign(variant=f"n1={n1}", scale=5.0 + n1, value=of_data["value"] / n1, scale_stable=None)
        for n1 in (2, 4, 8)
    ]
    ratio = with_variants(whole.assign(estimator="participation_ratio", scale=np.nan), "value")
    return with_variants(local, "mean"), pd.concat([with_variants(whole, "value"), gride, *own, ratio])


def test_checkpoints_without_a_step_come_first() -> None:
    rows = pd.DataFrame({"group": "a", "checkpoint": ["x", "final", "y", "best"], "step": [400, None, 0, None]})
    assert list(by_step(rows)["checkpoint"]) == ["final", "best", "y", "x"]
    offered = offered_checkpoints({"checkpoints": dict(zip(rows["checkpoint"], [400, None, 0, None], strict=True))})
    assert list(by_step(rows)["checkpoint"]) == list(offered)
    assert list(at_last_checkpoint(rows)["checkpoint"]) == ["x"]
    alone = rows[rows["checkpoint"] == "final"]
    assert list(at_last_checkpoint(alone)["checkpoint"]) == ["final"]


def test_an_estimate_that_the_first_cloud_lacks_is_drawn_of_the_first_that_has_it() -> None:
    """An item that needs more neighbours than a small cloud has is left out there."""
    local, pointwise = local_table(), pointwise_table()
    few = {"cloud": "number500"}
    of_few = local[local["estimator"] == "mle"].assign(**few, mean=-1.0)
    both = pd.concat([of_few, local], ignore_index=True)
    cells = [
        [
            artist.get_array()
            for artist in panels(draw_heatmap(table), "neox, news")[0].get_children()
            if isinstance(artist, QuadMesh)
        ]
        for table in (both, local)
    ]
    np.testing.assert_array_equal(*cells)
    of_points = pd.concat([pointwise.assign(**few, estimator="mle"), pointwise], ignore_index=True)
    assert len(draw_violins(of_points).axes) == len(draw_violins(pointwise).axes)
    means, values = (
        table[table["layer"] == 0].assign(representation="layer_0") for table in (both, global_table(both))
    )
    rows = of_representations(means, values, ["layer_0"])
    clouds = rows.groupby(["estimator", "scope"])["cloud"].unique().map(list).to_dict()
    assert set(clouds) == {(name, scope) for name in ("mle", "twonn") for scope in ("global", "local")}
    assert {(name, *of_both) for (name, _), of_both in clouds.items()} == {("mle", "number500"), ("twonn", "points")}


def test_heat_map_holds_the_means() -> None:
    local = local_table()
    drawn = draw_heatmap(local, estimator="mle")
    (axes,) = panels(drawn, "neox, news")
    (mesh,) = [artist for artist in axes.get_children() if isinstance(artist, QuadMesh)]
    wanted = local[(local["estimator"] == "mle") & (local["dataset"] == "news")]
    np.testing.assert_array_equal(mesh.get_array(), wanted.pivot(index="layer", columns="step", values="mean"))


def test_violins_one_for_each_layer_and_undefined_ones_are_counted() -> None:
    pointwise = pointwise_table()
    pointwise.loc[(pointwise["layer"] == 2) & (pointwise["dataset"] == "news") & (pointwise.index < 7), "value"] = (
        np.nan
    )
    drawn = draw_violins(pointwise)
    (axes,) = panels(drawn, "neox (step512), news")
    assert len([artist for artist in axes.collections if isinstance(artist, PolyCollection)]) == 5
    assert "7 undefined estimates" in axes.get_xlabel()
    (other,) = panels(drawn, "neox (step512), films")
    assert "undefined" not in other.get_xlabel()


def test_agreement_shows_every_pair_and_its_rank_correlation() -> None:
    local = local_table()
    drawn = draw_agreement(local, global_table(local))
    first = drawn.axes[0]
    assert sum(len(points.get_offsets()) for points in first.collections) == len(local) / 2
    assert first.texts[0].get_text() == "ρ = 1.00 [1.00, 1.00]\nn = 110 of 11 checkpoints"


def test_the_interval_of_agreement_draws_what_depends_on_each_other_together() -> None:
    local = local_table(steps=STEPS[:8])
    rng = np.random.default_rng(0)
    noise = dict(zip(local["checkpoint"].unique(), rng.normal(0, 4, 8), strict=True))
    whole = global_table(local).assign(value=lambda t: t["value"] + t["checkpoint"].map(noise))
    text = draw_agreement(local, whole, pairs=[["twonn", "twonn"]]).axes[0].texts[0].get_text()
    points = local[local["estimator"] == "twonn"].merge(whole[whole["estimator"] == "twonn"], on=IDENTITY)
    codes = pd.factorize(points["checkpoint"], sort=True)[0]
    by_checkpoint = correlation_interval("spearman", *points[["mean", "value"]].to_numpy(float).T, codes)
    shown = [f"{number:.2f}".replace("-", "−") for number in by_checkpoint]
    assert text == f"ρ = {shown[0]} [{shown[1]}, {shown[2]}]\nn = 80 of 8 checkpoints"
    alone = correlation_interval("spearman", *points[["mean", "value"]].to_numpy(float).T, np.arange(80))
    assert by_checkpoint.upper - by_checkpoint.lower > 1.3 * (alone.upper - alone.lower)
    few = local[local["step"] <= 2]
    text = draw_agreement(few, global_table(few)).axes[0].texts[0].get_text()
    assert text == "ρ = 1.00\nn = 30 of 3 checkpoints"


def test_other_figures_show_the_data_alone() -> None:
    local = with_variants(local_table(), "mean")
    (axes,) = panels(draw_dynamics(local, training_table()), "neox, films")
    assert len(axes.get_lines()) == 5
    wanted = local_table().query("estimator == 'twonn' and dataset == 'films' and layer == 0")["mean"]
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), wanted)


def test_scales_join_samples_and_gride_s_own_scales() -> None:
    local, whole = both_tables()
    drawn = draw_scales(local, whole, layers=[0, -1])
    (axes,) = panels(drawn, "neox (step512),\nnews, layer 4")
    here = "checkpoint == 'step512' and dataset == 'news' and layer == 4"
    lines = {(tuple(line.get_xdata()), tuple(np.round(line.get_ydata().astype(float), 9))) for line in axes.get_lines()}
    for table, estimator, value in ((local, "mle", "mean"), (whole, "twonn", "value")):
        samples = table.query(f"{here} and estimator == '{estimator}'").query("variant.str.startswith('data')")
        assert (tuple(samples["scale"]), tuple(np.round(samples[value], 9))) in lines
    own = whole.query(f"{here} and estimator == 'gride'").query("variant == 'data' or variant.str.startswith('n1')")
    assert len(own) == 4 and (tuple(own["scale"]), tuple(np.round(own["value"], 9))) in lines
    (note,) = [drawn._supxlabel.get_text()]
    assert "not drawn: participation ratio" in note


def test_scales_name_their_lines_in_a_table_with_ticks_of_stable_values() -> None:
    drawn = draw_scales(*both_tables(), layers=[0, 1])
    (axes,) = panels(drawn, "neox (step512),\nfilms, layer 0")
    assert len([line for line in axes.get_lines() if line.get_markersize() == 4.5]) == 4
    tables = [axes for axes in drawn.axes if not axes.axison]
    assert len(tables) == 2 and not drawn.legends
    for axes in tables:
        head, *cells = [text.get_text() for text in axes.texts]
        assert head == "scale-stable, layer" and cells[:2] == ["0", "1"]
        rows = " ".join(cells[2:])
        assert "TwoNN, L = 64, mean ✓ ✗" in rows and "its own n1 = 1, 2, 4 …" in rows
        assert rows.count("✓") == rows.count("✗") == 4


def test_nulls_set_the_data_against_both_clouds() -> None:
    local, whole = both_tables()
    drawn = draw_nulls(local, whole, estimators=["mle", "participation_ratio"])
    axes = drawn.axes[0]
    assert axes.get_ylabel() == "Mean local\n(MLE, L = 64)"
    for line, variant in zip(axes.get_lines(), ("data", "gaussian", "permuted"), strict=True):
        wanted = local.query(
            f"estimator == 'mle' and checkpoint == 'step512' and dataset == 'news' and variant == '{variant}'"
        )
        np.testing.assert_array_equal(line.get_ydata(), wanted["mean"])
    names = ["data", "Gaussian null", "permuted null", "band: 95 % interval"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == names
    assert "Global\n(participation ratio,\nL = 64)" in [axes.get_ylabel() for axes in drawn.axes]


def test_nulls_that_tell_nothing_are_not_drawn_and_named() -> None:
    local, whole = both_tables()
    lpca = local[local["estimator"] == "mle"].assign(estimator="lpca")
    lpca["mean"] = lpca["mean"].where(lpca["variant"] == "data", 62.9)
    drawn = draw_nulls(pd.concat([local, lpca], ignore_index=True), whole)
    labels = [axes.get_ylabel() for axes in drawn.axes]
    assert not [label for label in labels if "local PCA" in label]
    at = next(place for place, label in enumerate(labels) if "participation" in label)
    assert len(drawn.axes[at].get_lines()) == 2  # the data and the permuted null
    note = drawn.get_supxlabel().replace("\n", " ")
    assert "covariance: global participation ratio" in note and "ceiling, L − 1, not drawn: local PCA" in note
    (text,) = draw_nulls(lpca, whole[:0]).texts
    assert "No nulls that tell anything" in text.get_text()


def test_estimators_that_read_the_covariance_are_those_of_the_nulls() -> None:
    """The figure may not import estimators; so the list of those is compared here."""
    modules = {name: importlib.import_module(estimators.module_of(name)) for name in estimators.names()}
    spectral = {name for name, module in modules.items() if hasattr(module, "spectral_estimator")}
    assert {*COVARIANCE} == spectral | {"lpca"}


def test_nothing_beside_the_data_is_said() -> None:
    local = local_table()
    whole = global_table(local)
    assert "nulls: [gaussian, permuted]" in draw_nulls(local, whole).texts[0].get_text()
    assert "halvings: 2" in draw_scales(local, whole).texts[0].get_text()


def test_too_many_panels_are_refused_with_the_options_that_help() -> None:
    local, whole = both_tables(layers=20)
    with pytest.raises(ValueError, match=r"more than the 12 panels .* options models, datasets and layers"):
        draw_scales(local, whole, layers=list(range(20)))
    with pytest.raises(ValueError, match="layer 99 was asked for, but the sweep of model 'neox' holds"):
        draw_scales(local, whole, layers=[99])
    with pytest.raises(ValueError, match="estimator 'lpca' was asked for, but the local or global table holds"):
        draw_nulls(local, whole, estimators=["lpca"])


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 5, 33])
def test_labels_neither_overlap_nor_leave_the_paper(layers: int) -> None:
    local, both = local_table(STEPS, layers), both_tables(layers)
    pointwise = pointwise_table(layers, 20).assign(estimator="a_longer_name")
    drawn = [
        draw_dynamics(local, training_table(STEPS), scale="log"),
        draw_heatmap(local, scale="log"),
        draw_heatmap(local),
        draw_violins(pointwise, estimator="a_longer_name", datasets=["news"]),
        draw_agreement(local, global_table(local)),
        draw_scales(*both),
        draw_nulls(*both, scale="log"),
    ]
    assert [layout_faults(figure) for figure in drawn] == [[]] * len(drawn)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 33])
def test_labels_of_154_checkpoints_neither_overlap_nor_leave_the_paper(layers: int) -> None:
    local = local_table(PYTHIA, layers)
    drawn = [
        draw_dynamics(local, training_table(PYTHIA), scale="log"),
        draw_heatmap(local, scale="log"),
        draw_heatmap(local),
        draw_agreement(local, global_table(local), scale="log"),
    ]
    assert [layout_faults(figure) for figure in drawn] == [[]] * len(drawn)


def test_log_scale() -> None:
    drawn = draw_dynamics(local_table(), training_table(), scale="log")
    assert drawn.axes[0].get_yscale() == "log"
    with pytest.raises(ValueError, match="scale = 'cubic' is not known; it must be linear or log"):
        draw_heatmap(local_table(), scale="cubic")


def test_without_several_checkpoints_the_figure_says_so() -> None:
    local = local_table([512])
    for drawn in (
        draw_dynamics(local, training_table([])[:0].reindex(columns=["model", "group", "step", "metric", "value"])),
        draw_heatmap(local),
    ):
        assert "more than one checkpoint" in drawn.texts[0].get_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "lpca"}, "estimator 'lpca' was asked for, but the local table holds 'twonn', 'mle'"),
        ({"models": ["pythia"]}, "model 'pythia' was asked for, but the local table holds 'neox'"),
        ({"datasets": ["wiki"]}, "dataset 'wiki' was asked for, but the local table holds 'news', 'films'"),
    ],
)
def test_what_is_not_there_is_told(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_heatmap(local_table(), **options)


def test_a_missing_cell_is_told() -> None:
    local = local_table()
    local = local[~((local["layer"] == 3) & (local["step"] == 8) & (local["dataset"] == "news"))]
    with pytest.raises(ValueError, match=r"no estimate of model 'neox', checkpoint 'step8', dataset 'news', layer 3"):
        draw_heatmap(local)


@pytest.mark.parametrize("ending", ["pdf", "png", "svg"])
def test_the_same_table_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("one", "two"):
        drawn = draw_dynamics(local_table(layers=2, datasets=("news",)), training_table())
        style.save(drawn, [tmp_path / f"{name}.{ending}"])
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_the_registry_reads_figures_without_importing_them() -> None:
    assert registry.names() == [
        "agreement",
        "dynamics",
        "grokking",
        "heatmap",
        "losses",
        "nulls",
        "perplexity",
        "profiles",
        "ranks",
        "redundancy",
        "scales",
        "sensitivity",
        "shifts",
        "tokens",
        "violins",
    ]
    assert registry.tables("agreement") == ("local", "global")
    assert registry.options("heatmap")["estimator"] == "twonn"
    assert registry.description("violins").startswith("Violins of the local estimates")
    assert registry.get("heatmap") is draw_heatmap
    with pytest.raises(ValueError, match="There is no figure 'pie'; the figures are agreement"):
        registry.get("pie")
