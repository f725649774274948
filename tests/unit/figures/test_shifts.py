"""The figure of shifts holds both models' estimates, says how far they moved, and refuses tables that do not match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from idsweep.drawing import style
from idsweep.figures import registry
from idsweep.figures.shifts import draw
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from unit.figures.layout import layout_faults, panels
from unit.figures.rows import identity, note

LAYERS = (0, 11, 12)
THREE = [("dialogues", "train"), ("dialogues:test", "test"), ("news", "train")]
NINE = [
    (name if split == "train" else f"{name}:{split}", split)
    for name in ("dialogues", "reddit", "wikitext")
    for split in ("train", "validation", "test")
]
GREY = (0.75, 0.75, 0.75)


def tables(
    groups: Sequence[str] = ("tuned",),
    clouds: Sequence[tuple[str, str]] = tuple(THREE),
    seeds: Sequence[int | None] = (None,),
    steps: Sequence[int | None] = (400, 1200, 2800),
    points: int = 40,
    base: str = "roberta-base",
    held: Sequence[int | None] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables compared and shifts: the groups, each with its seeds, against one base model, all numbers different.

    held: the steps whose points are in compared (None: the last).
    """
    rng = np.random.default_rng(0)
    compared, shifts = [], []
    for dataset, split in clouds:
        for layer in LAYERS:
            before = 4 + rng.gamma(9, size=points)
            of_base = identity(base, dataset, layer, split=split, checkpoint="main")
            compared += [of_base | {"point": point, "value": value} for point, value in enumerate(before)]
            for group in groups:
                for seed in seeds:
                    for step in steps:
                        difference = rng.normal(-1, 0.5) + rng.normal(size=points)
                        name = "final" if step is None else f"checkpoint-{step}"
                        of_tuned = identity(group, dataset, layer, step, seed, split=split, checkpoint=name)
                        shifts.append(
                            of_tuned
                            | {
                                "base_model": base,
                                "base_checkpoint": "main",
                                "n_pairs": points,
                                "n_sequences": points // 2,
                                "base_mean": before.mean(),
                                "mean": (before + difference).mean(),
                                "shift": difference.mean(),
                                "lower": difference.mean() - 0.1 - 0.3 * rng.random(),
                                "upper": difference.mean() + 0.1 + 0.3 * rng.random(),
                                "effect_size": difference.mean() / difference.std(ddof=1),
                                "share_lower": (difference < 0).mean(),
                            }
                        )
                        if step in (steps[-1:] if held is None else held):
                            compared += [of_tuned | {"point": p, "value": v} for p, v in enumerate(before + difference)]
    return pd.DataFrame(compared).assign(variant="data", n_neighbors=128), pd.DataFrame(shifts)


def halves(axes: Axes) -> dict[str, np.ndarray]:
    """The outlines of the base's and the fine-tuned model's halves: float (corners, 2)."""
    found = {}
    for artist in axes.collections:
        if isinstance(artist, PolyCollection):
            base = np.allclose(to_rgb(artist.get_facecolor()[0]), GREY)
            found["base" if base else "fine-tuned"] = artist.get_paths()[0].vertices
    return found


def dashes(axes: Axes) -> list[float]:
    """The heights of the lines in the violins of a panel, each half's from the lowest."""
    return [line.get_ydata()[0] for line in axes.get_lines()]


def text(axes: Axes) -> str:
    return " ".join(axes.get_xlabel().split())


def headings(drawn: Figure) -> list[str]:
    return [" ".join(part.get_suptitle().replace("-\n", "-").split()) for part in drawn.subfigs]


def at(rows: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def test_halves_span_the_points_of_both_models_at_the_last_layer() -> None:
    compared, shifts = tables()
    drawn = draw(compared, shifts)
    assert headings(drawn) == ["tuned (checkpoint-2800) against roberta-base (main), layer 12"]
    for title, dataset in (
        ("dialogues, train", "dialogues"),
        ("dialogues, test", "dialogues:test"),
        ("news, train", "news"),
    ):
        (axes,) = panels(drawn, title)
        found = halves(axes)
        assert found["base"][:, 0].max() <= 0 <= found["fine-tuned"][:, 0].min()
        of_both = [at(compared, dataset=dataset, layer=12, model=name)["value"] for name in ("roberta-base", "tuned")]
        for half, values in zip(found.values(), of_both, strict=True):
            np.testing.assert_allclose((half[:, 1].min(), half[:, 1].max()), (values.min(), values.max()))
        np.testing.assert_allclose(dashes(axes), np.concatenate([v.quantile([0.25, 0.5, 0.75]) for v in of_both]))


def test_the_shift_its_interval_and_the_effect_size_are_said() -> None:
    compared, shifts = tables()
    shifts.loc[shifts["step"] == 2800, ["shift", "lower", "upper", "effect_size"]] = [-1.234, -1.5, 0.25, -0.456]
    for axes in draw(compared, shifts).axes[::2]:
        assert text(axes) == "shift −1.23 (−1.50 to +0.25) effect size −0.46"


def test_moments_are_those_of_the_finite_points_of_each_half() -> None:
    compared, shifts = tables()
    compared.loc[(compared["layer"] == 12) & (compared["point"] == 3), "value"] = np.inf
    (axes,) = panels(draw(compared, shifts, moments=True), "news, train")
    for model, name in (("roberta-base", "base"), ("tuned", "fine-tuned")):
        values = at(compared, dataset="news", layer=12, model=model)["value"]
        values = values[np.isfinite(values)]
        assert len(values) == 39
        expected = f"{name} {np.mean(values):.2f}, {np.median(values):.2f}, {np.std(values, ddof=1):.2f}"
        assert expected in text(axes)
    assert "mean, median, std: base" in text(axes)


def test_halves_share_their_area_or_their_width() -> None:
    compared, shifts = tables()
    narrow = (compared["layer"] == 12) & (compared["model"] == "tuned")
    compared.loc[narrow, "value"] = 9 + 0.2 * (compared.loc[narrow, "value"] - 9)
    (by_area,), (by_width,) = (panels(draw(compared, shifts, density_norm=n), "news, train") for n in ("area", "width"))
    widths = [[np.ptp(half[:, 0]) for half in halves(axes).values()] for axes in (by_area, by_width)]
    assert widths[0][1] > 3 * widths[0][0]
    np.testing.assert_allclose(widths[1][0], widths[1][1], rtol=0.01)


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ((-0.1823, -0.1846, -0.1801), "shift −0.182 (−0.185 to −0.180)"),
        ((-0.00001, -0.0002, 0.0003), "shift +0.0000 (−0.0002 to +0.0003)"),
        ((-12.5, -20.25, 5.0), "shift −12.50 (−20.25 to +5.00)"),
        ((1.0, 1.0, 1.0), "shift +1.00 (+1.00 to +1.00)"),
    ],
)
def test_narrow_intervals_have_more_decimals(numbers: tuple[float, ...], wanted: str) -> None:
    compared, shifts = tables()
    shifts[["shift", "lower", "upper"]] = numbers
    drawn = draw(compared, shifts)
    assert all(text(axes).startswith(f"{wanted} effect size") for axes in drawn.axes[::2])
    assert layout_faults(drawn) == []


def test_the_shift_of_several_seeds_is_the_median_and_their_range() -> None:
    compared, shifts = tables(seeds=[1, 2, 3])
    last = (shifts["step"] == 2800) & (shifts["layer"] == 12) & (shifts["dataset"] == "news")
    shifts.loc[last, "shift"], shifts.loc[last, "effect_size"] = [-1.0, -3.0, -1.5], [-0.1, -0.3, -0.2]
    drawn = draw(compared, shifts, datasets=["news"])
    assert headings(drawn) == ["tuned (checkpoint-2800), 3 seeds against roberta-base (main), layer 12"]
    axes, curve = drawn.axes
    assert text(axes) == "shift −1.50 (−3.00 to −1.00) effect size −0.20"
    of_both = [at(compared, dataset="news", layer=12, group=name)["value"] for name in ("roberta-base", "tuned")]
    assert [len(values) for values in of_both] == [40, 120]
    np.testing.assert_allclose(dashes(axes), np.concatenate([v.quantile([0.25, 0.5, 0.75]) for v in of_both]))
    (line,) = [line for line in curve.get_lines() if len(line.get_xdata()) == 3]
    wanted = at(shifts, dataset="news", layer=12).groupby("step")["shift"]
    np.testing.assert_array_equal(line.get_xydata(), wanted.median().reset_index())
    corners = curve.collections[0].get_paths()[0].vertices
    for step, low, high in zip(wanted.min().index, wanted.min(), wanted.max(), strict=True):
        ends = corners[corners[:, 0] == step, 1]
        assert (ends.min(), ends.max()) == (low, high)


def test_seeds_with_bases_of_their_own_are_held_against_all_of_them() -> None:
    compared, shifts = tables(seeds=[1, 2], steps=[400])
    of_base = compared[compared["model"] == "roberta-base"]
    others = [of_base.assign(model=f"base-seed{seed}", value=of_base["value"] + 100 * seed) for seed in (1, 2)]
    shifts["base_model"] = shifts["seed"].map({1: "base-seed1", 2: "base-seed2"})
    drawn = draw(pd.concat([compared, *others], ignore_index=True), shifts, datasets=["news"])
    assert "against the bases of its 2 seeds, layer 12" in headings(drawn)[0]
    values = at(of_base, dataset="news", layer=12)["value"]
    half = halves(drawn.axes[0])["base"][:, 1]
    np.testing.assert_allclose((half.min(), half.max()), (values.min() + 100, values.max() + 200))


def test_shifts_over_fine_tuning_stand_below_with_their_intervals() -> None:
    compared, shifts = tables()
    drawn = draw(compared, shifts, datasets=["news"], layers=[-2])
    assert headings(drawn)[0].endswith("layer 11")
    _, curve = drawn.axes
    zero, line = curve.get_lines()
    assert list(zero.get_ydata()) == [0, 0]
    wanted = at(shifts, dataset="news", layer=11)
    np.testing.assert_array_equal(line.get_xydata(), wanted[["step", "shift"]])
    corners = curve.collections[0].get_paths()[0].vertices
    for row in wanted.itertuples():
        ends = corners[corners[:, 0] == row.step, 1]
        assert (ends.min(), ends.max()) == (row.lower, row.upper)


@pytest.mark.parametrize("steps", [[2800], [None]], ids=["one step", "no step"])
def test_one_checkpoint_has_no_curve(steps: list) -> None:
    drawn = draw(*tables(steps=steps))
    assert len(drawn.axes) == 3
    assert layout_faults(drawn) == []


def test_an_axis_without_step_0_leaves_it_out() -> None:
    frames = tables(steps=[0, 10, 100])
    longest = [
        max(len(line.get_xdata()) for line in draw(*frames, steps=s).axes[1].get_lines()) for s in ("log", "symlog")
    ]
    assert longest == [2, 3]


def test_layers_and_datasets_are_chosen_and_ordered() -> None:
    drawn = draw(*tables(), layers=[-1, 0], datasets=["news", "dialogues"])
    assert [heading.rsplit(" ", 1)[1] for heading in headings(drawn)] == ["12", "0"]
    assert [axes.get_title("left") for axes in drawn.axes if axes.get_title("left")] == [
        "news, train",
        "dialogues, train",
    ] * 2


def against(shifts: pd.DataFrame, base: str, checkpoint: str, change: float) -> pd.DataFrame:
    """The same comparisons with another base."""
    return shifts.assign(base_model=base, base_checkpoint=checkpoint, shift=shifts["shift"] + change)


def test_a_model_compared_with_several_bases_has_a_block_for_each() -> None:
    compared, shifts = tables(clouds=THREE[:1], seeds=[1, 2])
    of_base = compared[compared["model"] == "roberta-base"]
    others = [
        of_base.assign(checkpoint="early", value=of_base["value"] + 50),
        of_base.assign(model="bert", group="bert"),
    ]
    rows = [shifts, against(shifts, "roberta-base", "early", -50), against(shifts, "bert", "main", 1)]
    drawn = draw(pd.concat([compared, *others], ignore_index=True), pd.concat(rows, ignore_index=True))
    tuned = "tuned (checkpoint-2800), 2 seeds against"
    bases = ["roberta-base (main)", "roberta-base (early)", "bert (main)"]
    assert headings(drawn) == [f"{tuned} {base}, layer 12" for base in bases]
    values = at(of_base, layer=12)["value"]
    for axes, change in zip(drawn.axes[::2], (0, 50, 0), strict=True):
        half = halves(axes)["base"][:, 1]
        np.testing.assert_allclose((half.min(), half.max()), (values.min() + change, values.max() + change))
    shown = at(shifts, layer=12, step=2800)["shift"].median()
    assert [text(axes).split()[1] for axes in drawn.axes[::2]] == [
        f"{shown + change:+.2f}".replace("-", "−") for change in (0, -50, 1)
    ]
    assert layout_faults(drawn) == []


def test_bases_without_room_are_named() -> None:
    compared, shifts = tables(clouds=NINE)
    of_base = compared[compared["model"] == "roberta-base"]
    others = [of_base.assign(model=base, group=base) for base in ("bert", "gpt2")]
    rows = [shifts, *(against(shifts, base, "main", 1) for base in ("bert", "gpt2"))]
    drawn = draw(pd.concat([compared, *others], ignore_index=True), pd.concat(rows, ignore_index=True))
    assert "(1 model not drawn for lack of room, see the option models: tuned against gpt2 (main))" in note(drawn)


def test_checkpoints_are_chosen_and_the_curve_stands_below_the_last() -> None:
    compared, shifts = tables(clouds=THREE[:1], held=(400, 1200, 2800))
    for asked in ([400, "checkpoint-1200"], ["checkpoint-1200", 400]):
        drawn = draw(compared, shifts, checkpoints=asked)
        assert headings(drawn) == [f"tuned (checkpoint-{n}) against roberta-base (main), layer 12" for n in (400, 1200)]
        assert len(drawn.axes) == 3
        for axes, name in zip(drawn.axes, ("checkpoint-400", "checkpoint-1200"), strict=False):
            values = at(compared, model="tuned", checkpoint=name, layer=12)["value"]
            half = halves(axes)["fine-tuned"][:, 1]
            np.testing.assert_allclose((half.min(), half.max()), (values.min(), values.max()))
        assert layout_faults(drawn) == []
    assert len(headings(draw(compared, shifts, checkpoints="all", layers=[11, 12]))) == 6


def test_models_without_the_checkpoint_are_named() -> None:
    one, other = tables(["a"], THREE[:1], steps=[10, 20], held=[10]), tables(["b"], THREE[:1], steps=[20])
    compared = pd.concat([one[0], other[0][other[0]["model"] == "b"]], ignore_index=True)
    drawn = draw(compared, pd.concat([one[1], other[1]], ignore_index=True), checkpoints=[10])
    assert len(headings(drawn)) == 1
    assert note(drawn).startswith(
        "Shift: mean difference over the N tokens that both have, with its 95 % interval; N = 40 "
    )
    assert note(drawn).endswith("(1 model not drawn, without a checkpoint that is asked for: b)")


def test_the_last_checkpoint_is_that_of_the_highest_step_though_another_has_none() -> None:
    # 400 is what models.Model.last_checkpoint is
    frames = tables(clouds=THREE[:1], steps=[400, None], held=[400])
    assert headings(draw(*frames)) == ["tuned (checkpoint-400) against roberta-base (main), layer 12"]


@pytest.mark.slow
def test_models_without_room_are_named() -> None:
    drawn = draw(*tables(["a", "b", "c"], NINE))
    assert [heading[0] for heading in headings(drawn)] == ["a", "b"]
    assert note(drawn).endswith("(1 model not drawn for lack of room, see the option models: c)")
    assert layout_faults(drawn) == []


def test_models_are_chosen_and_ordered() -> None:
    frames = tables(["a", "b", "c"], THREE[:1], [1, 2], [400])
    assert [heading[0] for heading in headings(draw(*frames, models=["c", "a"]))] == ["c", "a"]
    assert headings(draw(*frames, models=["b-seed2"]))[0].startswith("b (checkpoint-400) against")


def test_what_is_not_finite_or_beyond_the_axis_is_counted() -> None:
    compared, shifts = tables(clouds=THREE[:1])
    here = compared.index[compared["layer"] == 12]
    compared.loc[here, "value"] = 8 + np.arange(len(here)) % 40 / 10
    compared.loc[here[[0, 1, 41]], "value"] = [np.nan, np.inf, 99.0]
    axes = draw(compared, shifts, limits=[8, 11.85]).axes[0]
    assert axes.get_ylim() == (8, 11.85)
    # of each model the highest value, and the outlier
    assert text(axes).endswith("(2 undefined estimates not drawn) (3 beyond the axis)")


def test_a_shift_that_is_not_defined_is_said() -> None:
    compared, shifts = tables(steps=[2800], clouds=THREE[:1])
    shifts["effect_size"] = np.nan
    assert "effect size" not in text(draw(compared, shifts).axes[0])
    shifts[["lower", "upper"]] = np.nan
    assert "(" not in text(draw(compared, shifts).axes[0])
    shifts["shift"] = np.nan
    drawn = draw(compared, shifts)
    assert text(drawn.axes[0]) == "no shift is defined"
    drawn.draw_without_rendering()


def test_a_model_without_defined_estimates_leaves_its_half_empty() -> None:
    compared, shifts = tables(clouds=THREE[:1])
    compared.loc[compared["model"] == "tuned", "value"] = np.nan
    axes = draw(compared, shifts).axes[0]
    assert list(halves(axes)) == ["base"] and "(40 undefined estimates not drawn)" in text(axes)
    axes = draw(compared.assign(value=np.nan), shifts).axes[0]
    assert halves(axes) == {} and "(80 undefined estimates not drawn)" in text(axes)


def test_nothing_compared_is_said() -> None:
    compared, shifts = tables()
    of_embeddings = shifts.assign(layer=None, representation="input_embeddings")
    for rows in (shifts[:0], of_embeddings):
        drawn = draw(compared, rows)
        assert "no layer of a model is compared" in drawn.texts[0].get_text()
        assert layout_faults(drawn) == []


def test_tables_that_do_not_match_are_refused() -> None:
    compared, shifts = tables()
    with pytest.raises(
        ValueError, match=r"no estimates of model 'roberta-base', checkpoint 'main', on dataset 'dialogues'"
    ):
        draw(compared[compared["model"] != "roberta-base"], shifts)
    with pytest.raises(ValueError, match=r"no estimates of model 'tuned', checkpoint 'checkpoint-2800'.* layer 12"):
        draw(compared[(compared["model"] != "tuned") | (compared["layer"] != 12)], shifts)
    with pytest.raises(ValueError, match="The shifts table holds more than one row for model 'tuned'"):
        draw(compared, pd.concat([shifts, shifts[:1]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "mle"}, "estimator 'mle' was asked for, but the shifts table holds 'twonn'"),
        ({"models": ["roberta-base"]}, "model 'roberta-base' was asked for, but the shifts table holds 'tuned'"),
        ({"datasets": ["films"]}, "dataset 'films' was asked for, but the shifts table holds 'dialogues'"),
        ({"layers": [-1, 7]}, "layer 7 was asked for, but the shifts table holds 0, 11, 12"),
        (
            {"layers": [0, 11, 12], "checkpoints": "all"},
            "3 datasets × 3 layers × 3 checkpoints are more than the 24 pan",
        ),
        ({"checkpoints": [400, 500]}, "step 500 was asked for, but the shifts table holds 400, 1200, 2800"),
        ({"checkpoints": ["last"]}, "checkpoint 'last' was asked for, but the shifts table holds 'checkpoint-400'"),
        ({"checkpoints": "last"}, "checkpoints = 'last' is not known; it must be all, or a list"),
        ({"steps": "cubic"}, "steps = 'cubic' is not known"),
        ({"density_norm": "count"}, "density_norm = 'count' is not known; it must be one of width, area"),
    ],
)
def test_what_is_not_there_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(*tables(), **options)


@pytest.mark.parametrize(
    ("frames", "options"),
    [
        (tables(["tuned"], THREE[:1], steps=[2800]), {}),
        (tables(["tuned"], THREE[:1]), {"limits": [5, 12]}),
        (tables(["tuned"], THREE[:2], [1, 2, 3]), {"layers": [-2, -1], "steps": "log"}),
        (
            tables(
                ["roberta-dialogues-learning_rate5e-05-rank16"],
                NINE[:4],
                base="an-organization-of-long-names-8b-instruct",
            ),
            {"limits": [0, 10]},
        ),
        (tables(["tuned"], NINE), {"density_norm": "width", "moments": True, "limits": [4, 20]}),
    ],
    ids=["one panel", "one dataset", "layers", "long names", "moments"],
)
def test_layouts_have_no_faults(frames: tuple[pd.DataFrame, pd.DataFrame], options: dict) -> None:
    assert layout_faults(draw(*frames, **options)) == []


def test_the_same_tables_give_the_same_bytes(tmp_path) -> None:
    frames = tables(clouds=THREE[:2])
    for name in ("one", "two"):
        style.save(draw(*frames), [tmp_path / f"{name}.svg"])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_registry_knows_the_figure() -> None:
    assert registry.tables("shifts") == ("compared", "shifts")
    assert set(registry.options("shifts")) == {
        "estimator", "models", "datasets", "layers", "checkpoints", "steps", "limits",
        "density_norm", "moments",
    }  # fmt: skip
    assert registry.description("shifts").startswith("Violins of the local estimates of a base model")
