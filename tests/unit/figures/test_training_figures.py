"""Figures over training show medians and ranges over seeds, what happened and what was published, and stay readable."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from builders.project import CONFIG
from idsweep.figures import grokking
from idsweep.tables.brought import REFERENCE, read_reference
from idsweep.tables.events import EVENTS
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from scipy import stats

from unit.figures.layout import NO_EVENTS, NO_REFERENCE, draw_dynamics, layout_faults, panels
from unit.figures.rows import summary

FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
SEEDS = (46, 47, 48)
STEPS = tuple(range(0, 60_001, 2500))


def half_way(fraction: float) -> float:
    """The step at which a run of these tables generalises."""
    return 4000 + 300_000 * (0.5 - fraction) ** 2 if fraction > 0.15 else np.inf


@cache  # the tests share these tables, and change none
def local_table(
    fractions=FRACTIONS, seeds=SEEDS, steps=STEPS, layers=(2,), datasets=("trained_on",), prefix="addition-fraction"
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for fraction in fractions:
        for seed in seeds:
            group = f"{prefix}{fraction}"
            for dataset in datasets:
                for layer in layers:
                    for step in steps:
                        rise = 8 + 8 * (1 - np.exp(-step / 3000)) + layer / 3
                        fall = 10 / (1 + np.exp(-(step - half_way(fraction)) / 1500)) if fraction > 0.15 else 0.0
                        mean = rise - fall + 0.3 * rng.standard_normal()
                        rows.append(
                            summary(group, dataset, layer, step, seed)
                            | {"mean": mean, "q25": mean - 1, "q75": mean + 1, "standard_error": 0.1}
                        )
    return pd.DataFrame(rows)


@cache
def training_table(fractions=FRACTIONS, seeds=SEEDS, last=60_000, prefix="addition-fraction") -> pd.DataFrame:
    steps = np.arange(0, last + 1, last // 300)
    parts = []
    for fraction in fractions:
        for seed in seeds:
            shift = 200 * (seed - 47)
            curves = {
                "train_accuracy": 1 / (1 + np.exp(-(steps - 1500 - shift) / 300)),
                "validation_accuracy": 1 / (1 + np.exp(-np.clip((steps - half_way(fraction) - shift) / 800, -50, 50))),
                "train_loss": 5 * np.exp(-steps / 2000),
                "validation_loss": 5 + np.exp(-steps / 2000),
            }
            group = f"{prefix}{fraction}"
            identity = {"group": group, "model": f"{group}-seed{seed}", "seed": seed}
            parts += [pd.DataFrame({**identity, "step": steps, "metric": m, "value": v}) for m, v in curves.items()]
    return pd.concat(parts, ignore_index=True)


def mean_interval(values: np.ndarray, end: int) -> float:
    """An end of scipy's 95 % interval of a mean."""
    return stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))[end]


def table(schema, rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=schema.names)


def event(name: str, step: float, group: str, **more) -> dict:
    of_dimension = {"estimator": "twonn", "dataset": "trained_on", "layer": 2, "curve": "local_dimension"}
    if name in ("generalization", "memorization"):
        of_dimension = {"curve": "validation_accuracy"}
    return {
        "model": group,
        "event": name,
        "step": step,
        "lower": step - 500,
        "upper": step + 500,
        "n_seeds": 3,
        "n_detected": 3,
        **of_dimension,
        **more,
    }


EVENTS_TABLE = table(
    EVENTS,
    [
        event(name, step, f"addition-fraction{fraction}")
        for fraction in FRACTIONS[2:]
        for name, step in (
            ("peak", half_way(fraction) - 3000),
            ("onset_of_fall", half_way(fraction) - 1500),
            ("plateau", half_way(fraction) + 5000),
            ("generalization", half_way(fraction)),
        )
    ],
)
REFERENCE_TABLE = table(
    REFERENCE,
    [
        {"model": "addition-fraction0.45", "quantity": "local_dimension", "step": 5000, "value": 5.5, "lower": 5.0, "upper": 6.0},
        {"model": "addition-fraction0.1", "quantity": "local_dimension", "step": 60000, "value": 18.5},
        {"model": "addition-fraction0.3", "quantity": "validation_accuracy", "step": 12000, "value": 1.0},
    ],
)  # fmt: skip


def draw_grokking(local=None, training=None, events=NO_EVENTS, reference=NO_REFERENCE, **options) -> Figure:
    local = local_table() if local is None else local
    return grokking.draw(local, training_table() if training is None else training, events, reference, **options)


def line_at(axes: Axes, step: float) -> list[float]:
    """Heights of all curves of a panel at a step."""
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    return [float(np.interp(step, line.get_xdata(), line.get_ydata())) for line in curves]


def legend_texts(drawn: Figure) -> list[str]:
    return [text.get_text() for legend in drawn.legends for text in legend.get_texts()]


@pytest.fixture(scope="module")
def plain() -> Figure:
    """Nine models of three seeds."""
    return draw_grokking()


@pytest.fixture(scope="module")
def with_all() -> Figure:
    """The same with events and published values."""
    return draw_grokking(events=EVENTS_TABLE, reference=REFERENCE_TABLE)


def single_points(axes: Axes) -> list[tuple[float, str]]:
    return [(float(line.get_xdata()[0]), line.get_marker()) for line in axes.get_lines() if len(line.get_xdata()) == 1]


def test_grokking_draws_medians_of_seeds_and_their_ranges(plain: Figure) -> None:
    local, training = local_table(), training_table()
    drawn = plain
    (dimension,) = panels(drawn, "Mean local dimension (trained on, layer 2)")
    (accuracy,) = panels(drawn, "Validation accuracy")
    of_group = local[(local["group"] == "addition-fraction0.45") & (local["step"] == 5000)]["mean"]
    place = FRACTIONS.index(0.45)
    assert line_at(dimension, 5000)[place] == pytest.approx(of_group.median())
    band = [c for c in dimension.collections if isinstance(c, PolyCollection)][place].get_paths()[0].vertices
    at_step = band[band[:, 0] == 5000][:, 1]
    assert (at_step.min(), at_step.max()) == pytest.approx((of_group.min(), of_group.max()))
    at = training[(training["group"] == "addition-fraction0.3") & (training["metric"] == "validation_accuracy")]
    expected = at[at["step"] == 12000]["value"].median()
    assert line_at(accuracy, 12000)[FRACTIONS.index(0.3)] == pytest.approx(expected)
    without = draw_grokking(local_table(fractions=(0.3,)), band=False)
    assert not [c for c in without.axes[2].collections if isinstance(c, PolyCollection)]


def test_the_legend_names_what_differs(plain: Figure) -> None:
    assert legend_texts(plain)[:3] == ["fraction (3 seeds)", "0.1", "0.15"]
    mixed = pd.concat([local_table(fractions=(0.3,)), local_table(fractions=(0.4,), prefix="division-")])
    training = pd.concat([training_table(fractions=(0.3,)), training_table(fractions=(0.4,), prefix="division-")])
    assert legend_texts(draw_grokking(mixed, training)) == [
        *("3 seeds:", "addition-fraction0.3", "division-0.4", "band: lowest to highest seed"),
    ]


def test_the_legend_tells_the_fewest_and_the_most_seeds() -> None:
    local = pd.concat([local_table(fractions=(0.3,), seeds=(46,)), local_table(fractions=(0.4, 0.5))])
    training = training_table(fractions=(0.3, 0.4, 0.5))
    assert legend_texts(draw_grokking(local, training))[0] == "fraction (1\N{EN DASH}3 seeds)"


def test_events_stand_on_the_curve_with_their_intervals(with_all: Figure) -> None:
    drawn = with_all
    (axes,) = panels(drawn, "Mean local dimension (trained on, layer 2)")
    marks = {(step, marker) for step, marker in single_points(axes) if marker != "o"}
    assert (half_way(0.45) - 3000, "^") in marks and (half_way(0.2) + 5000, "s") in marks
    assert len(marks) == 3 * 7
    intervals = [
        line.get_xdata() for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"
    ]
    assert [half_way(0.2) - 3500, half_way(0.2) - 2500] in [list(ends) for ends in intervals]
    dashed = sorted(
        float(line.get_xdata()[0])
        for line in axes.get_lines()
        if line.get_linestyle() == "--" and len(set(line.get_xdata())) == 1
    )
    assert dashed == sorted(half_way(fraction) for fraction in FRACTIONS[2:])
    assert {"peak", "onset of fall", "plateau", "generalization"} <= set(legend_texts(drawn))


def test_marks_are_of_what_most_of_the_drawn_seeds_show() -> None:
    local, group = local_table(fractions=(0.3, 0.45), seeds=(46, 47)), "addition-fraction0.3"
    of_group = EVENTS_TABLE[EVENTS_TABLE["model"] == group].assign(n_seeds=2)
    shown = {"peak", "onset of fall", "plateau", "generalization"}
    for n_detected, models, drawn in ((2, None, shown), (1, None, set()), (2, [f"{group}-seed46"], set())):
        figure = draw_grokking(local, events=of_group.assign(n_detected=n_detected), models=models)
        assert shown & set(legend_texts(figure)) == drawn
        assert {marker for _, marker in single_points(figure.axes[2])} == ({"^", "D", "s"} if drawn else set())
        assert len([line for line in figure.axes[2].get_lines() if line.get_linestyle() == "--"]) == len(drawn) / 4


def test_generalization_is_that_of_the_validation_accuracy() -> None:
    events = EVENTS_TABLE[EVENTS_TABLE["event"] == "generalization"].assign(curve="joint_goal_accuracy")
    assert "generalization" not in legend_texts(draw_grokking(local_table(fractions=(0.3,)), events=events))


def test_many_models_leave_the_curves_in_view(with_all: Figure) -> None:
    few = draw_grokking(local_table(fractions=(0.3, 0.45)), events=EVENTS_TABLE)
    for drawn, top, size, points in ((with_all, 0.08, 4, "None"), (few, 1, 5, "o")):
        lines = drawn.axes[2].get_lines()
        assert {max(line.get_ydata()) for line in lines if line.get_linestyle() == "--"} == {top}
        assert {line.get_markersize() for line in lines if line.get_marker() in ("^", "D", "s")} == {size}
        assert {line.get_marker() for line in lines if len(line.get_xdata()) > 2} == {points}


def test_published_values_beyond_the_steps_are_left_out() -> None:
    drawn = draw_grokking(
        local_table(steps=tuple(range(0, 3001, 200))), training_table(last=3000), reference=REFERENCE_TABLE
    )
    assert "published" not in legend_texts(drawn)
    assert drawn.axes[2].get_ylim()[1] < 18


def test_published_losses_stand_below_the_dimension() -> None:
    reference = table(REFERENCE, [{"model": "neox", "quantity": "train_loss", "step": 64, "value": 3.0}])
    drawn = draw_dynamics(neox(), losses(), reference=reference)
    below = next(axes for axes in drawn.axes if axes.get_ylabel() == "Loss")
    assert [line.get_ydata()[0] for line in below.get_lines() if line.get_markerfacecolor() == "none"] == [3.0]
    assert "published" in legend_texts(drawn)


@pytest.mark.parametrize("second_axis", [None, "train_loss"])
def test_published_ranges_are_shaded_where_their_metric_is_drawn(second_axis: str | None) -> None:
    """A value that was published of the end of a training has no step, and holds for the whole axis."""
    end = {"model": "neox", "quantity": "train_loss", "lower": 2.9, "upper": 3.1}
    drawn = draw_dynamics(neox(), losses(), reference=table(REFERENCE, [end]), second_axis=second_axis)
    label = "Loss" if second_axis is None else "train loss"
    (axes, *_) = (axes for axes in drawn.axes if axes.get_ylabel() == label)
    (shaded,) = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert (shaded.y0, shaded.y1) == (pytest.approx(2.9), pytest.approx(3.1))
    assert "published range" in legend_texts(drawn) and "published" not in legend_texts(drawn)
    assert layout_faults(drawn) == []
    other = draw_dynamics(neox(), losses(), reference=table(REFERENCE, [end | {"model": "another"}]))
    assert "published range" not in legend_texts(other)


def test_published_values_are_rings_on_the_curve_they_are_of(plain: Figure, with_all: Figure) -> None:
    drawn = with_all
    (dimension,), (accuracy,) = (
        panels(drawn, "Mean local dimension (trained on, layer 2)"),
        panels(drawn, "Validation accuracy"),
    )
    rings = {
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in dimension.get_lines()
        if line.get_markerfacecolor() == "none"
    }
    assert rings == {(5000, 5.5), (60000, 18.5)}
    assert [line.get_ydata()[0] for line in accuracy.get_lines() if line.get_markerfacecolor() == "none"] == [1.0]
    assert [5.0, 6.0] in [list(line.get_ydata()) for line in dimension.get_lines()]
    assert "published" in legend_texts(drawn)
    assert "published" not in legend_texts(plain)


def test_published_values_of_what_is_not_drawn_are_not_in_the_legend() -> None:
    local, of_layer = local_table(fractions=(0.3,)), {"quantity": "local_dimension", "layer": 1, "step": 5000}
    for other in (of_layer, of_layer | {"layer": 2, "dataset": "held_out"}, {"quantity": "test_accuracy", "step": 0}):
        reference = table(REFERENCE, [{"model": "addition-fraction0.3", "value": 0.5, **other}])
        assert "published" not in legend_texts(draw_grokking(local, reference=reference))
        shown = draw_dynamics(local, training_table(fractions=(0.3,)), reference=reference)
        assert "published" not in legend_texts(shown)


def test_the_published_dimensions_of_grokking_are_of_the_last_layer_on_what_was_trained_on() -> None:
    experiments = CONFIG / "experiments"
    reference = read_reference(experiments / "grokking.reference.csv").to_pandas()
    local = local_table(fractions=(0.45,), layers=(1, 2), datasets=("trained_on", "held_out"))
    drawn = draw_grokking(local, reference=reference, layers=[1, 2])
    ringed = [
        axes for axes in drawn.axes if [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    ]
    assert ringed == [drawn.axes[1], *panels(drawn, "Mean local dimension (trained on, layer 2)")]


def test_layers_and_datasets_have_a_panel_each() -> None:
    local = local_table(fractions=(0.3, 0.45), layers=(0, 1, 2), datasets=("trained_on", "held_out"))
    assert len(draw_grokking(local).axes) == 2 + 2
    drawn = draw_grokking(local, layers=[0, -1])
    assert len(drawn.axes) == 2 + 4
    assert panels(drawn, "Mean local dimension (held out, layer 0)")
    with pytest.raises(ValueError, match="layer 7 was asked for, but the table holds 0, 1, 2"):
        draw_grokking(local, layers=[7])


def test_a_model_without_accuracies_is_told() -> None:
    training = training_table()
    losses = training[training["metric"].str.endswith("loss")]
    with pytest.raises(
        ValueError, match=r"metric 'train_accuracy', 'validation_accuracy' was asked for, but .*fraction0\.1-seed46"
    ):
        draw_grokking(training=losses)


@pytest.mark.parametrize("steps", [0, np.nan])
def test_a_single_checkpoint_or_none_of_known_step_is_no_training(steps: float) -> None:
    drawn = draw_grokking(local_table(fractions=(0.3,), steps=(0,)).assign(step=steps))
    assert "No grokking to draw" in drawn.texts[0].get_text()


def test_a_logarithmic_axis_has_no_place_for_step_0() -> None:
    events = table(EVENTS, [event("peak", 0, "addition-fraction0.3", lower=0)])
    published = {"model": "addition-fraction0.3", "quantity": "local_dimension", "step": 0, "value": 9.0}
    reference = table(REFERENCE, [published])
    local, training = local_table(fractions=(0.3,)), training_table(fractions=(0.3,))
    for draw in (draw_grokking, draw_dynamics):
        for steps, first in (("log", 200), ("symlog", 0)):
            drawn = draw(local, training, events, reference, steps=steps)
            assert min(min(line.get_xdata()) for axes in drawn.axes for line in axes.get_lines()) == first
            assert {"peak", "published"} & set(legend_texts(drawn)) == (set() if first else {"peak", "published"})


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["linear", "log", "symlog"])
def test_grokking_is_readable(steps: str) -> None:
    several = local_table(fractions=(0.3, 0.45), layers=(1, 2), datasets=("trained_on", "held_out"))
    short = local_table(fractions=(0.25, 0.35, 0.5), seeds=(46,), steps=tuple(range(0, 3001, 200)))
    drawn = [
        draw_grokking(events=EVENTS_TABLE, reference=REFERENCE_TABLE, steps=steps),
        draw_grokking(short, training_table(last=3000), steps=steps),
        draw_grokking(several, layers=[1, 2], events=EVENTS_TABLE, steps=steps),
    ]
    assert [layout_faults(figure) for figure in drawn] == [[]] * len(drawn)


def test_an_unknown_axis_of_steps_is_told() -> None:
    for draw in (draw_grokking, draw_dynamics):
        with pytest.raises(ValueError, match="steps = 'ln' is not known; it must be one of symlog, linear, log"):
            draw(local_table(fractions=(0.3,)), training_table(fractions=(0.3,)), steps="ln")


# ---- dynamics


@cache
def neox(
    steps=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    layers=5,
    seeds=(None,),
    datasets=("news", "films"),
    estimators=("twonn",),
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            "set": "standard", "estimator": estimator, "group": "neox", "seed": seed, "checkpoint": f"step{step}",
            "model": "neox" if seed is None else f"neox-seed{seed}", "step": step, "dataset": dataset, "split": "train",
            "layer": layer, "n_points": 2000, "n_undefined": 0, "n_neighbors": 64, "cloud": "points", "variant": "data",
            "mean": (mean := 6 + 4 * np.sin(layer) + 3 * np.log1p(step) / 6 + rng.random()), "q25": mean - 1, "q75": mean + 1,
        }
        for estimator in estimators for seed in seeds for step in steps for dataset in datasets for layer in range(layers)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def losses(
    steps=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512), seeds=(None,), metrics=("train_loss", "validation_loss")
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "neox" if seed is None else f"neox-seed{seed}", "group": "neox", "seed": seed, "step": step,
            "metric": metric, "value": 8 - np.log1p(step) / 2 + 0.1 * i + 0.05 * (seed or 0),
        }
        for seed in seeds for step in steps for i, metric in enumerate(metrics)
    )  # fmt: skip


def test_dynamics_draw_the_means_and_losses() -> None:
    local, training = neox(estimators=("twonn", "mle")), losses()
    drawn = draw_dynamics(local, training)
    (axes,) = panels(drawn, "neox, films")
    wanted = local[(local["estimator"] == "twonn") & (local["dataset"] == "films")]
    for layer, line in enumerate(axes.get_lines()):
        of_layer = wanted[wanted["layer"] == layer]
        np.testing.assert_array_equal(line.get_xdata(), of_layer["step"])
        np.testing.assert_array_equal(line.get_ydata(), of_layer["mean"])
    assert len(axes.get_lines()) == 5
    below = next(axes for axes in drawn.axes if axes.get_ylabel() == "Loss")
    np.testing.assert_array_equal(below.get_lines()[1].get_ydata(), training["value"][1::2])


def own_losses(local: pd.DataFrame) -> pd.DataFrame:
    """The loss of each checkpoint on each dataset, which differs everywhere."""
    rows = local.drop_duplicates(["model", "checkpoint", "dataset"]).reset_index(drop=True)
    loss = 9 - np.log1p(rows["step"]) / 2 + (rows["dataset"] == "films") + 0.01 * rows.index
    return rows[["model", "group", "checkpoint", "step", "dataset"]].assign(
        loss=loss, lower=loss - 0.2, upper=loss + 0.3
    )


def test_losses_of_the_training_stand_once_and_those_on_each_dataset_below_it() -> None:
    local = neox(layers=2)
    on_data = own_losses(local)
    drawn = draw_dynamics(local, losses(), losses=on_data)
    (training,) = [axes for axes in drawn.axes if axes.get_ylabel() == "Loss"]
    assert len(training.get_lines()) == 2 and training.get_title("left") == "neox, training"
    for dataset in ("news", "films"):
        (above,) = panels(drawn, f"neox, {dataset}")
        (below,) = [axes for axes in drawn.axes if axes is not above and axes.get_shared_x_axes().joined(axes, above)]
        wanted = on_data[on_data["dataset"] == dataset].sort_values("step")
        np.testing.assert_array_equal(below.get_lines()[0].get_ydata(), wanted["loss"])
        band = below.collections[0].get_paths()[0].vertices
        row = wanted[wanted["step"] == 64].iloc[0]
        assert sorted(set(band[band[:, 0] == 64][:, 1])) == pytest.approx([row["lower"], row["upper"]])
    assert layout_faults(drawn) == []


def test_of_one_dataset_all_losses_share_a_panel_and_chosen_metrics_stand_alone() -> None:
    local = neox(layers=2)
    one = local[local["dataset"] == "news"]
    drawn = draw_dynamics(one, losses(), losses=own_losses(one))
    assert legend_texts(drawn)[-3:] == ["train loss", "validation loss", "loss on the measured tokens"]
    assert len([axes for axes in drawn.axes if axes.get_ylabel() == "Loss"]) == 1
    chosen = draw_dynamics(local, losses(), losses=own_losses(local), metrics=["train_loss"])
    assert legend_texts(chosen)[-1] == "train loss" and not [a for a in chosen.axes if "data" in a.get_ylabel()]
    partly = own_losses(one)  # of one of two datasets: a panel beside it would be empty
    assert not [a for a in draw_dynamics(local, losses(), losses=partly).axes if "data" in a.get_ylabel()]


@pytest.mark.parametrize("scale", ["symlog", "log", "linear"])
@pytest.mark.parametrize("last", [500, 512, 600, 1100])
def test_the_last_step_has_a_label(scale: str, last: int) -> None:
    steps = (0, 1, 10, 100, last)
    drawn = draw_dynamics(neox(layers=1, steps=steps), losses(steps=steps), steps=scale)
    (axes,) = panels(drawn, "neox, news")
    assert axes.get_xticks()[-1] == last and layout_faults(drawn) == []


def test_panels_of_different_clouds_say_how_many_points_they_show() -> None:
    local = neox(layers=1).assign(n_points=2000)
    drawn = draw_dynamics(local, losses())
    assert "N = 2,000 points; one seed" in [legend.get_title().get_text() for legend in drawn.legends]
    fewer = local.assign(n_points=local["dataset"].map({"news": 2000, "films": 1200}))
    nbsp = "\N{NO-BREAK SPACE}"
    assert panels(draw_dynamics(fewer, losses()), f"neox, films, N{nbsp}={nbsp}1,200")


def test_the_band_is_the_interval_the_quartiles_without_one_and_the_range_of_several_seeds() -> None:
    local = neox(layers=1)
    for table, ends in (
        (local.assign(standard_error=0.4), lambda row: [row["mean"] - 0.784, row["mean"] + 0.784]),
        (local.assign(standard_error=np.nan), lambda row: [row["q25"], row["q75"]]),
        (local.drop(columns="standard_error", errors="ignore"), lambda row: [row["q25"], row["q75"]]),
    ):
        (axes,) = panels(draw_dynamics(table, losses()), "neox, news")
        band = axes.collections[0].get_paths()[0].vertices
        row = local[(local["step"] == 64) & (local["dataset"] == "news") & (local["estimator"] == "twonn")].iloc[0]
        assert sorted(set(band[band[:, 0] == 64][:, 1])) == pytest.approx(ends(row))
    seeds = neox(layers=1, seeds=(0, 1, 2))
    (axes,) = panels(draw_dynamics(seeds, losses(seeds=(0, 1, 2))), "neox, 3 seeds, news")
    at = seeds[(seeds["step"] == 64) & (seeds["dataset"] == "news") & (seeds["estimator"] == "twonn")]["mean"]
    band = axes.collections[0].get_paths()[0].vertices
    assert sorted(set(band[band[:, 0] == 64][:, 1])) == pytest.approx([at.min(), at.max()])
    assert line_at(axes, 64) == [pytest.approx(at.median())]


@pytest.mark.parametrize(
    ("band", "seeds", "middle", "low", "high", "name"),
    [
        ("range", (0, 1, 2), np.median, np.min, np.max, "lowest to highest seed"),
        (
            "quartiles",
            (0, 1, 2),
            np.median,
            lambda x: np.quantile(x, 0.25),
            lambda x: np.quantile(x, 0.75),
            "quartiles over",
        ),
        (
            "std",
            (0, 1, 2),
            np.mean,
            lambda x: x.mean() - x.std(ddof=1),
            lambda x: x.mean() + x.std(ddof=1),
            "mean ± standard",
        ),
        (
            "interval",
            (0, 1, 2),
            np.mean,
            *(partial(mean_interval, end=end) for end in (0, 1)),
            "95 % interval of the mean",
        ),
    ],
)
def test_bands_over_seeds_are_of_the_kind_asked_for(band, seeds, middle, low, high, name) -> None:
    local = neox(layers=1, seeds=seeds)
    drawn = draw_dynamics(local, losses(seeds=seeds), band=band)
    (axes,) = panels(drawn, "neox, 3 seeds, news")
    at = local[(local["step"] == 64) & (local["dataset"] == "news") & (local["estimator"] == "twonn")][
        "mean"
    ].to_numpy()
    corners = axes.collections[0].get_paths()[0].vertices
    assert sorted(set(corners[corners[:, 0] == 64][:, 1])) == pytest.approx([low(at), high(at)])
    assert line_at(axes, 64) == [pytest.approx(middle(at))]
    assert any(text.startswith(f"band: {name}") for text in legend_texts(drawn))


@pytest.mark.parametrize(
    ("band", "ends", "name"),
    [
        (True, lambda row: (row["mean"] - 0.784, row["mean"] + 0.784), "95 % interval of the mean"),
        ("quartiles", lambda row: (row["q25"], row["q75"]), "quartiles of local values"),
        ("std", lambda row: (row["mean"] - 2.0, row["mean"] + 2.0), "mean ± standard deviation of local values"),
        ("interval", lambda row: (row["mean"] - 0.784, row["mean"] + 0.784), "95 % interval of the mean"),
        ("range", None, None),
        (False, None, None),
    ],
)
def test_bands_of_one_seed_are_of_the_kind_asked_for(band, ends, name) -> None:
    local = neox(layers=1).assign(standard_deviation=2.0, standard_error=0.4)
    drawn = draw_dynamics(local, losses(), band=band)
    (axes,) = panels(drawn, "neox, news")
    told = [text for text in legend_texts(drawn) if text.startswith("band")]
    if ends is None:
        assert not axes.collections and not told
        return
    row = local[(local["step"] == 64) & (local["dataset"] == "news") & (local["estimator"] == "twonn")].iloc[0]
    corners = axes.collections[0].get_paths()[0].vertices
    assert sorted(set(corners[corners[:, 0] == 64][:, 1])) == pytest.approx(ends(row))
    assert told == [f"band: {name}"]


def test_dynamics_name_the_estimator_and_neighbourhood() -> None:
    drawn = draw_dynamics(neox(estimators=("twonn", "mle")), losses(), estimator="mle")
    assert "(MLE, L = 64)" in drawn.axes[0].get_ylabel()


def test_a_metric_stands_on_a_second_axis() -> None:
    epochs = tuple(range(1775, 35_501, 1775))
    seeds = (40, 41, 42, 43, 44)
    accuracy = losses(epochs, seeds, metrics=("joint_goal_accuracy",))
    drawn = draw_dynamics(neox(epochs, 1, seeds), accuracy, second_axis="joint_goal_accuracy", steps="linear")
    second = [axes for axes in drawn.axes if axes.get_ylabel() == "joint goal accuracy"]
    assert len(second) == 1 and len(drawn.axes) == 2 + 2 + 1  # two panels, an axis more for each, the bar of layers
    at = accuracy[accuracy["step"] == 17_750]["value"]
    assert line_at(second[0], 17_750) == [pytest.approx(at.median())]
    assert layout_faults(drawn) == []
    with pytest.raises(
        ValueError, match="metric 'f1' was asked for, but the training table of model 'neox' holds 'joint_goal"
    ):
        draw_dynamics(neox(epochs, 1, seeds), accuracy, second_axis="f1")


def test_the_second_axis_may_be_of_each_panel_s_split() -> None:
    local = neox((0, 10, 20), 1)
    local["split"] = local["dataset"].map({"news": "train", "films": "test"})
    training = losses((0, 10, 20), metrics=("train_loss", "test_loss"))
    drawn = draw_dynamics(local, training, second_axis="{split}_loss", second_limits=[0, 8], steps="linear")
    value = training.set_index(["metric", "step"])["value"]
    panels_of = {axes.get_title("left").split(", ")[-1]: axes for axes in drawn.axes if axes.get_title("left")}
    for dataset, split in (("news", "train"), ("films", "test")):
        (second,) = (
            axes
            for axes in drawn.axes
            if axes is not panels_of[dataset] and axes.bbox.bounds == panels_of[dataset].bbox.bounds
        )
        assert line_at(second, 10) == [pytest.approx(value[f"{split}_loss", 10])]
        assert second.get_ylim() == (0, 8)
    assert "loss" in {axes.get_ylabel() for axes in drawn.axes}
    with pytest.raises(ValueError, match="no metric train_accuracy and no test_accuracy"):
        draw_dynamics(local, training, second_axis="{split}_accuracy")
    local["split"] = None
    with pytest.raises(ValueError, match="no metric None_loss"):
        draw_dynamics(local, training, second_axis="{split}_loss")


def test_marks_and_published_values_of_dynamics() -> None:
    events = table(
        EVENTS,
        [
            event("peak", 64, "neox", dataset="news", layer=0, n_seeds=1, n_detected=1),
            event("peak", 32, "neox", dataset="films", layer=0, n_seeds=1, n_detected=1),
        ],
    )
    reference = table(
        REFERENCE,
        [{"model": "neox", "quantity": "local_dimension", "dataset": "news", "layer": 1, "step": 512, "value": 9.0}],
    )
    (axes,) = panels(draw_dynamics(neox(layers=2), losses(), events, reference), "neox, news")
    single = [(line.get_marker(), line.get_xdata()[0]) for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert single == [("^", 64), ("o", 512)]
    (axes,) = panels(draw_dynamics(neox(layers=5), losses(), events), "neox, news")
    assert not single_points(axes)
    halved = events.assign(n_seeds=2)
    for local, marks in ((neox(layers=1, seeds=(0, 1)), 0), (neox(layers=1, seeds=(0, 1, 2)), 0), (neox(layers=1), 1)):
        (axes, *_) = draw_dynamics(local, losses(), halved if marks == 0 else events).axes
        assert len(single_points(axes)) == marks


def test_the_bar_of_a_single_layer_has_the_colour_of_its_curve() -> None:
    drawn = draw_dynamics(neox(layers=1), losses())
    (bar,) = [axes for axes in drawn.axes if axes.get_ylabel() == "Layer"]
    drawn.draw_without_rendering()
    (colour,) = bar.collections[-1].get_facecolor()
    assert colour[:3] == pytest.approx(drawn.axes[0].get_lines()[0].get_color()[:3])


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["symlog", "linear", "log"])
@pytest.mark.parametrize(("layers", "seeds"), [(25, (None,)), (2, (0, 1, 2))])
def test_dynamics_are_readable(steps: str, layers: int, seeds: tuple) -> None:
    pythia = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 144_000, 2000))
    events = table(
        EVENTS, [event("peak", 64_000, "neox", dataset="news", layer=0, n_seeds=len(seeds), n_detected=len(seeds))]
    )
    drawn = draw_dynamics(neox(pythia, layers, seeds), losses(pythia, seeds), events, steps=steps)
    assert layout_faults(drawn) == []
