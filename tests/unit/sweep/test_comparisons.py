"""Which models are compared with which, and what is said about comparisons and metrics that cannot be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.sweeps import NEWS, complaints_of
from idsweep.sweep.comparisons import pairs
from idsweep.sweep.sweep import Sweep

BASE = {"tiny_neox": {"checkpoints": ["step256", "step512"]}}
TUNED = sweeps.TUNED | {"checkpoints": "step{0,20}"}
LORA = {"hub": "x/lora", "kind": "causal", "base": "tiny_neox", "base_checkpoint": "step512"}
HUB = {"hub": "x/other", "kind": "causal", "layers": 4}


def given(models: dict[str, Any], *comparisons: dict[str, str], **keys: Any) -> dict[str, Any]:
    """A configuration of models named here: `tuned`, `seeds` of the same, `lora`, `other`, and `shallow` and `wide` with tiny_neox' tokens."""
    catalog = {
        "tuned": TUNED,
        "seeds": TUNED | {"seeds": [1, 2]},
        "lora": LORA,
        "other": HUB,
        "shallow": HUB | {"layers": 3, "tokenizer": {"of": "tiny_neox"}},
        "wide": HUB | {"width": 1024, "tokenizer": {"of": "tiny_neox"}},
    }
    compared = {"models": models, "comparisons": list(comparisons), "catalog": {"models": catalog}}
    return NEWS | {"layers": [-1], "tokens": {"max_length": 128}} | compared | keys


def sweep_of(*what: Any, **keys: Any) -> Sweep:
    return sweeps.sweep_of(given(*what, **keys))


def named(sweep: Sweep) -> list[tuple[str, str, str]]:
    return [(pair.model.name, pair.base.name, pair.checkpoint.name) for pair in pairs(sweep)]


def complaint(*what: Any, **keys: Any) -> str:
    (said,) = complaints_of(given(*what, **keys))
    return said


def test_what_was_made_of_a_measured_model_is_compared_with_it() -> None:
    sweep = sweep_of(BASE | {"tuned": None, "seeds": None, "lora": None, "minilm": None})
    assert named(sweep) == [(name, "tiny_neox", "step512") for name in ("tuned", "seeds-seed1", "seeds-seed2", "lora")]


@pytest.mark.parametrize(
    "base",
    [{}, {"tiny_neox": {"checkpoints": ["step256"]}}, {"tiny_neox": {"layers": ["input_embeddings"]}}],
    ids=["not measured", "measured at another checkpoint", "measured without text"],
)
def test_without_the_base_s_own_estimates_nothing_is_compared(base: dict[str, Any]) -> None:
    assert named(sweep_of(base | {"tuned": None})) == []


def test_embedding_matrices_are_not_compared_token_by_token() -> None:
    assert named(sweep_of(BASE | {"tuned": {"layers": ["input_embeddings"]}})) == []


def test_a_comparison_that_is_named_takes_the_place_of_that_with_the_base() -> None:
    given = {"model": "tuned", "base": "tiny_neox", "base_checkpoint": "step256"}
    sweep = sweep_of(BASE | {"tuned": None, "lora": None}, given)
    assert named(sweep) == [("tuned", "tiny_neox", "step256"), ("lora", "tiny_neox", "step512")]


def test_a_comparison_is_with_the_last_measured_checkpoint_unless_it_names_one() -> None:
    sweep = sweep_of(
        {"tiny_neox": {"checkpoints": ["step0", "step256"]}, "tuned": None}, {"model": "tuned", "base": "tiny_neox"}
    )
    assert named(sweep) == [("tuned", "tiny_neox", "step256")]


def test_an_entry_s_name_stands_for_all_its_runs_and_a_run_s_for_itself() -> None:
    models = BASE | {"seeds": None, "tuned": None}
    sweep = sweep_of(models, {"model": "seeds", "base": "tuned"})
    assert named(sweep)[:2] == [("seeds-seed1", "tuned", "step20"), ("seeds-seed2", "tuned", "step20")]
    sweep = sweep_of(models, {"model": "seeds-seed2", "base": "tuned"})
    assert named(sweep)[0] == ("seeds-seed2", "tuned", "step20")
    assert ("seeds-seed1", "tiny_neox", "step512") in named(sweep)


def test_what_is_named_twice_is_compared_once() -> None:
    twice = [{"model": name, "base": "tuned"} for name in ("seeds", "seeds-seed1", "seeds")]
    sweep = sweep_of({"seeds": None, "tuned": None}, *twice)
    assert named(sweep) == [(f"seeds-seed{seed}", "tuned", "step20") for seed in (1, 2)]


WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "unknown model": (
        {"tuned": None},
        {"model": "tuend", "base": "tiny_neox"},
        "comparisons[0].model: 'tuend' is not measured; did you mean 'tuned'?",
    ),
    "unknown base": (
        {"tuned": None},
        {"model": "tuned", "base": "other"},
        "comparisons[0].base: 'other' is not measured; allowed: tiny_neox, tuned",
    ),
    "several bases": (
        {"seeds": None, "tuned": None},
        {"model": "tuned", "base": "seeds"},
        "comparisons[0].base: 'seeds' stands for 2 models; name one: seeds-seed1, seeds-seed2",
    ),
    "unknown checkpoint": (
        {"tuned": None},
        {"model": "tuned", "base": "tiny_neox", "base_checkpoint": "step128"},
        "comparisons[0].base_checkpoint: 'step128' is not measured; did you mean 'step512'? allowed: step256, step512",
    ),
    "itself": ({}, {"model": "tiny_neox", "base": "tiny_neox"}, "comparisons[0].base: 'tiny_neox' would be compared with itself"),
    "other tokens": (
        {"other": None},
        {"model": "other", "base": "tiny_neox"},
        "comparisons: other and tiny_neox have different tokenizers, other and tiny_neox; give other "
        "`tokenizer: {of: tiny_neox}` in the catalog if they are the same",
    ),
    "other depth": (
        {"shallow": None},
        {"model": "shallow", "base": "tiny_neox"},
        "comparisons: shallow and tiny_neox have 3 and 4 layers: one was not fine-tuned from the other",
    ),
    "other width": (
        {"wide": None},
        {"model": "wide", "base": "tiny_neox"},
        "comparisons: wide and tiny_neox have hidden states of 1024 and 128 dimensions: one was not fine-tuned from the other",
    ),
    "no states": (
        {"tuned": {"layers": ["input_embeddings"]}},
        {"model": "tuned", "base": "tiny_neox"},
        "comparisons: tuned and tiny_neox: a comparison needs hidden states of both, but one of them has none in this sweep",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_comparison_is_told_alone(case: str) -> None:
    models, given, expected = WRONG[case]
    assert complaint(BASE | models, given).startswith(expected)


def test_one_run_of_an_entry_is_not_compared_with_the_entry() -> None:
    models = {"tiny_neox": None, "seeds": {"seeds": [1]}}
    said = complaint(models, {"model": "seeds-seed1", "base": "seeds"})
    assert said == "comparisons[0].base: 'seeds' would be compared with itself; name another model"


def test_models_that_share_no_layer_are_not_compared_unless_someone_asks() -> None:
    assert named(sweep_of(BASE | {"tuned": {"layers": [0, 1]}})) == []
    combined = {"last_two": {"layers": [-2, -1], "by": "mean"}}
    sweep = sweep_of(BASE | {"tuned": {"layers": [0, 1]}}, representations=combined)
    assert named(sweep) == [("tuned", "tiny_neox", "step512")], "a combination of layers is there for both"


def test_layers_that_differ_are_told_with_both_models_layers() -> None:
    said = complaint(BASE | {"tuned": {"layers": [0, 1]}}, {"model": "tuned", "base": "tiny_neox"})
    assert said == (
        "comparisons: tuned and tiny_neox have no measured layer in common: 0, 1 and 4; name the same `layers` for both"
    )


def metric(folder: Path, *steps: int) -> dict[str, Any]:
    (folder / "f1.csv").write_text("step,value\n" + "".join(f"{step},0.5\n" for step in steps))
    return BASE | {"tiny_neox": BASE["tiny_neox"] | {"metrics": {"f1": str(folder / "f1.csv")}}}


def test_a_metric_without_the_measured_steps_is_told_with_both(tmp_path: Path) -> None:
    said = complaint(metric(tmp_path, *range(0, 100, 10)))
    assert said == (
        f"models.tiny_neox.metrics.f1: {tmp_path / 'f1.csv'}: the metric has the steps 0, 10, 20, 30, 40, 50, 60, 70, …, "
        "90, but tiny_neox is measured at 256, 512; choose checkpoints at steps of the metric, or give the metric at steps of the checkpoints"
    )


def test_a_metric_that_shares_a_step_is_taken(tmp_path: Path) -> None:
    assert sweep_of(metric(tmp_path, 0, 512)).models["tiny_neox"].metric_names[-1] == "f1"


def test_a_metric_of_a_model_without_steps_is_taken(tmp_path: Path) -> None:
    metrics = metric(tmp_path, 0)["tiny_neox"]["metrics"]
    assert sweep_of({"minilm": {"metrics": metrics}}).models["minilm"].metric_names == ("f1",)
