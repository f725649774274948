"""Sentences of the report say what stands in the tables, and what is significant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from idsweep.report.sentences import describe_results

NBSP = "\N{NO-BREAK SPACE}"
MEANS = {(0, 0): 5.0, (0, 1): 9.0, (0, 2): 8.0, (100, 0): 4.0, (100, 1): 12.0, (100, 2): 7.0}  # step, layer


def local(means: dict[tuple[int, int], float] = MEANS, **columns: Any) -> pd.DataFrame:
    rows = [
        {
            "set": "standard",
            "estimator": "twonn",
            "cloud": "points",
            "variant": "data",
            "model": "small",
            "group": "small",
            "dataset": "news",
            "checkpoint": f"step{step}",
            "step": step,
            "representation": f"layer_{layer}",
            "n_points": 4000,
            "n_neighbors": 64,
            "mean": mean,
            "standard_error": 0.1,
            "scale_stable": True,
        }
        for (step, layer), mean in means.items()
    ]
    others = [row | {"estimator": "mle", "mean": 99.0} for row in rows] + [
        row | {"variant": "gaussian", "mean": 50.0} for row in rows
    ]
    return pd.DataFrame(rows + others).assign(**columns)


def contrast(
    kind: str, cell: tuple[int, int], other: tuple[int, int], difference: float, half: float
) -> dict[str, Any]:
    return {
        "set": "standard",
        "estimator": "twonn",
        "cloud": "points",
        "model": "small",
        "dataset": "news",
        "contrast": kind,
        "checkpoint": f"step{cell[0]}",
        "step": cell[0],
        "representation": f"layer_{cell[1]}",
        "other_checkpoint": f"step{other[0]}",
        "other_step": other[0],
        "other_representation": f"layer_{other[1]}",
        "mean_difference": difference,
        "lower": difference - half,
        "upper": difference + half,
    }


def contrasts(half: float = 0.5) -> pd.DataFrame:
    rows = [
        contrast("next_layer", (step, one), (step, one + 1), MEANS[step, one] - MEANS[step, one + 1], half)
        for step in (0, 100)
        for one in (0, 1)
    ]
    rows += [contrast("first", (100, one), (0, one), MEANS[100, one] - MEANS[0, one], half) for one in (0, 1, 2)]
    rows += [
        contrast("highest_layer", (step, one), (step, 1), MEANS[step, one] - MEANS[step, 1], half)
        for step in (0, 100)
        for one in (0, 2)
    ]
    rows += [contrast("last", (0, one), (100, one), MEANS[0, one] - MEANS[100, one], half) for one in (0, 1, 2)]
    return pd.DataFrame(rows)


def said(**tables: pd.DataFrame) -> list[str]:
    return [text.replace(NBSP, " ") for text in describe_results({"local": local(), "global": local({}), **tables})]


def test_three_sentences_answer_what_where_and_whether_it_moved() -> None:
    what, where, moved = said(contrasts=contrasts())
    assert what == (
        "The local intrinsic dimension was measured by TwoNN (64 neighbours) in small, at 2 checkpoints and 3 layers, on news, "
        "from N = 4,000 points each."
    )
    assert where == (
        "Its mean is highest in small, layer 1, step 100: 12.00 (95 % interval 11.80 to 12.20); lowest in small, layer 0, step 100: "
        "4.00 (95 % interval 3.80 to 4.20). The highest is significantly above layer 0, layer 2 and the first checkpoint, paired "
        "over the same tokens."
    )
    assert moved == (
        "From the first to the last checkpoint it rises significantly in 1 and falls in 2 of 3 layers; most in small, layer 1: "
        "+3.00 (2.50 to 3.50)."
    )


def test_what_is_not_significant_is_not_called_so() -> None:
    _, where, moved = said(contrasts=contrasts(half=4.0))
    assert "significantly above layer 0 and layer 2, not significantly above the first checkpoint" in where
    assert "changes significantly in none of 3 layers" in moved


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_no_value_is_neither_highest_nor_lowest(value: float) -> None:
    means = MEANS | {(100, 1): value, (100, 0): value}
    _, where = describe_results({"local": local(means), "global": local({})})
    assert "highest in small, layer 1, step 0" in where and "lowest in small, layer 0, step 0" in where
    found = describe_results({"local": local(dict.fromkeys(MEANS, value)), "global": local({})})
    assert found[1:] == ["No estimate is defined."]


def test_a_sweep_without_checkpoints_tells_of_layers() -> None:
    of_last = {cell: mean for cell, mean in MEANS.items() if cell[0] == 100}
    rows = contrasts()
    rows = rows[(rows["contrast"] == "next_layer") & (rows["checkpoint"] == "step100")]
    _, where, moved = describe_results({"local": local(of_last), "global": local({}), "contrasts": rows})
    assert "step" not in where
    assert (
        moved
        == "From one layer to the next it rises significantly in 1 and falls in 1 of 2 pairs of layers; most in small, layer 0 (to layer 1): +8.00 (7.50 to 8.50)."
    )


def test_global_estimates_are_told_where_there_are_no_local_ones() -> None:
    frame = local().rename(columns={"mean": "value"}).assign(n_neighbors=np.nan)
    empty = local().iloc[:0]
    what, where = describe_results({"local": empty, "global": frame})
    assert what.startswith("The global intrinsic dimension was measured by TwoNN in small")
    assert where.startswith("It is highest in small, layer 1, step 100: 12.00 (95")
    assert describe_results({"local": empty, "global": empty}) == ["Nothing was measured."]


def test_models_and_datasets_are_named_while_they_are_few() -> None:
    frames = [local(model=f"m{number}", group=f"m{number}", dataset=f"d{number % 2}") for number in range(5)]
    what, where = describe_results({"local": pd.concat(frames, ignore_index=True), "global": local({})})
    assert "in 5 models" in what and "at 2 checkpoints" in what and "on d0 and d1" in what
    assert "on d0" in where


def test_unknown_intervals_are_no_verdict() -> None:
    unknown = contrasts().assign(lower=np.nan, upper=np.nan)
    _, where, moved = said(contrasts=unknown)
    assert "The highest is above, by an unknown interval, layer 0, layer 2 and the first checkpoint" in where
    assert "rises in 1 and falls in 2 of 3 layers (intervals not known)" in moved and "nan" not in moved
    unknown.loc[unknown["representation"] != "layer_1", ["lower", "upper"]] = [-1.0, -0.5]
    assert "rises significantly in 0 and falls in 2 of 3 layers (of 1 it is not known)" in said(contrasts=unknown)[2]
    frame = local(standard_error=np.nan, scale_stable=[False] * 18)
    _, where = describe_results({"local": frame, "global": local({})})
    assert "12.00 (interval not known, not scale-stable)" in where


def test_checkpoints_without_steps_have_a_first_and_a_last() -> None:
    rows = contrasts().assign(step=None, other_step=None)
    *_, moved = said(contrasts=rows)
    assert moved.startswith("From the first to the last checkpoint it rises significantly in 1")


def test_seeds_and_other_estimates_are_told() -> None:
    seeds = pd.concat([local(model=f"small-{seed}") for seed in (0, 1)], ignore_index=True)
    others = contrasts().assign(estimator="mle", mean_difference=-1.0, lower=-2.0, upper=-0.5)
    what, *_, last = describe_results(
        {"local": seeds, "global": local({}), "contrasts": pd.concat([contrasts(), others], ignore_index=True)}
    )
    assert "in small (2 seeds each), at 2 checkpoints" in what
    assert last == "By other estimates: MLE rises significantly in 0 and falls in 3 of 3 layers."
