"""Figures of tokens: local estimates against log-probabilities, perplexity, and by what the tokens are."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from idsweep.figures import registry, tokens
from idsweep.figures.losses import draw as draw_losses
from idsweep.figures.losses import running_quartiles
from idsweep.figures.perplexity import draw as draw_perplexity
from idsweep.figures.tokens import printable
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure

from unit.figures.layout import layout_faults, panels
from unit.figures.rows import identity, note

PYTHIA = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 144_000, 4000)]
SUITE = ("pythia-70m", "pythia-160m", "pythia-410m", "pythia-1.4b", "pythia-12b")
RUN = ["model", "group", "seed", "checkpoint", "step", "dataset", "split"]
SAME = ["model", "checkpoint", "step", "dataset"]
BY = {
    "part": ["special", "word_start", "continuation"],
    "frequency": ["1", "2-3", "4-7", "8-15", "16-31"],
    "position": ["0", "1", "2-3", "4-7", "8-15", "16-31", "32-63"],
}


def further_measures(log_probability: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "entropy": 4 + log_probability / 2,
        "rank": np.minimum(1 + np.floor(np.exp(-log_probability)), 50_000),
        "margin": np.abs(log_probability + 2),
    }


def token_tables(
    models: Sequence[str] = ("gpt2",),
    datasets: Sequence[str] = ("news",),
    points: int = 300,
    layers: Sequence[int] = (12,),
    predicting: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Estimates of the even points alone; predictions of all in another order; coefficients that differ everywhere."""
    rng = np.random.default_rng(0)
    estimates, predictions, coefficients = [], [], []
    for model in models:
        for dataset in datasets:
            easy = -rng.gamma(1.1, 2.5, 2 * points)
            of_run = {key: value for key, value in identity(model, dataset).items() if key in RUN}
            if predicting is None or model in predicting:
                of_points = {"point": range(2 * points), "log_probability": easy} | further_measures(easy)
                predictions.append(pd.DataFrame(of_points).assign(**of_run)[::-1])
            for layer in layers:
                of_layer = identity(model, dataset, layer)
                values = 11 - 0.4 * easy[::2] + rng.gamma(4, 1.2, points)
                drawn = pd.DataFrame({"point": range(0, 2 * points, 2), "value": values})
                estimates.append(drawn.assign(**of_layer, variant="data", n_neighbors=128))
                for name in ("kendall", "pearson", "spearman"):
                    value = -rng.random()
                    interval = {"value": value, "lower": value - 0.1, "upper": value + 0.1}
                    coefficients.append(of_layer | {"measure": "log_probability", "coefficient": name} | interval)
                    for place, measure in enumerate(further_measures(easy), start=1):
                        of_measure = {key: x + place for key, x in interval.items()}
                        coefficients.append(of_layer | {"measure": measure, "coefficient": name} | of_measure)
    lacking = pd.DataFrame(columns=["point", "log_probability", *further_measures(np.empty(0)), *RUN])
    tables = pd.concat(predictions, ignore_index=True) if predictions else lacking
    return pd.concat(estimates, ignore_index=True), tables, pd.DataFrame(coefficients)


def sweep_tables(
    models: Sequence[str] = ("pythia-70m", "pythia-1b"),
    datasets: Sequence[str] = ("news", "films"),
    steps: Sequence[int | None] = (0, 10, 1000),
    layers: Sequence[int] = (6, 12),
    seeds: Sequence[int | None] = (None,),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    local, losses = [], []
    for model in models:
        for dataset in datasets:
            for seed in seeds:
                for step in steps:
                    share = 1.0 if step is None else np.log1p(step) / np.log(144_000)
                    of_run = identity(model, dataset, step=step, seed=seed)
                    loss = 10.8 - 7 * share**1.5 + 0.2 * rng.random()
                    losses.append(
                        {key: of_run[key] for key in RUN}
                        | {"loss": loss, "lower": loss - 0.05, "upper": loss + 0.07, "perplexity": np.exp(loss)}
                    )
                    for layer in layers:
                        mean = 8 + 18 * share - 14 * share**3 + layer / 12 + rng.random()
                        local.append(
                            identity(model, dataset, layer, step, seed)
                            | {"variant": "data", "n_neighbors": 128, "n_undefined": 0, "mean": mean}
                            | {"standard_error": 0.1, "scale": 8.0, "scale_stable": True}
                        )
    return pd.DataFrame(local), pd.DataFrame(losses).sample(frac=1, random_state=0)


def groups_table(
    models: Sequence[str] = ("gpt2",),
    datasets: Sequence[str] = ("news",),
    tokens: int = 50,
    by: dict[str, list[str]] = BY,
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        identity(model, dataset)
        | {"by": kind, "label": label, "place": place, "n": int(rng.integers(5, 5000)), "mean": middle + 0.3}
        | {"q25": middle - 2, "median": middle, "q75": middle + 2.5}
        for model in models
        for dataset in datasets
        for kind, labels in (by | {"token": [f"Ġword{place}" for place in range(tokens)]}).items()
        for place, label in enumerate(labels)
        for middle in [10 + rng.normal(0, 2)]
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def of_matrices(table: pd.DataFrame, names: Sequence[str] = ("input_embeddings", "output_embeddings")) -> pd.DataFrame:
    """The same groups of the entries of a vocabulary, all of which stand at position 0 and occur once."""
    kept = table[table["by"].isin(["part", "frequency"])]
    alone = kept.drop_duplicates(["model", "dataset"]).assign(by="position", label="0", place=0)
    of_vocabulary = {"dataset": "vocabulary", "split": None, "layer": None}
    parts = [pd.concat([kept, alone]).assign(**of_vocabulary, representation=name) for name in names]
    return pd.concat([part.assign(median=part["median"] + place) for place, part in enumerate(parts)])


def draw_tokens(table: pd.DataFrame, **options: object) -> Figure:
    """The figure of groups of TwoNN's estimates of 64 neighbours."""
    return tokens.draw(table, table.assign(n_neighbors=64), **options)


def heads(drawn: Figure) -> list[str]:
    titles = [axes.get_title("left") for axes in drawn.axes]
    return [" ".join(title.rsplit("\n", 1)[0].split()) for title in titles if "(final)" in title]


def scatter(axes: Axes) -> np.ndarray:
    (dots,) = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    return np.asarray(dots.get_offsets())


def longest(axes: Axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 1]


def legend(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("sensitivity", ("local", "global", "reference")),
        ("losses", ("pointwise", "predictions", "loss_correlations")),
        ("perplexity", ("local", "losses")),
        ("tokens", ("token_groups", "local")),
    ],
)
def test_the_registry_knows_the_tables(name: str, tables: tuple[str, ...]) -> None:
    assert registry.tables(name) == tables
    assert {"estimator", "models", "datasets", "layers"} <= registry.options(name).keys()


def test_each_estimate_stands_over_the_log_probability_of_its_own_token() -> None:
    pointwise, predictions, correlations = token_tables()
    drawn = draw_losses(pointwise, predictions, correlations)
    of_point = predictions.set_index("point")["log_probability"]
    wanted = np.column_stack([of_point[pointwise["point"]], pointwise["value"]])
    np.testing.assert_array_equal(scatter(drawn.axes[0]), wanted)
    assert note(drawn) == "Log-probability of the token (nats)"
    assert drawn.get_supylabel() == "Local intrinsic dimension (TwoNN, L = 128)"


@pytest.mark.parametrize(
    ("measure", "label", "scale"),
    [
        ("entropy", "Entropy of the prediction (nats)", "linear"),
        ("rank", "Rank of the token among the predictions", "log"),
        ("margin", "Log-probability of the best prediction less that of the second (nats)", "linear"),
        ("surprise_of_it", "Surprise of it", "linear"),
    ],
)
@pytest.mark.parametrize("points", [300, 1500])
def test_other_measures_take_the_place_of_the_log_probability(
    measure: str, label: str, scale: str, points: int
) -> None:
    pointwise, predictions, correlations = token_tables(points=points)
    if measure not in predictions:
        predictions = predictions.rename(columns={"margin": measure})
        correlations["measure"] = correlations["measure"].replace("margin", measure)
    drawn = draw_losses(pointwise, predictions, correlations, measure=measure)
    axes = drawn.axes[0]
    values = predictions.set_index("point")[measure][pointwise["point"]]
    assert note(drawn) == label and axes.get_xscale() == scale
    if points < 1000:
        np.testing.assert_array_equal(scatter(axes), np.column_stack([values, pointwise["value"]]))
    else:
        (hexagons,) = [artist for artist in axes.collections if isinstance(artist, PolyCollection)]
        assert hexagons.get_array().sum() == points
    low, high = axes.get_xlim()
    assert low <= values.min() <= values.max() <= high
    line = running_quartiles(values.to_numpy(), pointwise["value"].to_numpy())
    np.testing.assert_allclose(longest(axes)[0], line[["x", "median"]])
    of_measure = correlations[correlations["measure"] == measure].set_index("coefficient")["value"]
    written = axes.get_xlabel()
    assert all(f"{name.capitalize()} {value:.2f}".replace("-", "−") in written for name, value in of_measure.items())
    assert layout_faults(drawn) == []


def test_tokens_with_an_undefined_measure_are_counted() -> None:
    pointwise, predictions, correlations = token_tables()
    predictions.loc[predictions["point"].isin([40, 42, 44]), ["log_probability", "margin"]] = np.nan
    predictions.loc[predictions["point"].isin([50, 52]), "margin"] = np.nan
    drawn = draw_losses(pointwise, predictions, correlations, measure="margin")
    label = " ".join(drawn.axes[0].get_xlabel().split())
    assert label.startswith("295 tokens (not drawn: 2 undefined) Pearson")
    predictions["margin"] = np.nan
    drawn = draw_losses(pointwise, predictions, correlations, measure="margin")
    assert drawn.axes[0].get_xlabel().startswith("0 tokens")
    with pytest.raises(ValueError, match="measure 'entorpy' was asked for, but the predictions table holds"):
        draw_losses(pointwise, predictions, correlations, measure="entorpy")


def test_many_tokens_are_counted_in_hexagons() -> None:
    tables = token_tables(points=2000)
    drawn = draw_losses(*tables)
    (hexagons,) = [artist for artist in drawn.axes[0].collections if isinstance(artist, PolyCollection)]
    assert hexagons.get_array().sum() == 2000 and hexagons.norm.vmin == 1
    assert drawn.axes[-1].get_ylabel() == "Tokens per hexagon"
    few = draw_losses(*token_tables(points=999))
    assert len(scatter(few.axes[0])) == 999 and len(few.axes) == 1


def test_running_quartiles_are_those_of_equally_many_tokens() -> None:
    rng = np.random.default_rng(0)
    x = rng.permutation(100.0 * np.arange(100))
    line = running_quartiles(x, x**2)
    assert len(line) == 4
    np.testing.assert_allclose(line["x"], [1200, 3700, 6200, 8700])
    np.testing.assert_allclose(line["median"], line["x"] ** 2)
    np.testing.assert_allclose(line[["q25", "q75"]].iloc[0], [600**2, 1800**2])
    assert (
        len(running_quartiles(x[:49], x[:49])) == 0 and len(running_quartiles(np.arange(9999), np.arange(9999))) == 20
    )


def test_the_line_of_medians_is_of_all_defined_tokens() -> None:
    pointwise, predictions, correlations = token_tables()
    pointwise.loc[[0, 1], "value"] = [np.nan, 500.0]
    drawn = draw_losses(pointwise, predictions, correlations, limits=[5, 30])
    defined = pointwise.merge(predictions[["point", "log_probability"]]).dropna(subset=["value"])
    line = running_quartiles(defined["log_probability"].to_numpy(), defined["value"].to_numpy())
    for curve, name in zip(longest(drawn.axes[0]), ("median", "q25", "q75"), strict=True):
        np.testing.assert_allclose(curve, line[["x", name]])


def test_the_coefficients_of_a_panel_are_its_own() -> None:
    tables = token_tables(("gpt2", "bert"), ("news", "films"))
    drawn = draw_losses(*tables)
    for model in ("gpt2", "bert"):
        for dataset in ("news", "films"):
            of_panel = "model == @model and dataset == @dataset and measure == 'log_probability'"
            rows = tables[2].query(of_panel).set_index("coefficient")
            numbers = {
                name: "{:.2f} [{:.2f}, {:.2f}]".format(*row[["value", "lower", "upper"]]).replace("-", "−")
                for name, row in rows.iterrows()
            }
            head = f"{model} (final), {dataset}, layer 12"
            text = f"Pearson {numbers['pearson']} Spearman {numbers['spearman']} Kendall {numbers['kendall']}"
            (axes,) = panels(drawn, head)
            assert " ".join(axes.get_xlabel().split()).endswith(text)


def test_an_undefined_coefficient_is_called_so() -> None:
    pointwise, predictions, correlations = token_tables()
    undefined = correlations["coefficient"] == "pearson"
    correlations.loc[undefined, ["value", "lower", "upper"]] = np.nan
    correlations = correlations[correlations["coefficient"] != "kendall"]
    label = draw_losses(pointwise, predictions, correlations).axes[0].get_xlabel()
    assert "Pearson undefined\n" in label and label.endswith("Kendall undefined")


def test_tokens_that_are_not_drawn_are_counted(caplog) -> None:
    pointwise, predictions, correlations = token_tables()
    pointwise.loc[:4, "value"] = np.nan
    pointwise.loc[10:11, "value"] = 99.0
    predictions.loc[predictions["point"].isin([40, 42, 44]), "log_probability"] = np.nan
    with caplog.at_level(logging.INFO):
        drawn = draw_losses(pointwise, predictions, correlations, limits=[0, 90])
    label = " ".join(drawn.axes[0].get_xlabel().split())
    assert label.startswith("290 tokens (not drawn: 5 undefined, 2 beyond the axis)")
    assert "3 tokens without a log-probability are not drawn" in caplog.text
    assert len(scatter(drawn.axes[0])) == 290 and drawn.axes[0].get_ylim() == (0, 90)
    assert layout_faults(drawn) == []


def test_models_that_predict_no_tokens_are_logged(caplog) -> None:
    tables = token_tables(("gpt2", "minilm"), predicting=("gpt2",))
    with caplog.at_level(logging.INFO):
        drawn = draw_losses(*tables)
    assert len(drawn.axes) == 1 and "Not drawn, without log-probabilities: minilm" in caplog.text
    (text,) = draw_losses(*token_tables(("minilm",), predicting=())).texts
    assert "none of the models in the table has log-probabilities of tokens (minilm)" in " ".join(
        text.get_text().split()
    )


def test_losses_of_layers_and_models_asked_for() -> None:
    tables = token_tables(("gpt2", "bert"), ("news",), layers=(6, 12))
    drawn = draw_losses(*tables, models=["bert"], layers=[6, -1])
    heads = [" ".join(axes.get_title("left").split("\nPearson")[0].split()) for axes in drawn.axes]
    assert heads == ["bert (final), news, layer 6", "bert (final), news, layer 12"]
    with pytest.raises(ValueError, match="layer 3 was asked for, but the table holds 6, 12"):
        draw_losses(*tables, layers=[3])
    with pytest.raises(ValueError, match="dataset 'films' was asked for, but the pointwise table holds 'news'"):
        draw_losses(*tables, datasets=["films"])
    with pytest.raises(ValueError, match="The predictions table holds more than one row for model 'gpt2'"):
        draw_losses(tables[0], pd.concat([tables[1], tables[1]]), tables[2])
    with pytest.raises(ValueError, match="The loss_correlations table holds more than one row for model 'gpt2'"):
        draw_losses(*tables[:2], pd.concat([tables[2], tables[2]]))


def test_losses_are_of_the_first_cloud() -> None:
    pointwise, predictions, correlations = token_tables()
    other = pointwise.assign(cloud="noisy", value=0.0), correlations.assign(cloud="noisy", value=0.0)
    both = draw_losses(pd.concat([pointwise, other[0]]), predictions, pd.concat([correlations, other[1]]))
    alone = draw_losses(pointwise, predictions, correlations)
    np.testing.assert_array_equal(scatter(both.axes[0]), scatter(alone.axes[0]))
    assert both.axes[0].get_title("left") == alone.axes[0].get_title("left")


def test_checkpoints_are_joined_in_the_order_of_the_steps() -> None:
    local, losses = sweep_tables(steps=PYTHIA)
    drawn = draw_perplexity(local.sample(frac=1, random_state=1), losses)
    for dataset in ("news", "films"):
        (axes,) = panels(drawn, f"{dataset}, last layer")
        assert [len(line) for line in longest(axes)] == [len(PYTHIA)] * 2
        held = {tuple(line[0]) for line in longest(axes)}
        first = local.query("step == 0 and layer == 12 and dataset == @dataset").merge(losses, on=SAME)
        assert held == set(first[["perplexity", "mean"]].itertuples(index=False, name=None))
    (line,) = longest(draw_perplexity(local, losses, models=["pythia-1b"], datasets=["news"]).axes[0])
    both = local.query("model == 'pythia-1b' and dataset == 'news' and layer == 12").sort_values("step")
    both = both.merge(losses, on=SAME)
    np.testing.assert_array_equal(line, both[["perplexity", "mean"]])
    assert both["step"].tolist() == PYTHIA and drawn.axes[0].get_xscale() == "log"


def test_bars_of_perplexity_are_95_percent_intervals() -> None:
    local, losses = sweep_tables(("neox",), ("news",), (5,))
    (axes,) = draw_perplexity(local, losses).axes
    bars = [bar.get_segments()[0] for bar in axes.collections if isinstance(bar, LineCollection)]
    across, up = sorted(bars, key=lambda bar: bar[0, 0] == bar[1, 0])
    loss, mean = losses["loss"].iloc[0], local.loc[local["layer"] == 12, "mean"].iloc[0]
    np.testing.assert_allclose(across[:, 0], np.exp([loss - 0.05, loss + 0.07]))
    np.testing.assert_allclose(up[:, 1], [mean - 0.196, mean + 0.196])


def test_perplexity_of_several_seeds_is_their_median_and_range() -> None:
    local, losses = sweep_tables(("neox",), ("news",), (5,), layers=(12,), seeds=(1, 2, 3))
    drawn = draw_perplexity(local, losses)
    (axes,) = drawn.axes
    mark = next(line for line in axes.get_lines() if line.get_markersize() > 4)
    wanted = losses["perplexity"].median(), local["mean"].median()
    np.testing.assert_allclose(mark.get_xydata()[0], wanted)
    bars = [bar.get_segments()[0] for bar in axes.collections if isinstance(bar, LineCollection)]
    across, up = sorted(bars, key=lambda bar: bar[0, 0] == bar[1, 0])
    np.testing.assert_allclose(across[:, 0], [losses["perplexity"].min(), losses["perplexity"].max()])
    np.testing.assert_allclose(up[:, 1], [local["mean"].min(), local["mean"].max()])
    assert legend(drawn) == ["neox, 3\N{NO-BREAK SPACE}seeds", "last checkpoint (step 5)"]


def test_steps_that_all_models_share_stand_in_the_legend_others_beside_their_points() -> None:
    same = draw_perplexity(*sweep_tables(steps=(0, 10, 143_000)))
    assert legend(same)[-2:] == ["first checkpoint (step 0)", "last checkpoint (step 143k)"]
    assert [text.get_text() for axes in same.axes for text in axes.texts] == []
    parts = sweep_tables(("a",), ("news",), (0, 10, 1000)), sweep_tables(("b",), ("news",), (0, 10, 5000))
    drawn = draw_perplexity(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))
    assert legend(drawn)[-2:] == ["first checkpoint (step 0)", "last checkpoint"]
    written = {text.get_text(): text for text in drawn.axes[0].texts}
    assert sorted(written) == ["1k", "5k"]
    last = parts[1][0].query("step == 5000 and layer == 12").merge(parts[1][1], on=SAME)
    assert written["5k"].xy == tuple(last[["perplexity", "mean"]].iloc[0])
    assert layout_faults(drawn) == []


def test_perplexity_of_layers_asked_for() -> None:
    local, losses = sweep_tables(("neox",), ("news",))
    drawn = draw_perplexity(local, losses, layers=[6, -1])
    for layer, head in ((6, "news, layer 6"), (12, "news, last layer")):
        (axes,) = panels(drawn, head)
        wanted = local.loc[local["layer"] == layer, "mean"]
        np.testing.assert_array_equal(longest(axes)[0][:, 1], wanted)
    undefined = local.assign(n_undefined=local["layer"].map({6: 5, 12: 7}))
    assert "(15 undefined estimates left out of the means)" in note(draw_perplexity(undefined, losses, layers=[-7]))
    with pytest.raises(ValueError, match="layer 3 was asked for, but the table holds 6, 12"):
        draw_perplexity(local, losses, layers=[3])
    with pytest.raises(ValueError, match="The losses table holds more than one row for model 'neox'"):
        draw_perplexity(local, pd.concat([losses, losses]))


def test_what_has_no_perplexity_or_step_is_told() -> None:
    local, losses = sweep_tables(("neox", "minilm"), ("news",))
    drawn = draw_perplexity(local, losses[losses["group"] == "neox"])
    assert "(1 model not drawn, without losses: minilm)" in note(drawn) and "minilm" not in legend(drawn)
    (text,) = draw_perplexity(local, losses[:0]).texts
    assert "none of the models in the table has a loss (neox, minilm)" in " ".join(text.get_text().split())
    drawn = draw_perplexity(local, losses[(losses["step"] != 10) | (losses["group"] == "neox")])
    assert sorted(len(line) for line in longest(drawn.axes[0])) == [2, 3]
    assert "(1 point without a perplexity not drawn)" in note(drawn)
    stepless = local.assign(step=local["step"].where(local["step"] > 0))
    drawn = draw_perplexity(stepless, losses)
    assert "(without a step, not drawn: step0)" in note(drawn) and {len(line) for line in longest(drawn.axes[0])} == {2}
    final = draw_perplexity(*sweep_tables(("gpt2",), ("news",), (None,)))
    assert legend(final) == ["gpt2", "last checkpoint"] and longest(final.axes[0]) == []


def test_groups_of_tokens_stand_in_their_order_with_median_quartiles_and_mean() -> None:
    table = groups_table()
    drawn = draw_tokens(table)
    for title, by in {"Occurrences in the texts": "frequency", "Position in the sequence": "position"}.items():
        (axes,) = panels(drawn, title)
        rows = table[table["by"] == by].sort_values("place")
        wanted = [f"{label}  (n = {n:,})" for label, n in zip(rows["label"], rows["n"], strict=True)]
        assert [text.get_text() for text in axes.get_yticklabels()] == wanted
        dots, ticks = axes.get_lines()
        np.testing.assert_array_equal(dots.get_xdata(), rows["median"])
        np.testing.assert_array_equal(ticks.get_xdata(), rows["mean"])
        (intervals,) = axes.collections
        np.testing.assert_array_equal([of[:, 0] for of in intervals.get_segments()], rows[["q25", "q75"]])
        assert axes.yaxis_inverted()
    assert len(panels(drawn, "gpt2 (final), news, layer 12 Part of a word")) == 1
    assert len({axes.get_xlim() for axes in drawn.axes}) == 1


def test_tokens_of_the_lowest_and_highest_means_are_shown() -> None:
    table = groups_table()
    drawn = draw_tokens(table)
    ordered = table[table["by"] == "token"].sort_values("mean")["label"].tolist()
    for title, wanted in (("lowest", ordered[:12]), ("highest", ordered[-12:])):
        (axes,) = panels(drawn, f"Tokens with the 12 {title} means")
        assert [text.get_text().split("  (")[0] for text in axes.get_yticklabels()] == wanted
    (axes,) = panels(draw_tokens(groups_table(tokens=24)), "Tokens")
    assert len(axes.get_yticklabels()) == 24


def test_tokens_are_printed_with_white_space_and_missing_letters_written_out() -> None:
    assert printable(" the") == "␣the" and printable("\n\t") == "↵⇥" and printable("Ġé▁я##") == "Ġé▁я##"
    assert (
        printable("\u4e2d") == "\\u4e2d" and printable("a" * 14) == "a" * 14 and printable("a" * 15) == "a" * 13 + "…"
    )
    assert printable("$x$") == "$x$"


def test_one_model_and_dataset_are_shown_or_those_asked_for() -> None:
    table = groups_table(("gpt2", "bert"), ("news", "films")).sort_values(["model", "dataset"], ascending=False)
    heads = [
        axes.get_title("left").split("\n")[0] for axes in draw_tokens(table).axes if "(final)" in axes.get_title("left")
    ]
    assert [" ".join(head.split()) for head in heads] == ["gpt2 (final), news, layer 12"]
    assert "(not drawn, see the options models and datasets: gpt2 on films; bert on news; bert on films)" in note(
        draw_tokens(table)
    )
    drawn = draw_tokens(table, models=["bert", "gpt2"], datasets=["films"])
    heads = [axes.get_title("left").split("\n")[0] for axes in drawn.axes if "(final)" in axes.get_title("left")]
    assert [" ".join(head.split()) for head in heads] == [
        "bert (final), films, layer 12",
        "gpt2 (final), films, layer 12",
    ]
    assert "not drawn" not in note(drawn)
    with pytest.raises(ValueError, match="model 'gpt3' was asked for, but the token_groups table holds"):
        draw_tokens(table, models=["gpt3"])
    with pytest.raises(ValueError, match="The token_groups table holds more than one row for model"):
        draw_tokens(pd.concat([table, table]))


def test_embedding_matrices_alone_are_drawn_without_positions() -> None:
    table = of_matrices(groups_table(("glove", "bert")))
    drawn = draw_tokens(table)
    assert heads(drawn) == ["glove (final), input embeddings", "glove (final), output embeddings"]
    assert len(drawn.axes) == 4 and panels(drawn, "Position in the sequence") == []
    for place, axes in enumerate(panels(drawn, "Occurrences in the texts")):
        rows = table[(table["model"] == "glove") & (table["by"] == "frequency")]
        rows = rows[rows["representation"] == ("input_embeddings", "output_embeddings")[place]].sort_values("place")
        np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), rows["median"])
    left_out = "(not drawn, see the options models and datasets: bert, input_embeddings; bert, output_embeddings)"
    assert left_out in note(drawn)
    assert layout_faults(drawn) == []
    assert not registry.needs("tokens")["texts"]


@pytest.mark.slow
def test_embedding_matrices_stand_below_the_layers_of_their_model() -> None:
    words = of_matrices(groups_table(("glove",)), ["input_embeddings"])
    texts = groups_table(("gpt2", "bert"), ("news", "films")).sort_values("model", ascending=False, kind="stable")
    table = pd.concat([words, texts, of_matrices(texts[texts["dataset"] == "news"])], ignore_index=True)
    gpt2 = ["gpt2 (final), input embeddings", "gpt2 (final), output embeddings"]
    assert heads(draw_tokens(table, models=["gpt2"]))[-2:] == gpt2
    assert heads(draw_tokens(table, models=["glove"])) == ["glove (final), input embeddings"]
    both = heads(draw_tokens(table, models=["glove", "gpt2"]))
    assert both[0] == "glove (final), input embeddings" and both[-2:] == gpt2 and len(both) == 4
    assert heads(draw_tokens(table, models=["gpt2"], datasets=["films"])) == ["gpt2 (final), films, layer 12"]
    assert layout_faults(draw_tokens(table, models=["glove", "gpt2", "bert"])) == []
    for options in ({"models": ["gpt3"]}, {"datasets": ["vocabulary"]}, {"estimator": "mle"}, {"layers": [3]}):
        with pytest.raises(ValueError, match=r" was asked for, but the (token_groups )?table holds"):
            draw_tokens(table, **options)


def test_groups_that_are_missing_or_undefined_are_left_out() -> None:
    table = groups_table(by={"part": BY["part"], "token_class": ["operand", "operator"]}, tokens=0)
    table.loc[table["label"] == "special", ["mean", "q25", "median", "q75"]] = np.nan
    drawn = draw_tokens(table)
    assert len(drawn.axes) == 2 and len(panels(drawn, "Class")) == 1
    assert len(drawn.axes[0].get_yticklabels()) == 2
    assert "without a defined estimate" not in note(drawn)
    (text,) = draw_tokens(table.assign(median=np.nan)).texts
    assert "No groups of tokens to draw" in text.get_text()


@pytest.mark.slow
def test_layouts_of_tokens_have_no_faults() -> None:
    words = {"token_class": ["operand", "operator", "equals"], "part": BY["part"], "frequency": BY["frequency"]}
    two = groups_table(("roberta-base-finetuned-multiwoz", "gpt2"), ("news",), by=words)
    figures = [
        draw_tokens(groups_table()),
        draw_tokens(groups_table(tokens=5)),
        draw_tokens(two, models=["gpt2", "roberta-base-finetuned-multiwoz"]),
        draw_losses(*token_tables(("gpt2", "roberta-base-finetuned-multiwoz"), ("news", "film_reviews"), 1500)),
        draw_losses(*token_tables()),
        draw_perplexity(*sweep_tables(SUITE, ("news", "film_reviews"), PYTHIA), scale="log"),
        draw_perplexity(*sweep_tables(("gpt2",), ("news",), (None,))),
    ]
    assert [layout_faults(drawn) for drawn in figures] == [[]] * 7
