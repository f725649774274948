"""`before_final_norm` in a configuration: a representation beside the layers, refused where a family is known to have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.sweeps import NEWS, complaints_of
from idsweep.files.representations import BEFORE_FINAL_NORM, VOCABULARY
from idsweep.planning.plan import plan

NEOX = {
    "train": "language_model",
    "kind": "causal",
    "architecture": {"model_type": "gpt_neox", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4},
    "tokenizer": {"vocabulary_size": 300},
    "training": {"dataset": "lee_news", "steps": 4, "batch_size": 2, "sequence_length": 16, "learning_rate": 0.001},
    "checkpoints": "step{0,4}",
}


def neox(**changes: Any) -> dict[str, Any]:
    return NEWS | {"models": {"neox": None}, "catalog": {"models": {"neox": NEOX}}} | changes


def test_it_is_measured_beside_layers_and_matrices() -> None:
    sweep = sweeps.sweep_of(neox(layers=[-1, BEFORE_FINAL_NORM, "input_embeddings"], compute={"layers_per_job": 8}))
    model = sweep.models["neox"]
    assert model.representations("lee_news") == ["layer_2", BEFORE_FINAL_NORM]
    assert model.representations(VOCABULARY) == ["input_embeddings"]
    assert sweep.blocks(model, "lee_news") == {"layers_0-2": ["layer_2"], BEFORE_FINAL_NORM: [BEFORE_FINAL_NORM]}


@pytest.mark.parametrize(
    ("layers", "stored", "expected"),
    [
        ([-1, BEFORE_FINAL_NORM], "measured", {"layers": [2], "before_final_norm": True}),
        ([BEFORE_FINAL_NORM], "measured", {"layers": [], "before_final_norm": True}),
        ([BEFORE_FINAL_NORM], "all", {"before_final_norm": True}),
        ([-1], "measured", {"layers": [2]}),
        ("all", "all", {}),
    ],
)
def test_the_forward_pass_is_told_only_where_it_is_asked_for(
    layers: Any, stored: str, expected: dict, tmp_path: Path
) -> None:
    given = neox(layers=layers, extraction={"layers": stored}, figures={})
    names = {"model": "neox", "checkpoint": "step4", "dataset": "lee_news"}
    told = sweeps.graph_of(sweeps.sweep_of(given), tmp_path).settings("extract_embeddings", **names)["pass"]
    assert {key: told[key] for key in ("layers", "before_final_norm") if key in told} == expected


def test_it_is_planned_like_a_layer() -> None:
    one, two = (
        plan(sweeps.sweep_of(neox(layers=layers, extraction={"layers": "measured"})))
        for layers in ([-1], [-1, BEFORE_FINAL_NORM])
    )
    assert str(one) != str(two)


def test_families_without_a_final_norm_are_refused_before_anything_runs() -> None:
    (complaint,) = complaints_of(NEWS | {"layers": [BEFORE_FINAL_NORM]})
    assert complaint.startswith("layers: before_final_norm: minilm (bert) has no norm behind its last block")
    assert "name -1 instead" in complaint
    grokking = {"sums": sweeps.SUMS}
    given = {
        "sweep": "s",
        "models": {"addition": {"layers": [BEFORE_FINAL_NORM]}},
        "datasets": ["trained_on"],
        "catalog": {"models": {"addition": sweeps.GROKKING}, "datasets": grokking},
    }
    (complaint,) = complaints_of(given)
    assert complaint.startswith("models.addition.layers: before_final_norm: addition (equation_decoder) has no norm")


def test_its_name_is_no_combination_s() -> None:
    (complaint,) = complaints_of(neox(representations={BEFORE_FINAL_NORM: {"layers": [0, 1], "by": "mean"}}))
    assert complaint == "representations.before_final_norm: this name is taken; choose another"


def test_figures_over_layers_are_refused_without_any() -> None:
    (complaint,) = complaints_of(neox(layers=[BEFORE_FINAL_NORM], figures={"dynamics": {}}))
    assert complaint.startswith("figures: dynamics show layers, but this sweep measures none")
