"""Figures of embedding matrices show dimension, redundancy and perplexity as the tables hold them, and stay readable."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from idsweep.figures import ranks, redundancy, registry
from idsweep.statistics.elbow import elbow
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unit.figures.layout import layout_faults
from unit.figures.rows import PYTHIA, no_reference, note, summary

SIZES = {  # parameters and width
    "pythia-14m": (14_067_712, 128),
    "pythia-31m": (30_494_720, 256),
    "pythia-70m": (70_426_624, 512),
    "pythia-160m": (162_322_944, 768),
    "pythia-410m": (405_334_016, 1024),
    "pythia-1b": (1_011_781_632, 2048),
    "pythia-1.4b": (1_414_647_808, 2048),
    "pythia-2.8b": (2_775_208_960, 2560),
    "pythia-6.9b": (6_857_302_016, 4096),
    "pythia-12b": (11_846_072_320, 5120),
}
STATIC = {
    "word2vec-google-news": (900_000_000, 300),
    "glove-6b": (120_000_000, 300),
    "fasttext-wiki": (300_000_000, 300),
}


def dimension_of(n_parameters: int, width: int) -> float:
    """A made-up intrinsic dimension that grows slower than the width."""
    return 6 + 2.2 * np.log2(n_parameters / 1e7) + width / 300


def row(model: str, scope: str, value: float, n_parameters: int = 70_000_000, width: int = 512, **more) -> dict:
    """A row of the local or the global table, of input embeddings unless told."""
    of_matrix = {"estimator": "mle", "split": None, "representation": "input_embeddings", "layer": None}
    of_matrix |= {"extrinsic_dimension": width, "n_parameters": n_parameters, "redundancy": 1 - value / width}
    numbers = (
        {"n_points": 5000, "n_neighbors": 64, "mean": value}
        if scope == "local"
        else {"n_points": 5000, "n_neighbors": 20, "value": value}
    )
    numbers |= {"standard_error": 0.4, "scale": 1.0, "scale_stable": None}
    return summary(model, "vocabulary") | of_matrix | numbers | more


def draw_redundancy(
    local: pd.DataFrame, global_: pd.DataFrame, reference: pd.DataFrame | None = None, **options
) -> Figure:
    return redundancy.draw(local, global_, no_reference() if reference is None else reference, **options)


def tables(sizes: dict[str, tuple[int, int]] = SIZES, steps=(None,), seeds=(None,), **more):
    """Local and global tables: means that lie above the global values by 3, and both fall over training."""
    made = {"local": [], "global": []}
    for model, (n_parameters, width) in sizes.items():
        for seed in seeds:
            for step in steps:
                value = dimension_of(n_parameters, width) + (seed or 0) / 10
                value += 0 if step is None else 0.1 * width**0.7 * np.exp(-step / 300)
                for scope, above in (("local", 3), ("global", 0)):
                    identity = {"seed": seed, "group": model, "step": step}
                    identity |= {"checkpoint": "final" if step is None else f"step{step}"}
                    name = model if seed is None else f"{model}-seed{seed}"
                    made[scope].append(row(name, scope, value + above, n_parameters, width, **identity | more))
    return pd.DataFrame(made["local"]), pd.DataFrame(made["global"])


RANKS = (1, 2, 4, 8, 16, 32, 64, 128)


def loss_at(rank: float, bend: float = 16) -> float:
    return 3.2 - 0.05 * np.log2(rank) - 0.3 * max(np.log2(rank / bend), 0)


def training_table(
    ranks=RANKS, seeds=(0, 1, 2), lines=("lora",), noise: float = 0.01, metric: str = "validation_loss", bends=(16, 8)
) -> pd.DataFrame:
    """Losses of adapters at two steps, the last of which bends, and of what they start from; and of their base elsewhere."""
    rng = np.random.default_rng(0)
    rows = []
    for line, bend in zip(lines, bends, strict=False):
        for rank in ranks:
            for seed in seeds:
                for step in (0, 1000):
                    value = loss_at(rank, bend) + noise * rng.standard_normal() if step else 5.0
                    group = f"{line}-rank{rank}"
                    rows.append(
                        {
                            "model": f"{group}-seed{seed}", "group": group, "seed": seed, "step": step, "metric": metric,
                            "value": value, "varied": json.dumps({"training.rank": rank}),
                        }
                    )  # fmt: skip
                    rows.append(rows[-1] | {"metric": f"base_{metric}", "value": 2.2 + seed / 10})
    rows.append({"model": "base", "group": "base", "step": 5000, "metric": metric, "value": 1.1, "varied": "{}"})
    return pd.DataFrame(rows)


# ---- redundancy


def lines_of(axes: Axes) -> list[tuple[list, list]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines() if len(line.get_xdata())]


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend_texts(drawn: Figure) -> list[str]:
    return [text.get_text() for legend in drawn.legends for text in legend.get_texts()]


def hidden_marks(drawn: Figure) -> list[str]:
    """Names that lie on a mark, or on the line between another name and its mark."""
    drawn.draw_without_rendering()
    renderer, faults = drawn.canvas.get_renderer(), []
    for axes in drawn.axes:
        points = [axes.transData.transform((x, y)) for xs, ys in lines_of(axes) for x, y in zip(xs, ys, strict=True)]
        for collection in axes.collections:
            for path in collection.get_paths():
                points += list(axes.transData.transform(path.interpolated(20).vertices))
        for text in axes.texts:
            box = text.get_window_extent(renderer).padded(-1)
            faults += [text.get_text() for point in points if box.contains(*point)]
    return faults


def test_the_dimension_and_the_redundancy_stand_against_the_size() -> None:
    local, global_ = tables()
    upper, lower = draw_redundancy(local, global_).axes
    sizes = [n_parameters for n_parameters, _ in SIZES.values()]
    widths = np.array([width for _, width in SIZES.values()])
    values, means = global_["value"].to_numpy(), local["mean"].to_numpy()
    assert lines_of(upper) == [(sizes, list(values)), (sizes, list(means))]
    for (xs, ys), expected in zip(lines_of(lower), (values, means), strict=True):
        assert xs == sizes
        assert ys == pytest.approx(1 - expected / widths)
    assert [line.get_markerfacecolor() == "white" for line in upper.get_lines()] == [False, True]
    assert upper.get_title("left") == "Input embeddings (MLE, L = 64)"
    assert upper.get_xscale() == "log"


def test_bars_are_95_intervals_or_the_range_of_the_seeds() -> None:
    single = {"pythia-70m": SIZES["pythia-70m"]}
    value = dimension_of(*single["pythia-70m"])

    def bar(axes: Axes) -> list[float]:
        return list(axes.collections[0].get_segments()[0][:, 1])

    upper, lower = draw_redundancy(*tables(single)).axes
    assert bar(upper) == pytest.approx([value - 1.96 * 0.4, value + 1.96 * 0.4])
    assert bar(lower) == pytest.approx([1 - (value + 1.96 * 0.4) / 512, 1 - (value - 1.96 * 0.4) / 512])
    upper, _ = draw_redundancy(*tables(single, seeds=(1, 2, 5))).axes
    assert lines_of(upper)[0][1] == pytest.approx([value + 0.2])
    assert bar(upper) == pytest.approx([value + 0.1, value + 0.5])


def test_every_model_is_named_beside_its_points_and_its_width_below() -> None:
    drawn = draw_redundancy(*tables(SIZES | STATIC), static=list(STATIC))
    upper, lower = drawn.axes
    assert sorted(texts_of(upper)) == sorted(SIZES | STATIC)
    assert sorted(texts_of(lower)) == sorted(f"D = {width}" for _, width in (SIZES | STATIC).values())
    assert layout_faults(drawn) == []
    assert hidden_marks(drawn) == []


def test_static_vectors_are_marked_apart() -> None:
    drawn = draw_redundancy(*tables(SIZES | STATIC), static=list(STATIC))
    points = {line.get_marker(): list(line.get_xdata()) for line in drawn.axes[0].get_lines()}
    assert points == {"o": [size for size, _ in SIZES.values()], "D": [size for size, _ in STATIC.values()]}
    assert legend_texts(drawn) == ["language models", "static vectors", "global", "mean local"]
    assert legend_texts(draw_redundancy(*tables())) == ["global", "mean local"]


def test_published_ranges_of_the_redundancy_are_shaded_in_the_lower_panels() -> None:
    row = {"quantity": "redundancy", "lower": 0.9, "upper": 0.98, "source": "a paper"}
    reference = pd.concat([no_reference(), pd.DataFrame([row])])
    for drawn in (
        draw_redundancy(*tables(), reference, against="size"),
        draw_redundancy(*tables(steps=(0, 10)), reference, against="step"),
    ):
        upper, lower = drawn.axes
        assert len(upper.patches) == 0
        (shaded,) = lower.patches
        assert shaded.get_bbox().intervaly.tolist() == pytest.approx([0.9, 0.98])
        assert "Shaded: published, 0.9 – 0.98 (a paper)" in note(drawn)


def test_over_training_each_model_has_a_line_for_each_look() -> None:
    steps = (0, 1, 2, 4, 8, 16, 32, 1000)
    local, global_ = tables(steps=steps)
    drawn = draw_redundancy(local, global_, against="step")
    upper, lower = drawn.axes
    expected = []
    for model, (_, width) in SIZES.items():
        for table, column, dash in ((global_, "value", "-"), (local, "mean", "--")):
            expected.append((model, dash, table.loc[table["model"] == model, column].to_numpy(), width))
    by_look = sorted(expected, key=lambda line: line[1])
    for axes, share in ((upper, False), (lower, True)):
        lines = sorted(axes.get_lines(), key=lambda line: line.get_linestyle())
        for line, (_, dash, values, width) in zip(lines, sorted(by_look, key=lambda one: one[1]), strict=True):
            assert (list(line.get_xdata()), line.get_linestyle()) == (list(steps), dash)
            assert line.get_ydata() == pytest.approx(1 - values / width if share else values)
    colours = {line.get_color() for line in upper.get_lines()}
    assert len(colours) == len(SIZES)
    assert legend_texts(drawn)[2] == "pythia-70m (D = 512)"
    assert note(drawn) == "Training step N = 5,000 points"


def test_the_legend_of_one_narrow_column_stays_on_the_paper() -> None:
    local, global_ = tables({"tiny_neox": (10**6, 128)}, steps=(0, 8, 512))
    drawn = draw_redundancy(local.assign(standard_error=np.nan), global_, against="step")
    assert "band: 95 % interval, where it is known" in legend_texts(drawn)
    assert layout_faults(drawn) == []


def test_lines_over_seeds_are_medians_with_the_range_as_band() -> None:
    frames = tables({"pythia-70m": SIZES["pythia-70m"]}, steps=(0, 10, 100), seeds=(1, 2, 5))
    drawn = draw_redundancy(*frames, against="step")
    (_, values), *_ = lines_of(drawn.axes[0])
    band = drawn.axes[0].collections[0].get_paths()[0].vertices
    at = band[band[:, 0] == 100][:, 1]
    assert (at.min(), at.max()) == pytest.approx((values[2] - 0.1, values[2] + 0.3))
    assert legend_texts(drawn)[0] == "pythia-70m (D = 512), 3\N{NO-BREAK SPACE}seeds"
    without = draw_redundancy(*tables(steps=(0, 10)), band=False, against="step")
    assert not [c for axes in without.axes for c in axes.collections]


def test_lines_of_models_have_a_colour_each_whatever_is_known_of_their_sizes() -> None:
    local, global_ = tables({f"run{place}": (10**6, 64) for place in range(14)}, steps=(0, 10))
    for sizes in (local["n_parameters"], None):
        frames = local.assign(n_parameters=sizes), global_.assign(n_parameters=sizes)
        drawn = draw_redundancy(*frames, against="step")
        assert len({line.get_color() for line in drawn.axes[0].get_lines()}) == 14


def test_the_legend_tells_every_width_that_is_drawn() -> None:
    wide = tables({"gpt2": (124_439_808, 768)}, steps=(0, 10))
    wider = tables({"gpt2": (124_439_808, 1536)}, steps=(0, 10), representation="ends", dataset="news")
    local, global_ = (pd.concat(pair, ignore_index=True) for pair in zip(wide, wider, strict=True))
    drawn = draw_redundancy(local, global_, representations=["input_embeddings", "ends"], against="step")
    assert legend_texts(drawn)[0] == "gpt2 (D = 768, 1536)"


def test_against_size_takes_the_last_checkpoint_and_against_step_those_with_several() -> None:
    over_steps, alone = tables({"pythia-70m": SIZES["pythia-70m"]}, steps=(0, 1000)), tables(STATIC)
    local, global_ = (pd.concat(pair, ignore_index=True) for pair in zip(over_steps, alone, strict=True))
    drawn = draw_redundancy(local, global_, against="step")
    assert len(drawn.axes[0].get_lines()) == 2
    assert note(drawn).startswith(
        "Training step N = 5,000 points (3 models not drawn, without several known steps: word2vec-google-news"
    )
    sizes = draw_redundancy(local, global_, against="size")
    assert sorted(texts_of(sizes.axes[0])) == sorted(["pythia-70m", *STATIC])
    last = global_[(global_["model"] == "pythia-70m") & (global_["step"] == 1000)]["value"].item()
    assert last in lines_of(sizes.axes[0])[0][1]
    assert "No redundancy against the step to draw" in draw_redundancy(*alone, against="step").texts[0].get_text()
    with pytest.raises(ValueError, match="against = 'layer' is not known; it must be size or step"):
        draw_redundancy(local, global_, against="layer")


def mixed_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """One checkpoint of an encoder, static vectors, and models of three widths over training."""
    over_steps = {f"tiny-width{width}": (300_000 * width, width) for width in (32, 64, 128)}
    both = ("input_embeddings", "output_embeddings")
    parts = [tables(over_steps, (0, 1, 10, 100, 300, 1000), representation=name) for name in both]
    parts += [tables({"minilm": (22_713_216, 384)} | STATIC)]
    return tuple(pd.concat(pair, ignore_index=True) for pair in zip(*parts, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("representations", [["input_embeddings"], ["input_embeddings", "output_embeddings"]])
def test_models_of_one_checkpoint_and_of_several_are_all_drawn(representations: list[str]) -> None:
    local, global_ = mixed_tables()
    drawn = draw_redundancy(local, global_, representations=representations, static=list(STATIC))
    of_sizes, of_steps = drawn.subfigs
    names = [text.get_text() for text in of_sizes.axes[0].texts]
    assert sorted(names) == sorted(["minilm", *STATIC, *(f"tiny-width{width}" for width in (32, 64, 128))])
    last = global_[global_["step"].isna() | (global_["step"] == 1000)].query("representation == 'input_embeddings'")
    points = {x: y for line in lines_of(of_sizes.axes[0])[:2] for x, y in zip(*line, strict=True)}
    assert points == pytest.approx(dict(zip(last["n_parameters"], last["value"], strict=True)))
    assert [len(xs) for xs, _ in lines_of(of_steps.axes[0])] == [6] * 6
    assert (of_sizes.get_supxlabel(), of_steps.get_supxlabel()) == (
        "Parameters\nN = 5,000 points",
        "Training step\nN = 5,000 points",
    )
    titles = [" ".join(axes.get_title("left").split()) for axes in of_steps.axes[::2]]
    assert titles == [f"{name.replace('_', ' ').capitalize()} (MLE, L = 64)" for name in representations]
    assert layout_faults(drawn) == [] and hidden_marks(drawn) == []
    alone = draw_redundancy(local, global_, representations=representations, against="size")
    assert alone.subfigs == [] and len(alone.axes) == 2 * len(representations)


def test_what_has_no_size_stands_over_training_alone() -> None:
    local, global_ = (table.assign(n_parameters=None) for table in tables(steps=(0, 10)))
    drawn = draw_redundancy(local, global_)
    assert note(drawn) == "Training step N = 5,000 points" and len(drawn.axes) == 2


def test_a_logarithmic_axis_of_steps_has_no_place_for_step_0() -> None:
    for steps, first in (("log", 1), ("symlog", 0)):
        drawn = draw_redundancy(*tables(steps=(0, 1, 10)), steps=steps, against="step")
        assert lines_of(drawn.axes[0])[0][0][0] == first


def test_values_that_are_missing_leave_a_gap_and_are_told() -> None:
    local, global_ = tables()
    global_.loc[2, "value"] = np.nan
    global_.loc[2, "n_undefined"] = 1
    local.loc[2, ["mean", "standard_error"]] = np.nan
    local.loc[5, "standard_error"] = np.nan
    for table in (local, global_):
        table.loc[[8, 9], "n_parameters"] = None
    drawn = draw_redundancy(local, global_)
    assert sorted(texts_of(drawn.axes[0])) == sorted(set(SIZES) - {"pythia-70m", "pythia-6.9b", "pythia-12b"})
    assert "(1 undefined estimate left out)" in note(drawn)
    assert "(2 models not drawn, without a known size: pythia-6.9b, pythia-12b)" in note(drawn)
    assert layout_faults(drawn) == []


def test_one_scope_alone_is_enough() -> None:
    local, global_ = tables()
    drawn = draw_redundancy(local, global_[:0])
    assert legend_texts(drawn) == ["mean local"]
    assert lines_of(drawn.axes[0]) == [([size for size, _ in SIZES.values()], list(local["mean"]))]
    assert legend_texts(draw_redundancy(local[:0], global_)) == ["global"]


def test_the_data_of_the_first_cloud_are_drawn() -> None:
    local, global_ = tables()
    other = {"cloud": "number1000"}
    local = pd.concat([local, local.assign(**other), local.assign(variant="gaussian")], ignore_index=True)
    global_ = pd.concat([global_, global_.assign(**other), global_.assign(variant="n1=2")], ignore_index=True)
    drawn = draw_redundancy(local, global_)
    assert [len(xs) for xs, _ in lines_of(drawn.axes[0])] == [len(SIZES)] * 2


def test_estimators_and_representations_have_a_column_each() -> None:
    parts = [
        tables(STATIC, estimator=estimator, representation=representation, dataset=dataset)
        for estimator in ("mle", "twonn")
        for representation, dataset in (("output_embeddings", "vocabulary"), ("layer_3", "news"))
    ]
    local, global_ = (pd.concat(tables_, ignore_index=True) for tables_ in zip(*parts, strict=True))
    drawn = draw_redundancy(local, global_, representations=["output_embeddings", "layer_3"])
    titles = [" ".join(axes.get_title("left").split()) for axes in drawn.axes[::2]]
    assert titles == [
        "Output embeddings (MLE, L = 64)",
        "Output embeddings (TwoNN, L = 64)",
        "Layer 3, news (MLE, L = 64)",
        "Layer 3, news (TwoNN, L = 64)",
    ]
    assert layout_faults(drawn) == []
    chosen = draw_redundancy(local, global_, representations=["layer_3"], estimators=["twonn"], models=["glove-6b"])
    assert [len(xs) for xs, _ in lines_of(chosen.axes[0])] == [1, 1]


def test_what_was_not_measured_is_told() -> None:
    local, global_ = tables()
    drawn = draw_redundancy(local, global_, representations=["output_embeddings"])
    assert "output_embeddings were not measured. Add them to the layers" in drawn.texts[0].get_text()
    with pytest.raises(ValueError, match=r"representation 'layer_7' was asked for, but .* holds 'input_embeddings'"):
        draw_redundancy(local, global_, representations=["input_embeddings", "layer_7"])
    with pytest.raises(ValueError, match=r"estimator 'twonn' was asked for, but .* holds 'mle'"):
        draw_redundancy(local, global_, estimators=["twonn"])
    with pytest.raises(ValueError, match=r"model 'gpt2' was asked for, but .* holds 'pythia-14m'"):
        draw_redundancy(local, global_, models=["gpt2"])
    with pytest.raises(ValueError, match="lacks the columns"):
        draw_redundancy(local.drop(columns="cloud"), global_)
    with pytest.raises(ValueError, match="more than one row for model 'pythia-14m'"):
        draw_redundancy(pd.concat([local, local]), global_)


def test_more_columns_than_can_be_read_are_refused() -> None:
    parts = [tables({"gpt2": (124_439_808, 768)}, representation=f"layer_{layer}") for layer in range(13)]
    local, global_ = (pd.concat(tables_, ignore_index=True) for tables_ in zip(*parts, strict=True))
    with pytest.raises(ValueError, match="13 estimators, representations and datasets are more than the 12 columns"):
        draw_redundancy(local, global_, representations=[f"layer_{layer}" for layer in range(13)])


@pytest.mark.slow
def test_many_models_are_readable_and_those_beyond_30_are_named() -> None:
    generator = np.random.default_rng(0)
    many = {f"{name}-{kind}": size for name, size in SIZES.items() for kind in ("pile", "deduped", "cased")}
    local, global_ = tables(many | STATIC)
    shift = 3 * generator.standard_normal(len(local))
    drawn = draw_redundancy(local.assign(mean=local["mean"] + shift), global_.assign(value=global_["value"] + shift))
    assert sorted(texts_of(drawn.axes[0])) == sorted(many)
    assert "(3 models not drawn for lack of room, see the option models: word2vec-google-news" in note(drawn)
    assert layout_faults(drawn) == []
    assert hidden_marks(drawn) == []
    assert drawn.get_figheight() < 11


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(None,), PYTHIA[::10]], ids=["sizes", "steps"])
@pytest.mark.parametrize(("count", "scale"), [(1, "linear"), (3, "log"), (10, "linear")])
def test_redundancy_is_readable(count: int, scale: str, steps: tuple) -> None:
    drawn = draw_redundancy(*tables(dict(list(SIZES.items())[:count]), steps), scale=scale)
    assert layout_faults(drawn) == []
    drawn.set_dpi(200)  # as it is saved
    assert layout_faults(drawn) == []


# ---- ranks

BASE = {"base": (124_439_808, 768)}
ID = dimension_of(*BASE["base"])


def draw_ranks(training: pd.DataFrame | None = None, estimates=None, **options) -> Figure:
    return ranks.draw(training_table() if training is None else training, *(estimates or tables(BASE)), **options)


def upright(axes: Axes) -> dict[str, float]:
    """Where vertical lines stand, by their dashes."""
    return {line.get_linestyle(): line.get_xdata()[0] for line in axes.get_lines() if len(set(line.get_xdata())) == 1}


def test_perplexities_are_medians_over_the_seeds_at_the_last_step() -> None:
    training = training_table()
    axes = draw_ranks(training).axes[0]
    last = training[(training["step"] == 1000)].assign(perplexity=lambda rows: np.exp(rows["value"]))
    at = last[last["metric"] == "validation_loss"].groupby("group")["perplexity"]
    groups = [f"lora-rank{rank}" for rank in RANKS]
    xs, ys = lines_of(axes)[0]
    assert xs == list(RANKS)
    assert ys == pytest.approx(at.median()[groups])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 8][:, 1].min() == pytest.approx(at.min()["lora-rank8"])
    assert band[band[:, 0] == 8][:, 1].max() == pytest.approx(at.max()["lora-rank8"])
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "Perplexity\n(exp of validation loss)"
    assert not draw_ranks(training, band=False).axes[0].collections


def test_models_that_differ_in_more_than_the_rank_have_lines_of_their_own() -> None:
    training = training_table(lines=("lora-lr0.1", "lora-lr0.2"))
    training["group"] = training["group"].str.replace(r"(lora)(-lr0\.\d)(-rank\d+)", r"\1\3\2", regex=True)
    drawn = draw_ranks(training)
    assert training["group"].iloc[0] == "lora-rank1-lr0.1"
    labels = legend_texts(drawn)
    assert [label for label in labels if "seeds" in label] == [
        f"lora-lr0.{n}, 3\N{NO-BREAK SPACE}seeds" for n in (1, 2)
    ]
    assert [len(xs) for xs, _ in lines_of(drawn.axes[0]) if len(xs) > 2] == [len(RANKS)] * 2
    for name, bend in (("lora-lr0.1", 16), ("lora-lr0.2", 8)):
        (label,) = [label for label in labels if label.startswith(f"bend of {name}: ")]
        assert float(label.split()[3]) == pytest.approx(bend, rel=0.1)


def test_the_dimensions_of_the_base_stand_with_their_intervals() -> None:
    drawn = draw_ranks()
    axes = drawn.axes[0]
    where = upright(axes)
    assert (where["-"], where["--"]) == pytest.approx((ID, ID + 3))
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    assert spans[0] == pytest.approx((ID - 1.96 * 0.4, ID + 1.96 * 0.4))
    assert f"global ID of base (MLE, L = 20): {ID:.3g} ({ID - 0.784:.3g} – {ID + 0.784:.3g})" in legend_texts(drawn)
    local, global_ = tables(BASE)
    alone = ranks.draw(training_table(), local[:0], global_.assign(standard_error=np.nan))
    assert "--" not in upright(alone.axes[0]) and not alone.axes[0].patches
    assert f"global ID of base (MLE, L = 20): {ID:.3g}" in legend_texts(alone)


def test_the_bend_stands_where_the_elbow_is() -> None:
    training = training_table()
    last = training[training["metric"].eq("validation_loss") & (training["step"] == 1000)]
    bend = elbow([json.loads(varied)["training.rank"] for varied in last["varied"]], last["value"])
    drawn = draw_ranks(training)
    assert upright(drawn.axes[0])["-."] == pytest.approx(bend.x)
    assert bend.x == pytest.approx(16, rel=0.1)
    assert f"bend: {bend.x:.3g} ({bend.lower:.3g} – {bend.upper:.3g})" in legend_texts(drawn)
    straight = draw_ranks(training_table(noise=0, bends=(1000,)))
    assert "-." not in upright(straight.axes[0])
    assert not [label for label in legend_texts(straight) if label.startswith("bend")]


def test_the_perplexity_of_the_base_on_the_same_texts_is_dotted() -> None:
    drawn = draw_ranks()
    assert "perplexity of base: 9.97" in legend_texts(drawn)
    (level,) = [line for line in drawn.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert level.get_ydata()[0] == pytest.approx(np.exp(2.3))
    training = training_table()
    without = draw_ranks(training[training["metric"] == "validation_loss"])
    assert not [label for label in legend_texts(without) if label.startswith("perplexity")]


def test_the_base_is_the_only_model_without_a_rank_or_the_one_chosen() -> None:
    measured = {"gpt2": (124_439_808, 768), "gpt2-xl": (1_557_611_200, 1600), "lora-rank4-seed0": (124_439_808, 768)}
    several = tables(measured)
    with pytest.raises(
        ValueError, match=r"base: .* there are 'gpt2', 'gpt2-xl'. Measure one, or choose one with the option"
    ):
        draw_ranks(estimates=several)
    chosen = draw_ranks(estimates=several, base="gpt2-xl")
    assert upright(chosen.axes[0])["-"] == pytest.approx(dimension_of(*measured["gpt2-xl"]))
    only_ranked = tables({"lora-rank4-seed0": measured["gpt2"]})
    with pytest.raises(ValueError, match="with the global estimate 'mle', there is none without a rank"):
        draw_ranks(estimates=only_ranked)
    with pytest.raises(ValueError, match=r"model 'gpt3' was asked for, but .* holds 'gpt2'"):
        draw_ranks(estimates=several, base="gpt3")


def test_the_base_is_measured_at_its_last_checkpoint() -> None:
    estimates = tables(BASE, steps=(0, 5000))
    assert upright(draw_ranks(estimates=estimates).axes[0])["-"] == pytest.approx(ID, rel=1e-4)


def test_an_estimate_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match=r"estimate 'twonn' was asked for, but the global table .* holds 'mle'"):
        draw_ranks(estimate="twonn")
    layers = tables(BASE, representation="layer_0")
    with pytest.raises(ValueError, match=r"representation 'input_embeddings' was asked for, but .* holds 'layer_0'"):
        draw_ranks(estimates=layers)


def test_an_undefined_dimension_is_not_drawn_but_counted() -> None:
    local, global_ = tables(BASE)
    drawn = draw_ranks(estimates=(local, global_.assign(value=np.nan, standard_error=np.nan)))
    assert "-" not in upright(drawn.axes[0])
    assert "(1 undefined estimate of the ID not drawn)" in note(drawn)


def test_other_metrics_than_the_validation_loss_can_be_asked_for() -> None:
    drawn = draw_ranks(training_table(metric="test_loss"), metric="test_loss")
    assert drawn.axes[0].get_ylabel() == "Perplexity\n(exp of test loss)"
    with pytest.raises(
        ValueError, match=r"metric 'validation_loss' was asked for, but .*'lora-rank1-seed0' holds 'test_"
    ):
        draw_ranks(training_table(metric="test_loss"))


def test_without_ranks_there_is_nothing_to_draw() -> None:
    training = training_table()
    for varied in ("{}", None, '{"training.lr": 0.1}'):
        drawn = draw_ranks(training.assign(varied=varied))
        assert "No ranks to draw: no model of the training table varies training.rank" in drawn.texts[0].get_text()
    with pytest.raises(ValueError, match="lacks the column 'varied'; it has"):
        draw_ranks(training.drop(columns="varied"))
    with pytest.raises(
        ValueError, match=r"training.rank of model 'lora-rank1-seed0' is 'full'; expected a positive num"
    ):
        draw_ranks(training.assign(varied='{"training.rank": "full"}'))
    with pytest.raises(ValueError, match=r"more than one row for model 'lora-rank1-seed0', step .*0.*, metric"):
        draw_ranks(pd.concat([training, training], ignore_index=True))


def test_runs_without_a_loss_and_of_other_lengths_are_told() -> None:
    training = training_table()
    training = training[training["metric"] == "validation_loss"].reset_index(drop=True)
    training.loc[1, "value"] = np.nan
    training.loc[training["model"] == "lora-rank2-seed1", "step"] //= 2
    drawn = draw_ranks(training)
    told = "(1 run without a finite validation_loss, not drawn) (last steps differ: 500 – 1,000)"
    assert note(drawn) == f"LoRA rank ID: N = 5,000 points {told}"
    kept = np.exp(training["value"][[3, 5]])
    assert lines_of(drawn.axes[0])[0][1][0] == pytest.approx(kept.median())
    assert layout_faults(drawn) == []
    none = draw_ranks(training.assign(value=np.inf))
    assert "no model with a rank has a finite validation_loss" in none.texts[0].get_text()


@pytest.mark.parametrize(
    "training",
    [
        training_table(ranks=(4,), seeds=(0,)),
        training_table(ranks=(1, 3, 5), seeds=(0,)),
        training_table(ranks=(512, 600, 700)),
        training_table(ranks=tuple(2**power for power in range(13))),
        training_table(lines=[f"pythia-{size}-embeddings" for size in range(12)], bends=[16] * 12),
    ],
    ids=["one rank", "three ranks", "narrow", "many ranks", "many lines"],
)
def test_ranks_are_readable(training: pd.DataFrame) -> None:
    for scale in ("log", "linear"):
        drawn = draw_ranks(training, scale=scale)
        assert layout_faults(drawn) == []


def test_lines_beyond_ten_are_named() -> None:
    training = training_table(lines=[f"line{place}" for place in range(12)], bends=[16] * 12)
    assert "(2 models not drawn, beyond 10 lines: line10, line11)" in note(draw_ranks(training))


def test_the_registry_finds_both_figures() -> None:
    assert registry.tables("redundancy") == ("local", "global", "reference")
    assert registry.tables("ranks") == ("training", "local", "global")
    assert registry.options("redundancy")["representations"] == ("input_embeddings",)
    assert registry.options("ranks") == {
        "metric": "validation_loss", "estimate": "mle", "base": None, "scale": "log", "band": True,
    }  # fmt: skip
