"""Figures over layers, and what seeds become in every figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from idsweep.drawing import style
from idsweep.drawing.selection import over_seeds, rows_of
from idsweep.figures import profiles
from idsweep.figures.agreement import draw as draw_agreement
from idsweep.figures.heatmap import draw as draw_heatmap
from idsweep.figures.nulls import draw as draw_nulls
from idsweep.figures.scales import draw as draw_scales
from idsweep.figures.violins import draw as draw_violins
from idsweep.tables.contrasts import HIGHEST_LAYER
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from unit.figures.layout import layout_faults, panels
from unit.figures.rows import PYTHIA, note, summary

SUITE = {"pythia-70m": 7, "pythia-1.4b": 25, "pythia-12b": 37}
THICK = profiles.FLAT_TOP["linewidth"]
TASKS = ("addition", "subtraction", "multiplication", "division", "composition")
GROKKING = {f"{task}_mod_197-fraction{percent / 100:g}": 3 for task in TASKS for percent in range(10, 55, 5)}


def local_table(
    n_layers: dict[str, int],
    steps: Sequence[int | None] = (0, 512),
    datasets: Sequence[str] = ("news", "films"),
    seeds: Sequence[int | None] = (None,),
) -> pd.DataFrame:
    """Means that differ everywhere; `n_layers` are the models without their seeds."""
    rng = np.random.default_rng(0)
    rows = [
        summary(group, dataset, layer, step, seed)
        | {
            "mean": 8 + rng.gamma(4),
            "standard_error": 0.1 + rng.random(),
            "scale": 8 + rng.random(),
            "scale_stable": True,
        }
        for group, layers in n_layers.items()
        for seed in seeds
        for step in steps
        for dataset in datasets
        for layer in range(layers)
    ]
    return pd.DataFrame(rows)


def global_table(local: pd.DataFrame) -> pd.DataFrame:
    return local.rename(columns={"mean": "value"}).assign(value=0.9 * local["mean"] ** 1.1)


def with_variants(table: pd.DataFrame, value: str) -> pd.DataFrame:
    beside = {"data/2": 1.1, "gaussian": 2.0}
    parts = [table.assign(variant=name, **{value: factor * table[value]}) for name, factor in beside.items()]
    return pd.concat([table, *parts], ignore_index=True)


def pointwise_table(local: pd.DataFrame, points: int = 30) -> pd.DataFrame:
    repeated = local.loc[local.index.repeat(points)].drop(columns=["mean", "standard_error"])
    return repeated.assign(value=np.random.default_rng(1).gamma(9, size=len(repeated)))


def contrasts_table(local: pd.DataFrame, error: float = 1e-6) -> pd.DataFrame:
    """Every layer against the highest of its run and checkpoint, with intervals of 2 `error` to both sides."""
    rows = []
    for _, of_run in local[local["mean"].notna()].groupby(["model", "checkpoint", "dataset"], sort=False):
        highest = of_run.loc[of_run["mean"].idxmax()]
        others = of_run[of_run["layer"] != highest["layer"]]
        rows.append(
            others.assign(other_layer=highest["layer"], n_pairs=others["n_points"] - others["n_undefined"])
            .assign(mean_difference=others["mean"] - highest["mean"], contrast=HIGHEST_LAYER)
            .assign(upper=lambda table: table["mean_difference"] + 2 * error)
        )
    return pd.concat(rows)


def draw_profiles(local: pd.DataFrame, contrasts: pd.DataFrame | None = None, **options: object) -> Figure:
    """The figure of a sweep all of whose layers differ significantly, unless told."""
    return profiles.draw(local, contrasts_table(local) if contrasts is None else contrasts, **options)


def lines_of(axes: Axes) -> list:
    """The lines themselves, without the thick ones on their tops."""
    return [line for line in axes.get_lines() if len(line.get_xdata()) > 1 and line.get_linewidth() < THICK]


def tops_of(axes: Axes) -> list:
    """Places of the flat tops."""
    return [line.get_xdata().tolist() for line in axes.get_lines() if line.get_linewidth() >= THICK]


def rings_of(axes: Axes) -> list[tuple[float, float]]:
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.get_lines() if len(line.get_xdata()) == 1]


def edges(band: PolyCollection) -> dict[float, tuple[float, float]]:
    """Lowest and highest value of a band at each of its places."""
    corners = band.get_paths()[0].vertices
    return {x: (corners[corners[:, 0] == x, 1].min(), corners[corners[:, 0] == x, 1].max()) for x in corners[:, 0]}


def bands_of(axes: Axes) -> list[PolyCollection]:
    return [artist for artist in axes.collections if isinstance(artist, PolyCollection)]


def brightness(colour: object) -> float:
    return float(np.dot(np.asarray(colour)[:3], (0.2126, 0.7152, 0.0722)))


def test_over_seeds_is_the_median_from_the_lowest_to_the_highest() -> None:
    rows = local_table({"a": 1}, [512], ["news"], seeds=[1, 2, 3]).assign(mean=[5.0, 9.0, 6.0], n_undefined=[0, 2, 5])
    (row,) = over_seeds(rows, "mean").itertuples()
    assert (row.value, row.low, row.high, row.n_seeds, row.n_undefined) == (6, 5, 9, 3, 7)
    (row,) = over_seeds(rows.assign(mean=[5.0, np.nan, 6.0]), "mean").itertuples()
    assert (row.value, row.low, row.high) == (5.5, 5, 6)
    (row,) = over_seeds(rows.assign(mean=np.nan), "mean").itertuples()
    assert np.isnan([row.value, row.low, row.high]).all()


def test_over_seeds_a_single_one_has_its_95_percent_interval() -> None:
    rows = local_table({"a": 1}, [512], ["news"]).assign(mean=10.0, standard_error=0.5)
    (row,) = over_seeds(rows, "mean").itertuples()
    assert (row.value, row.low, row.high, row.n_seeds) == (10, pytest.approx(9.02), pytest.approx(10.98), 1)


@pytest.mark.parametrize(
    ("stable", "wanted"), [([True, True], True), ([True, False], False), ([None, None], None)], ids=str
)
def test_over_seeds_stable_is_what_is_so_in_each(stable: list, wanted: bool | None) -> None:
    rows = local_table({"a": 1}, [512], ["news"], seeds=[1, 2])
    (row,) = over_seeds(rows.assign(scale_stable=pd.Series(stable, dtype=object)), "mean").itertuples()
    assert row.scale_stable is wanted


def test_models_are_chosen_by_group_or_by_run() -> None:
    table = local_table({"a": 2, "b": 2}, seeds=[1, 2])
    of_groups = rows_of(table, "local", "twonn", models=["b", "a"])
    assert list(of_groups["model"].unique()) == ["b-seed1", "b-seed2", "a-seed1", "a-seed2"]
    assert list(rows_of(table, "local", "twonn", models=["a-seed2"])["model"].unique()) == ["a-seed2"]
    with pytest.raises(ValueError, match="model 'c' was asked for, but the local table holds 'a', 'b'"):
        rows_of(table, "local", "twonn", models=["a-seed1", "c"])


def test_a_checkpoint_that_one_seed_lacks_is_told() -> None:
    table = local_table({"a": 2}, seeds=[1, 2])
    lacking = table[(table["seed"] == 1) | (table["step"] == 512)]
    with pytest.raises(ValueError, match=r"no estimate of model 'a-seed2', checkpoint 'step0', .* option models"):
        draw_profiles(lacking)
    draw_profiles(lacking, models=["a-seed1"])


def test_profiles_are_medians_over_seeds_at_relative_depth() -> None:
    local = local_table({"a": 5, "b": 9}, seeds=[1, 2, 3])
    drawn = draw_profiles(local)
    assert note(drawn).startswith("Relative depth (layer / deepest layer measured) N = 2,000 points; 3 seeds")
    (axes,) = panels(drawn, "films (step512), 3\N{NO-BREAK SPACE}seeds")
    wanted = local.query("step == 512 and dataset == 'films'").groupby(["group", "layer"])["mean"]
    for group, blocks, line, band in zip("ab", (4, 8), lines_of(axes), bands_of(axes), strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(blocks + 1) / blocks)
        np.testing.assert_array_equal(line.get_ydata(), wanted.median()[group])
        drawn = edges(band)
        np.testing.assert_array_equal([drawn[x][0] for x in line.get_xdata()], wanted.min()[group])
        np.testing.assert_array_equal([drawn[x][1] for x in line.get_xdata()], wanted.max()[group])


def test_profiles_of_one_seed_have_the_95_percent_interval() -> None:
    local = local_table({"a": 5}, datasets=["news"])
    axes = draw_profiles(local).axes[0]
    last = local[local["step"] == 512]
    drawn = np.array(list(edges(bands_of(axes)[0]).values()))
    drawn = drawn[np.argsort(drawn.mean(axis=1))]
    wanted = np.sort(last["mean"].to_numpy())
    np.testing.assert_allclose(drawn.mean(axis=1), wanted)
    half = 1.96 * last.sort_values("mean")["standard_error"].to_numpy()
    np.testing.assert_allclose((drawn[:, 1] - drawn[:, 0]) / 2, half)
    assert bands_of(draw_profiles(local, band=False).axes[0]) == []


def test_profiles_have_a_ring_at_each_peak() -> None:
    local = local_table({"a": 5, "b": 9}, datasets=["news"])
    local.loc[(local["group"] == "a") & (local["layer"] == 3), "mean"] = 50.0
    local.loc[(local["group"] == "b") & (local["layer"] == 2), "mean"] = 40.0
    drawn = draw_profiles(local)
    assert rings_of(drawn.axes[0]) == [(0.75, 50.0), (0.25, 40.0)] and tops_of(drawn.axes[0]) == []
    assert "Peak: the layers beside it are lower; by 95 % intervals of differences at the same tokens" in note(drawn)
    assert "flat top" not in [text.get_text() for text in drawn.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("means", "top"),
    [
        ([1, 5, 9, 8.9, 5], [2, 3]),  # one neighbour is lower, one is not
        ([1, 8.9, 9, 8.9, 5], [1, 2, 3]),
        ([1, 9, 5, 8.9, 5], [1]),  # another layer as high, but not beside it
        ([9, 5, 4, 3, 2], [0]),  # an end has one neighbour
        ([2, 3, 4, 8.9, 9], [3, 4]),
        ([9, 9.1, 9, 8.9, 9], [0, 1, 2, 3, 4]),
        ([2, 8.9, np.nan, 9, 2], [1, 2, 3]),  # a layer of which nothing is known lies between
    ],
    ids=str,
)
@pytest.mark.parametrize("checkpoints", [None, "all"])
def test_a_top_without_a_significant_peak_is_flat(means: list[float], top: list[int], checkpoints: str | None) -> None:
    local = local_table({"a": 5}, [512], ["news"]).assign(mean=means)
    local.loc[local["mean"].isna(), "n_undefined"] = 2000
    drawn = draw_profiles(local, contrasts_table(local, 0.2), checkpoints=checkpoints)
    places = np.array(top) / (4 if checkpoints is None else 1)
    signs = [text.get_text() for text in drawn.legends[0].get_texts()]
    if len(top) == 1:
        assert rings_of(drawn.axes[0]) == [(places[0], means[top[0]])] and tops_of(drawn.axes[0]) == []
        assert "peak" in signs and "flat top" not in signs
    else:
        assert rings_of(drawn.axes[0]) == [] and tops_of(drawn.axes[0]) == [places.tolist()]
        assert "flat top" in signs and "peak" not in signs


def test_a_ring_over_seeds_is_a_peak_of_all() -> None:
    local = local_table({"a": 6}, [512], ["news"], seeds=[1, 2, 3])
    means = {1: [1, 4, 9, 4, 2, 1], 2: [1, 4, 8, 4, 2, 1], 3: [2, 4, 9, 4, 2, 1]}
    local["mean"] = [means[row.seed][row.layer] for row in local.itertuples()]
    assert rings_of(draw_profiles(local).axes[0]) == [(0.4, 9)]
    elsewhere = local.assign(mean=local["mean"].mask((local["seed"] == 3) & (local["layer"] == 4), 9.5))
    drawn = draw_profiles(elsewhere)
    assert rings_of(drawn.axes[0]) == [] and tops_of(drawn.axes[0]) == [[0.4, 0.6, 0.8]]
    assert "from the first to the last layer that is not lower than the highest in some seed" in note(drawn)


def test_contrasts_of_other_estimates_mark_nothing() -> None:
    """Of another estimator, set, cloud, checkpoint or kind of contrast, in which all layers are equal."""
    local = local_table({"a": 5}, [0, 512], ["news"])
    right, flat = contrasts_table(local), contrasts_table(local, 1e6)
    others = {"estimator": "mle", "set": "other", "cloud": "small", "contrast": "next_layer"}
    table = pd.concat([*(flat.assign(**{name: value}) for name, value in others.items()), flat[flat["step"] == 0]])
    drawn = draw_profiles(local, pd.concat([table, right[right["step"] == 512]]))
    assert len(rings_of(drawn.axes[0])) == 1 and tops_of(drawn.axes[0]) == []


@pytest.mark.parametrize("what", ["no intervals", "no contrasts"])
def test_no_top_is_marked_where_differences_are_not_known(what: str) -> None:
    """Where the tokens are of one sequence, an interval is not known."""
    local = local_table({"a": 5}, [512], ["news"])
    contrasts = contrasts_table(local, np.nan)
    drawn = draw_profiles(local, contrasts if what == "no intervals" else contrasts[:0])
    assert rings_of(drawn.axes[0]) == tops_of(drawn.axes[0]) == []
    assert "(no top is marked where differences between layers have no interval)" in note(drawn)
    assert not {"peak", "flat top"} & {text.get_text() for text in drawn.legends[0].get_texts()}
    assert not draw_profiles(local, contrasts, checkpoints="all").legends


def test_profiles_leave_a_gap_where_nothing_is_defined() -> None:
    local = local_table({"a": 5}, datasets=["news"])
    local.loc[local["layer"] == 2, ["mean", "standard_error", "n_undefined"]] = [np.nan, np.nan, 2000]
    drawn = draw_profiles(local)
    assert np.isnan(lines_of(drawn.axes[0])[0].get_ydata()).tolist() == [False, False, True, False, False]
    assert "(2,000 undefined estimates left out of the means)" in note(drawn)


def test_sizes_are_a_sequence_of_colours_whatever_their_order() -> None:
    shuffled = ["pythia-1b", "pythia-70m", "pythia-12b", "pythia-1.4b", "pythia-70m-deduped"]
    looks = style.line_looks(shuffled)
    assert list(looks) == shuffled
    ordered = ["pythia-70m", "pythia-1b", "pythia-1.4b", "pythia-12b"]
    assert (np.diff([brightness(looks[name]["color"]) for name in ordered]) > 0).all()
    assert looks["pythia-70m"]["color"] == looks["pythia-70m-deduped"]["color"]
    assert [looks[name]["linestyle"] for name in shuffled] == ["-", "-", "-", "-", "--"]
    fractions = style.line_looks([f"addition_mod_197-fraction{value}" for value in (0.1, 0.25, 0.5)])
    assert (np.diff([brightness(look["color"]) for look in fractions.values()]) > 0).all()
    rates = style.line_looks([f"neox-learning_rate{value}" for value in (1e-05, 0.0003, 0.001, 0.1)])
    assert next(iter(rates)) == "neox-learning_rate1e-05"
    assert (np.diff([brightness(look["color"]) for look in rates.values()]) > 0).all()


@pytest.mark.parametrize(
    "names",
    [
        ["bert", "gpt2", "minilm"],
        ["a-1", "a-2"],
        ["pythia-70m", "pythia-70m-deduped", "pythia-1b"],
        ["a1b1", "a2b1", "a1b2"],
        ["bert-1", "gpt-2", "minilm-3", "neox-4", "roberta-5"],
        [f"model {letter}" for letter in "abcdefghijklmnopqrst"],
    ],
)
def test_other_names_are_told_apart_by_colour_and_dashes(names: list[str]) -> None:
    looks = style.line_looks(names)
    assert [look["color"] for look in looks.values()] == style.categories(len(names))
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == len(names)


def test_profiles_over_training_hold_the_means_of_each_checkpoint() -> None:
    local = local_table({"a": 5}, [0, 10, 100, 1000])
    (axes,) = panels(draw_profiles(local, checkpoints="all"), "a, films")
    wanted = local[local["dataset"] == "films"].pivot(index="step", columns="layer", values="mean")
    np.testing.assert_array_equal([line.get_ydata() for line in lines_of(axes)], wanted)
    np.testing.assert_array_equal(lines_of(axes)[0].get_xdata(), range(5))
    assert (np.diff([brightness(line.get_color()) for line in lines_of(axes)]) > 0).all()
    assert [layer for layer, _ in rings_of(axes)] == list(wanted.idxmax(axis=1))


def test_profiles_over_training_are_thinned_evenly_in_the_logarithm() -> None:
    local = local_table({"pythia-70m": 7}, PYTHIA, ["news"])
    few = local_table({"neox": 7}, [500, 501, 502, 503], ["news"])
    drawn = draw_profiles(pd.concat([local, few], ignore_index=True), checkpoints="all")
    shown = [line.get_ydata() for line in lines_of(drawn.axes[0])]
    means = local.pivot(index="step", columns="layer", values="mean")
    steps = [next(step for step, of_step in means.iterrows() if np.array_equal(of_step, line)) for line in shown]
    assert 12 <= len(steps) <= 16 and (steps[0], steps[-1]) == (0, 143_000)
    assert np.diff(np.log(steps[1:])).max() < np.log(4.1)
    assert len(lines_of(drawn.axes[1])) == 4
    assert "up to 16 checkpoints each" in note(drawn)


def test_profiles_over_training_show_the_checkpoints_asked_for() -> None:
    local = local_table({"a": 5}, PYTHIA, ["news"])
    drawn = draw_profiles(local, checkpoints=["step0", 3000, 143_000])
    wanted = local[local["step"].isin([0, 3000, 143_000])].pivot(index="step", columns="layer", values="mean")
    np.testing.assert_array_equal([line.get_ydata() for line in lines_of(drawn.axes[0])], wanted)
    with pytest.raises(
        ValueError, match=r"step 3001 was asked for, but the local table holds 0, 1, 2, .* and 104 more"
    ):
        draw_profiles(local, checkpoints=[3001])
    with pytest.raises(
        ValueError, match="checkpoint 'step3' was asked for, but the local table holds 'step0', 'step1'"
    ):
        draw_profiles(local, checkpoints=["step3", 4])
    with pytest.raises(ValueError, match="checkpoints = 'every' is not known; it must be all, or a list"):
        draw_profiles(local, checkpoints="every")


@pytest.mark.parametrize("steps", [[0], [143_000], [20_000, 30_000], [1775, 3550, 35_500]], ids=str)
def test_the_bar_of_steps_has_ticks_within_the_steps(steps: list[int]) -> None:
    drawn = draw_profiles(local_table({"a": 5}, steps), checkpoints="all")
    bar = next(axes for axes in drawn.axes if axes.get_ylabel() == "Training step")
    ticks = bar.get_yticks()
    assert len(ticks) >= min(len(steps), 2) and steps[0] <= min(ticks) <= max(ticks) <= steps[-1]
    assert layout_faults(drawn) == []


def test_profiles_over_training_count_what_is_undefined_in_what_is_drawn() -> None:
    local = local_table({"a": 5}, [0, 10, 100], ["news"], seeds=[1, 2])
    local["n_undefined"] = local["step"].map({0: 3, 10: 5, 100: 7})
    assert "(100 undefined estimates left out of the means)" in note(draw_profiles(local, checkpoints=[0, 100]))


def test_profiles_over_training_name_what_has_no_step() -> None:
    local = pd.concat([local_table({"a": 5}), local_table({"b": 5}, [None])], ignore_index=True)
    assert "(without a step, not drawn: final)" in note(draw_profiles(local, checkpoints="all"))
    only = draw_profiles(local, checkpoints="all", models=["b"])
    assert "no checkpoint has a known step" in only.texts[0].get_text()
    assert lines_of(draw_profiles(local, models=["b"]).axes[0])


def test_a_single_layer_is_no_profile() -> None:
    local = local_table({"a": 1, "b": 5})
    assert "(1 model not drawn, measured at a single layer: a)" in note(draw_profiles(local))
    alone = draw_profiles(local, models=["a"])
    assert "no model in the table has more than one layer measured (a)" in alone.texts[0].get_text()


def test_heat_map_holds_the_means_over_seeds_and_says_so() -> None:
    local = local_table({"a": 5}, [0, 10, 100], seeds=[1, 2, 3])
    drawn = draw_heatmap(local)
    (axes,) = panels(drawn, "a, films")
    (mesh,) = [artist for artist in axes.get_children() if isinstance(artist, QuadMesh)]
    wanted = local[local["dataset"] == "films"].groupby(["layer", "step"])["mean"].mean().unstack()
    np.testing.assert_allclose(mesh.get_array(), wanted)
    bars = [axes for axes in drawn.axes if "mean of 3\N{NO-BREAK SPACE}seeds" in axes.get_ylabel()]
    assert len(bars) == 1
    framed = {frame.get_xy() for frame in axes.patches if isinstance(frame, Rectangle)}
    assert framed == set(enumerate(wanted.idxmax()))
    assert "highest mean of its checkpoint" in [text.get_text() for text in drawn.legends[0].get_texts()]


def cells_of(drawn: Figure) -> QuadMesh:
    return next(artist for artist in drawn.axes[0].get_children() if isinstance(artist, QuadMesh))


def test_one_outlying_layer_does_not_eat_the_colours() -> None:
    local = local_table({"a": 7}, [0, 10, 100, 1000], ["news"])
    local["mean"] = 10 + local["layer"] + np.log1p(local["step"]) / 10
    local.loc[local["layer"] == 0, "mean"] = 900.0
    inside = local[local["layer"] > 0]["mean"]
    drawn = draw_heatmap(local)
    norm = cells_of(drawn).norm
    assert (norm.vmin, norm.vmax) == (inside.min(), inside.max())
    assert drawn.axes[-1].get_children() and drawn.axes[-1]._colorbar.extend == "max"
    full = cells_of(draw_heatmap(local, colours="full")).norm
    assert (full.vmin, full.vmax) == (local["mean"].min(), 900.0)
    within = cells_of(draw_heatmap(local, colours="layer")).get_array()
    np.testing.assert_allclose(within[1:].min(axis=1), 0)
    np.testing.assert_allclose(within[1:].max(axis=1), 1)
    np.testing.assert_allclose(within[0], 0.5)  # this layer never moves
    with pytest.raises(ValueError, match="colours = 'rank' is not known; it must be one of robust, full, layer"):
        draw_heatmap(local, colours="rank")


def test_heat_maps_mark_what_is_not_scale_stable_in_one_seed() -> None:
    local = local_table({"a": 5}, [0, 10, 100], ["news"], seeds=[1, 2]).assign(scale_stable=True)
    unstable = (local["layer"] == 3) & (local["step"] == 10) & (local["seed"] == 2)
    local["scale_stable"] = local["scale_stable"].mask(unstable, False)
    drawn = draw_heatmap(local)
    (dots,) = drawn.axes[0].get_lines()
    assert [tuple(np.floor(at)) for at in dots.get_xydata()] == [(1, 3)]
    assert "not scale-stable" in [text.get_text() for text in drawn.legends[0].get_texts()]
    unknown = draw_heatmap(local.assign(scale_stable=None))
    assert len(unknown.axes[0].get_lines()) == 0


def test_heat_map_of_many_checkpoints_joins_the_peaks() -> None:
    local = local_table({"a": 9}, PYTHIA, ["news"])
    (axes, _) = draw_heatmap(local).axes
    (line,) = axes.get_lines()
    wanted = local.pivot(index="layer", columns="step", values="mean").idxmax() + 0.5
    np.testing.assert_array_equal(line.get_ydata(), wanted)
    assert draw_heatmap(local, peaks=False).axes[0].get_lines()[:] == []


def test_heat_map_peaks_pass_over_what_is_undefined() -> None:
    local = local_table({"a": 3}, range(40), ["news"])
    local.loc[local["step"] == 7, "mean"] = np.nan
    local.loc[(local["step"] == 9) & (local["layer"] == 1), "mean"] = np.nan
    axes = draw_heatmap(local).axes[0]
    layers = axes.get_lines()[0].get_ydata()
    assert np.flatnonzero(np.isnan(layers)).tolist() == [7] and layers[9] != 1.5
    assert "grey: no defined estimate" in axes.get_xlabel()


def test_a_violin_holds_the_points_of_all_seeds() -> None:
    pointwise = pointwise_table(local_table({"a": 3}, [512], seeds=[1, 2, 3]))
    (axes,) = panels(draw_violins(pointwise), "a (step512), 3\N{NO-BREAK SPACE}seeds, films")
    of_layers = pointwise[pointwise["dataset"] == "films"].groupby("layer")["value"]
    for violin, (_, values) in zip(bands_of(axes), of_layers, strict=True):
        heights = violin.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (values.min(), values.max())


def test_agreement_has_a_point_for_each_seed() -> None:
    local = local_table({"a": 3, "b": 5}, seeds=[1, 2, 3])
    drawn = draw_agreement(local, global_table(local), panel_per_model=True)
    assert drawn.axes[-1].get_ylabel() == "Relative depth\n(layer / deepest layer measured)"
    for group in "ab":
        (axes,) = panels(drawn, group)
        points = np.concatenate([dots.get_offsets() for dots in axes.collections])
        assert set(points[:, 0]) == set(local.loc[local["group"] == group, "mean"])


def test_nulls_are_medians_over_seeds_at_the_last_checkpoint() -> None:
    local = local_table({"a": 5}, datasets=["news"], seeds=[1, 2, 3])
    tables = with_variants(local, "mean"), with_variants(global_table(local), "value")
    drawn = draw_nulls(*tables)
    (axes, _) = drawn.axes
    wanted = tables[1].query("step == 512").groupby(["variant", "layer"])["value"]
    for variant, line, band in zip(("data", "gaussian"), axes.get_lines(), bands_of(axes), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), wanted.median()[variant])
        low, high = np.transpose([edges(band)[layer] for layer in range(5)])
        np.testing.assert_array_equal(low, wanted.min()[variant])
        np.testing.assert_array_equal(high, wanted.max()[variant])
    assert "3\N{NO-BREAK SPACE}seeds" in axes.get_title("left")


def test_scales_are_medians_over_seeds_and_stable_if_each_is() -> None:
    local = local_table({"a": 3}, [512], ["news"], seeds=[1, 2, 3])
    local.loc[(local["layer"] == 2) & (local["seed"] == 2), "scale_stable"] = False
    local = with_variants(local, "mean")
    drawn = draw_scales(local, global_table(local)[:0], layers=[1, 2])
    for axes, layer, filled in zip(drawn.axes[:2], (1, 2), (True, False), strict=True):
        of_layer = local[(local["layer"] == layer) & local["variant"].str.startswith("data")]
        middle = of_layer.groupby("variant")[["scale", "mean"]].median()
        line, mark = (next(line for line in axes.get_lines() if len(line.get_xdata()) == n) for n in (2, 1))
        np.testing.assert_array_equal(line.get_xydata(), middle)
        np.testing.assert_array_equal(mark.get_xydata(), middle.loc[["data"]])
        (table,) = [axes for axes in drawn.axes if not axes.axison]
        assert table.texts[{1: -2, 2: -1}[layer]].get_text() == ("✓" if filled else "✗")
        (bars,) = axes.collections
        drawn_ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
        ends = of_layer.groupby("variant")["mean"].agg(["min", "max"])
        np.testing.assert_allclose(drawn_ends, ends)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [draw_heatmap, draw_profiles, draw_violins])
def test_models_without_room_are_named(draw: Callable[..., Figure]) -> None:
    local = local_table(GROKKING, [512] if draw is draw_violins else [0, 512], ["trained_on"], seeds=[1])
    options = {"checkpoints": "all"} if draw is draw_profiles else {}
    table = pointwise_table(local, 4) if draw is draw_violins else local
    drawn = draw(table, **options)
    wanted = "(21 models not drawn for lack of room, see the option models: multiplication_mod_197-fraction0.4"
    assert wanted in note(drawn)
    assert drawn.get_figheight() < 32
    assert layout_faults(drawn) == []


@pytest.mark.parametrize("zeros", ["one", "all"])
def test_a_logarithmic_heat_map_has_a_colour_for_means_of_zero(zeros: str) -> None:
    local = local_table({"neox": 3}, PYTHIA[:3])
    local["mean"] = local["mean"].where(local["layer"] > 0) if zeros == "one" else 0.0
    drawn = draw_heatmap(local.fillna({"mean": 0.0}), scale="log")
    drawn.canvas.draw()
    meshes = [
        one
        for axes in drawn.axes
        for one in axes.collections
        if isinstance(one, QuadMesh) and one.get_array().size < 100
    ]
    assert meshes
    for mesh in meshes:
        assert np.ma.count_masked(mesh.get_array()) == 0
        assert (mesh.to_rgba(mesh.get_array())[..., 3] == 1).all(), "a mean of 0 looks like one that is not defined"


@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [SUITE, {"neox": 7}], ids=["suite", "one model"])
def test_layouts_of_154_checkpoints_have_no_faults(n_layers: dict[str, int]) -> None:
    local = local_table(n_layers, PYTHIA)
    figures = [
        draw_profiles(local),
        draw_profiles(local, contrasts_table(local, 2.0)),
        draw_profiles(local, checkpoints="all"),
        draw_heatmap(local, scale="log"),
        draw_heatmap(local, datasets=["films"]),
    ]
    assert [layout_faults(drawn) for drawn in figures] == [[]] * 5


@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [SUITE, dict(list(GROKKING.items())[:4])], ids=["suite", "long names"])
def test_layouts_of_several_seeds_have_no_faults(n_layers: dict[str, int]) -> None:
    local = local_table(n_layers, [0, 40_000], seeds=[1, 2, 3])
    two = local[local["group"].isin(list(n_layers)[:2])]
    tables = with_variants(two, "mean"), with_variants(global_table(two), "value")
    last = pointwise_table(local[local["step"] == 40_000], 5)
    figures = [
        draw_profiles(local, contrasts_table(local, 2.0), scale="log"),
        draw_profiles(local, checkpoints="all", datasets=["news"]),
        draw_heatmap(local),
        draw_violins(last, models=list(n_layers)[-2:]),
        draw_violins(last, models=list(n_layers)[:2], datasets=["news"]),
        draw_agreement(local, global_table(local), datasets=["news"], panel_per_model=True),
        draw_nulls(*tables),
        draw_scales(*tables),
    ]
    assert [layout_faults(drawn) for drawn in figures] == [[]] * 8


@style.styled
def test_a_layout_that_fails_is_found() -> None:
    drawn = style.figure(2, 1)
    axes = drawn.subplots(1, 2)
    axes[0].set_title("a title that is much longer than its panel")
    axes[1].set_title("another", fontsize=6)
    faults = " ".join(layout_faults(drawn))
    assert "overlap: 'a title" in faults and "outside: 'a title" in faults and "small: 'another'" in faults


def test_vectors_stand_in_place_of_layers_where_none_was_measured() -> None:
    place = {"representation": "vectors", "layer": None}
    numbers = {"standard_error": 0.2, "scale": 3.0, "scale_stable": True}
    local = pd.DataFrame(
        summary("mine", "rows", variant=variant) | place | numbers | {"mean": mean}
        for variant, mean in (("data", 5.0), ("data/2", 5.1), ("data/4", 5.3), ("gaussian", 9.0))
    )
    for draw in (draw_nulls, draw_scales):
        drawn = draw(local, global_table(local))
        said = [text.get_text() for text in drawn.findobj(Text)]
        assert any("vectors" in one for one in said)
        assert layout_faults(drawn) == []
    points = pd.DataFrame(summary("mine", "rows") | place | {"value": 4 + i / 50, "point": i} for i in range(100))
    drawn = draw_violins(points)
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["vectors"]


def test_a_single_layer_beside_its_null_is_a_point_with_a_bar() -> None:
    local = pd.DataFrame(
        summary("mine", variant=variant) | {"mean": mean, "standard_error": 0.5, "scale": 3.0, "scale_stable": True}
        for variant, mean in (("data", 5.0), ("gaussian", 9.0))
    )
    drawn = draw_nulls(local, global_table(local))
    axes = drawn.axes[0]
    assert len({bars.lines[0].get_xdata()[0] for bars in axes.containers}) == 2  # side by side
    assert [text.get_text() for text in drawn.legends[0].get_texts()][-1].startswith("bars: ")
    assert layout_faults(drawn) == []
