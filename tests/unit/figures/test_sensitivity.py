"""The figure of what the local estimate depends on."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pandas as pd
import pytest
from idsweep.figures import sensitivity
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from unit.figures.layout import layout_faults
from unit.figures.rows import no_reference, note, summary

NOISE = {0.0: None, 0.01: 0.3, 0.1: 3.0, 1.0: 30.0}
TOKENS = ("all", "special", "word_start", "continuation", "count>=10")
TITLE = "gpt2 (final), news, layer 12"


def table(
    numbers: tuple[int, ...] = (2000,),
    neighbors: tuple[int, ...] = (128,),
    sequences: tuple[int | None, ...] = (None,),
    noise: tuple[float, ...] = (0.0,),
    tokens: tuple[str, ...] = ("all",),
    seeds: tuple[int, ...] = (1, 2, 3),
    noise_seeds: tuple[int, ...] = (7,),
    models: tuple[str, ...] = ("gpt2",),
    datasets: tuple[str, ...] = ("news",),
    layers: tuple[int, ...] = (12,),
) -> pd.DataFrame:
    """Means that differ everywhere but between clean clouds of one seed, in which no noise is drawn."""
    settings = product(models, datasets, layers, numbers, neighbors, sequences, noise, tokens, seeds, noise_seeds)
    rows = []
    for model, dataset, layer, number, size, of, deviation, which, seed, noise_seed in settings:
        rng = np.random.default_rng(
            [len(model), len(dataset), layer, number, size, of or 0, int(1000 * deviation), seed]
        )
        mean = 5 + len(which) / 3 + rng.gamma(4) + deviation * noise_seed
        rows.append(
            summary(model, dataset, layer, estimator="twonn" if size == 128 else f"twonn-n_neighbors{size}")
            | {
                "cloud": f"N{number}-M{of}-noise{deviation}-{which}-{seed}-{noise_seed}",
                "cloud_number": number,
                "cloud_sequences": of,
                "cloud_seed": seed,
                "cloud_noise": deviation,
                "cloud_noise_seed": noise_seed,
                "cloud_tokens": which,
                "hausdorff": NOISE[deviation],
                "n_points": number,
                "n_neighbors": size,
                "mean": mean,
                "standard_error": 0.1,
                "q05": mean - 4,
                "q25": mean - 2,
                "median": mean - 0.2,
                "q75": mean + 2,
                "q95": mean + 5,
            }
        )
    return pd.DataFrame(rows)


def draw(
    local: pd.DataFrame, global_: pd.DataFrame | None = None, reference: pd.DataFrame | None = None, **options
) -> Figure:
    global_ = local[:0] if global_ is None else global_
    return sensitivity.draw(local, global_, no_reference() if reference is None else reference, **options)


def panel(drawn: Figure, label: str) -> Axes:
    """The first panel whose axis is labelled so, but for what the other settings are held at."""
    return next(
        axes for axes in drawn.axes if " ".join(axes.get_xlabel().split(" (")[0].split("\n(")[0].split()) == label
    )


def lines(axes: Axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 1 and line.get_linestyle() == "-"]


def bars(axes: Axes) -> list[np.ndarray]:
    """Lower and upper end of each error bar."""
    return [
        segment[:, 1] for art in axes.collections if isinstance(art, LineCollection) for segment in art.get_segments()
    ]


def held(axes: Axes) -> str:
    """What stands below the name of an axis."""
    return " ".join(axes.get_xlabel().split()).partition(" (")[2].rstrip(")")


def test_a_point_is_the_mean_over_seeds_with_their_standard_deviation() -> None:
    local = table(numbers=(500, 2000, 60_000), seeds=(1, 2, 3, 4))
    drawn = draw(local)
    (axes,) = drawn.axes
    over = local.groupby("cloud_number")["mean"]
    (line,) = lines(axes)
    np.testing.assert_allclose(line, over.mean().reset_index())
    wanted = np.column_stack([over.mean() - over.std(), over.mean() + over.std()])
    np.testing.assert_allclose(bars(axes), wanted)
    assert axes.get_xscale() == "log" and [text.get_text() for text in axes.get_xticklabels()] == ["500", "2k", "60k"]
    assert (axes.get_xlabel(), " ".join(axes.get_title("left").split())) == ("Points N", TITLE)
    assert "Mean and standard deviation over 4 draws" in note(drawn)
    assert drawn.get_supylabel().endswith("(TwoNN, L = 128)")


def test_a_single_seed_has_no_bars() -> None:
    drawn = draw(table(numbers=(500, 2000), seeds=(1,)))
    assert len(lines(drawn.axes[0])) == 1 and bars(drawn.axes[0]) == []
    assert "draws" not in note(drawn)


def test_sizes_of_neighbourhoods_are_labels_of_one_estimator() -> None:
    local = table(neighbors=(16, 128, 1024))
    other = local[local["n_neighbors"] == 16].assign(estimator="twonnish-n_neighbors16", n_neighbors=32, mean=0.0)
    mle = local.assign(estimator="mle", mean=0.0)
    drawn = draw(pd.concat([mle, local, other], ignore_index=True))
    (line,) = lines(panel(drawn, "Neighbours L"))
    np.testing.assert_allclose(line, local.groupby("n_neighbors")["mean"].mean().reset_index())
    assert drawn.get_supylabel().endswith("(TwoNN)")
    with pytest.raises(ValueError, match="estimator 'gride' was asked for, but the local table holds 'twonn-n_neigh"):
        draw(local, estimator="gride")


def test_few_combinations_of_other_settings_are_lines_with_a_legend() -> None:
    local = table(numbers=(500, 2000, 60_000), neighbors=(16, 64))
    drawn = draw(local)
    axes = panel(drawn, "Points N")
    wanted = local.groupby(["n_neighbors", "cloud_number"])["mean"].mean()
    for line, size in zip(lines(axes), (16, 64), strict=True):
        np.testing.assert_allclose(line[:, 1], wanted[size])
    legend = axes.get_legend()
    assert [" ".join(text.get_text().split()) for text in legend.get_texts()] == ["L = 16", "L = 64"]
    others = panel(drawn, "Neighbours L").get_legend().get_texts()
    assert [" ".join(text.get_text().split()) for text in others] == ["N = 500", "N = 2k", "N = 60k"]
    assert layout_faults(drawn) == []


def test_of_many_combinations_the_first_is_drawn_and_named() -> None:
    local = table(numbers=(500, 2000), neighbors=(16, 64), noise=(0.0, 0.1), tokens=("all", "special"))
    drawn = draw(local)
    axes = panel(drawn, "Points N")
    assert held(axes) == "L = 16, σ = 0, tokens = all"
    chosen = local.query("n_neighbors == 16 and cloud_noise == 0 and cloud_tokens == 'all'")
    (line,) = lines(axes)
    np.testing.assert_allclose(line[:, 1], chosen.groupby("cloud_number")["mean"].mean())
    assert axes.get_legend() is None


def test_settings_varied_one_at_a_time_each_have_their_line() -> None:
    one, other = table(numbers=(500, 2000, 60_000)), table(numbers=(2000,), noise=(0.0, 0.01, 0.1))
    other["cloud"] = "noisy " + other["cloud"]  # the clean ones are there under two names
    local = pd.concat([one, other], ignore_index=True)
    drawn = draw(local)
    assert held(panel(drawn, "Points N")) == "σ = 0"
    axes = panel(drawn, "Noise, standard deviation σ")
    assert held(axes) == "N = 2k"
    (line,) = lines(axes)
    wanted = local[local["cloud_number"] == 2000].groupby("cloud_noise")["mean"].mean()
    np.testing.assert_allclose(line, wanted.reset_index())


def test_noise_is_drawn_against_its_deviation_and_against_the_distance() -> None:
    local = table(noise=(0.0, 0.01, 0.1, 1.0), noise_seeds=(7, 8))
    drawn = draw(local)
    by_deviation, by_distance = (
        panel(drawn, "Noise, standard deviation σ"),
        panel(drawn, "Hausdorff distance to the clean cloud"),
    )
    wanted = local.groupby("cloud_noise")["mean"].mean()
    np.testing.assert_allclose(lines(by_deviation)[0], wanted.reset_index())
    np.testing.assert_allclose(lines(by_distance)[0][:, 0], [0, 0.3, 3, 30])
    np.testing.assert_allclose(lines(by_distance)[0][:, 1], wanted)
    assert {by_deviation.get_xscale(), by_distance.get_xscale()} == {"symlog"}
    without = draw(local.assign(hausdorff=None))
    assert [axes.get_xlabel() for axes in without.axes] == ["Noise, standard deviation σ"]


def test_a_clean_cloud_counts_once_whatever_the_seed_of_the_noise() -> None:
    local = table(noise=(0.0, 0.1), seeds=(1, 2), noise_seeds=(7, 8, 9))
    drawn = draw(local)
    clean = local[(local["cloud_noise"] == 0) & (local["cloud_noise_seed"] == 7)]["mean"]
    low, high = bars(panel(drawn, "Noise, standard deviation σ"))[0]
    assert (high - low) / 2 == pytest.approx(clean.std())
    assert "over up to 6 draws" in note(drawn)


def test_all_sequences_stand_beyond_the_largest_number() -> None:
    local = table(sequences=(100, 1000, None))
    axes = draw(local).axes[0]
    (line,) = lines(axes)
    assert line[:, 0].tolist() == [100, 1000, 2000]
    assert line[-1, 1] == pytest.approx(local[local["cloud_sequences"].isna()]["mean"].mean())
    assert [text.get_text() for text in axes.get_xticklabels()] == ["100", "1k", "all"]


def test_kinds_of_tokens_are_boxes_of_the_quantiles() -> None:
    local = table(tokens=TOKENS)
    drawn = draw(local)
    (axes,) = drawn.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == list(TOKENS)
    over = local.groupby("cloud_tokens", sort=False)[["q05", "q25", "median", "q75", "q95", "mean"]].mean()
    for box, kind in zip(axes.patches, TOKENS, strict=True):
        heights = box.get_path().vertices[:, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], over.loc[kind, ["q25", "q75"]])
    medians = [line.get_ydata() for line in axes.get_lines() if line.get_color() == "black"]
    np.testing.assert_allclose(np.array(medians)[:, 0], over["median"])
    (marks,) = [line for line in axes.get_lines() if line.get_marker() == "D"]
    np.testing.assert_allclose(marks.get_ydata(), over["mean"])
    assert "Boxes: quartiles of the points" in note(drawn)


def test_undefined_means_are_left_out_and_counted() -> None:
    local = table(numbers=(500, 2000))
    first = local.index[local["cloud_number"] == 500]
    local.loc[first[0], ["mean", "n_undefined"]] = [np.nan, 500]
    drawn = draw(local)
    assert lines(drawn.axes[0])[0][0, 1] == pytest.approx(local.loc[first[1:], "mean"].mean())
    assert "(500 undefined estimates left out of the means)" in note(drawn)
    local.loc[first, "mean"] = np.nan
    assert np.isnan(lines(draw(local).axes[0])[0][0, 1])


def test_models_datasets_and_layers_are_rows_of_panels() -> None:
    local = table(
        numbers=(500, 2000), noise=(0.0, 0.1), models=("gpt2", "bert"), datasets=("news", "films"), layers=(6, 12)
    )
    titles = [" ".join(axes.get_title("left").split()) for axes in draw(local).axes if axes.get_title("left")]
    assert titles == [f"{model} (final), {of}, layer 12" for model in ("gpt2", "bert") for of in ("news", "films")]
    chosen = draw(local, models=["bert"], datasets=["films"], layers=[6, -1])
    titles = [" ".join(axes.get_title("left").split()) for axes in chosen.axes if axes.get_title("left")]
    assert titles == ["bert (final), films, layer 6", "bert (final), films, layer 12"]
    with pytest.raises(ValueError, match="layer 7 was asked for, but the table holds 6, 12"):
        draw(local, layers=[7])
    with pytest.raises(ValueError, match="model 'gpt3' was asked for, but the local table holds 'gpt2', 'bert'"):
        draw(local, models=["gpt3"])


def test_models_without_room_are_named() -> None:
    drawn = draw(table(numbers=(500, 2000), models=tuple(f"model-{letter}" for letter in "abcdefghijklmn"), seeds=(1,)))
    assert "(2 models not drawn for lack of room, see the option models: model-m, model-n)" in note(drawn)
    assert layout_faults(drawn) == []


def test_one_value_of_each_setting_is_told() -> None:
    (text,) = draw(table()).texts
    assert "No sensitivity to draw" in text.get_text() and "number: [500, 2000]" in text.get_text()


def test_estimates_of_the_same_settings_are_logged(caplog) -> None:
    local = table(numbers=(500, 2000))
    trimmed = local.assign(estimator="twonn-discard0.2", mean=0.0)
    with caplog.at_level(logging.INFO):
        drawn = draw(pd.concat([local, trimmed], ignore_index=True))
    np.testing.assert_allclose(lines(drawn.axes[0])[0][:, 1], local.groupby("cloud_number")["mean"].mean())
    assert "Of the same settings as what is drawn, not drawn: twonn-discard0.2" in caplog.text


def test_clouds_that_differ_in_what_is_no_column_are_logged(caplog) -> None:
    local = table(numbers=(500, 2000))
    unit = local.assign(cloud="unit " + local["cloud"], mean=local["mean"] + 1)
    with caplog.at_level(logging.INFO):
        drawn = draw(pd.concat([local, unit], ignore_index=True))
    np.testing.assert_allclose(lines(drawn.axes[0])[0][:, 1], local.groupby("cloud_number")["mean"].mean())
    assert "not drawn: unit N500-MNone-noise0.0-all-1-7," in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        draw(pd.concat([local, unit.assign(mean=local["mean"])], ignore_index=True))
    assert "not drawn" not in caplog.text
    assert layout_faults(drawn) == []


def test_fewer_points_than_asked_for_are_told() -> None:
    local = table(sequences=(50, 400, None), tokens=("all", "continuation"), layers=(6, 12))
    of = local["cloud_sequences"].to_numpy(dtype=float, na_value=np.inf)
    local["n_points"] = np.select([local["cloud_tokens"] == "continuation", of == 50], [1126, 1800], 1950)
    assert "(fewer points than N: continuation (1,126), M = 50 (1,800))" in note(draw(local, layers=[6, 12]))
    assert "(fewer points than N: M = 50 (1,800))" in note(draw(local[local["cloud_tokens"] == "all"]))
    assert "fewer points" not in note(draw(local[(local["cloud_tokens"] == "all") & (of != 50)]))
    local.loc[(local["cloud_tokens"] == "continuation") & (of == 400), "n_points"] = 1999
    assert "(fewer points than N: M = 50 (1,126 – 1,800), continuation, M = all (1,126))" in note(draw(local))
    sizes = table(numbers=(500, 2000, 60_000), layers=(6, 12))
    sizes["n_points"] = np.minimum(sizes["n_points"], 30_000 + 100 * sizes["layer"] + sizes["cloud_seed"])
    drawn = draw(sizes, layers=[6, -1])
    assert "(fewer points than N: N = 60k (30,602 – 31,202))" in note(drawn)
    assert layout_faults(drawn) == []


def test_an_estimate_that_is_there_twice_is_refused() -> None:
    local = table(numbers=(500, 2000))
    with pytest.raises(ValueError, match=r"The local table holds more than one row for model 'gpt2'.*differ in set"):
        draw(pd.concat([local, local.assign(set="other")], ignore_index=True))


def test_other_variants_are_not_drawn() -> None:
    local = table(numbers=(500, 2000))
    both = pd.concat([local, local.assign(variant="gaussian", mean=0.0)], ignore_index=True)
    np.testing.assert_array_equal(lines(draw(both).axes[0])[0], lines(draw(local).axes[0])[0])


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_layouts_of_all_settings_have_no_faults(scale: str) -> None:
    local = table(
        numbers=(500, 2000, 60_000),
        neighbors=(16, 1024),
        sequences=(100, None),
        noise=tuple(NOISE),
        tokens=TOKENS,
        seeds=(1, 2),
        models=("gpt2", "roberta-base-finetuned-multiwoz"),
    )
    drawn = draw(local, scale=scale)
    assert len(drawn.axes) == 12
    assert layout_faults(drawn) == []
    numbers = (500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
    sizes = (16, 32, 64, 128, 256, 512, 1024)
    assert layout_faults(draw(table(numbers=numbers, neighbors=sizes), scale=scale)) == []
    assert layout_faults(draw(table(numbers=numbers, neighbors=sizes[:6]), scale=scale)) == []


@pytest.mark.parametrize(("noise", "columns"), [((0.0,), 3), ((0.0, 0.1), 3)])
def test_panels_of_a_block_fill_its_rows(noise: tuple[float, ...], columns: int) -> None:
    drawn = draw(table((500, 2000), (16, 64), (100, 1000), noise, seeds=(1,)))
    assert {axes.get_subplotspec().get_gridspec().ncols for axes in drawn.axes} == {columns}
    assert len(drawn.axes) == (5 if len(noise) > 1 else 3)


def test_draws_of_one_dataset_are_seeds_of_its_points() -> None:
    draws = [
        table(numbers=(500, 2000), seeds=(1,)).assign(
            dataset=f"news-sequence_seed{seed}", drawn_from="news", draw_sequence_seed=seed, draw_seed=42
        )
        for seed in (778, 779, 780)
    ]
    local = pd.concat([of_seed.assign(mean=of_seed["mean"] + place) for place, of_seed in enumerate(draws)])
    drawn = draw(local)
    (axes,) = drawn.axes
    over = local.groupby("cloud_number")["mean"]
    (line,) = lines(axes)
    np.testing.assert_allclose(line, over.mean().reset_index())
    np.testing.assert_allclose(bars(axes), np.column_stack([over.mean() - over.std(), over.mean() + over.std()]))
    assert " ".join(axes.get_title("left").split()) == TITLE
    assert "over 3 draws" in note(drawn)


def test_global_estimates_are_dashed_beside_noise_and_not_against_neighbours() -> None:
    local = table(neighbors=(16, 128), noise=(0.0, 0.1), seeds=(1, 2))
    global_ = table(noise=(0.0, 0.1), seeds=(1, 2)).rename(columns={"mean": "value"}).assign(n_neighbors=None)
    drawn = draw(local, global_)
    over = global_.groupby("cloud_noise")["value"].mean()
    dashed = {
        label: [line.get_xydata() for line in panel(drawn, label).get_lines() if line.get_linestyle() == "--"]
        for label in ("Neighbours L", "Noise, standard deviation σ", "Hausdorff distance to the clean cloud")
    }
    assert dashed["Neighbours L"] == []
    (of_noise,) = dashed["Noise, standard deviation σ"]
    np.testing.assert_allclose(of_noise, over.reset_index())
    (of_distance,) = dashed["Hausdorff distance to the clean cloud"]
    np.testing.assert_allclose(of_distance, np.column_stack([[0.0, 3.0], over]))
    assert "Dashed: global estimates (TwoNN)" in note(drawn)
    assert "Dashed" not in note(draw(local))


def test_published_ranges_are_shaded_where_they_belong() -> None:
    range_ = {
        "quantity": "local_dimension",
        "dataset": "news",
        "setting": "N",
        "lower": 13.7,
        "upper": 14.3,
        "source": "a paper",
    }
    reference = pd.concat([no_reference(), pd.DataFrame([range_])])
    drawn = draw(table(numbers=(500, 2000), noise=(0.0, 0.1)), reference=reference)
    shaded = {axes.get_xlabel().split(" (")[0].split("\n")[0]: len(axes.patches) for axes in drawn.axes}
    assert shaded["Points N"] == 1 and sum(shaded.values()) == 1
    assert "Shaded: published, 13.7 – 14.3 (a paper)" in note(drawn)
    assert "Shaded" not in note(draw(table(numbers=(500, 2000)), reference=reference.assign(dataset="reviews")))
