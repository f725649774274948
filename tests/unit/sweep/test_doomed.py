"""What could never be run is told in planning: names, numbers and families that there are not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from builders.sweeps import complaints_of, sweep_of
from idsweep.models.config_bounds import MOST_LAYERS
from idsweep.models.families import model_types, wrong_model_type
from safetensors.numpy import save_file

SWEEP = {
    "sweep": "s",
    "models": {"minilm": {"layers": [1]}},
    "datasets": ["lee_news"],
    "figures": {},
    "tokens": {"max_length": 32},
}
HUB = {"hub": "a/b", "kind": "causal", "layers": 2}
TRAINED = {
    "kind": "causal",
    "train": "language_model",
    "architecture": {"model_type": "gpt_neox", "num_hidden_layers": 2, "max_position_embeddings": 128},
    "tokenizer": {"vocabulary_size": 300},
    "checkpoints": "step{0,10}",
    "training": {"dataset": "lee_news", "steps": 10, "batch_size": 4, "sequence_length": 32},
}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"hub": "a/../b"}, ".hub: 'a/../b' is no id on the hub"),
        ({"hub": "a/b-{seed}/..", "seeds": [1]}, ".hub: 'a/b-{seed}/..' is no id"),
        ({"revision": "main\nx"}, ".revision: 'main\\nx' is no revision"),
        ({"checkpoints": {"a b": 1}}, ".checkpoints: 'a b' is no revision"),
    ],
)
def test_names_of_models_on_the_hub(entry: dict[str, Any], told: str) -> None:
    catalog = {"models": {"m": HUB | entry}}
    assert any(told in line for line in complaints_of(SWEEP | {"models": {"m": {}}, "catalog": catalog}))


def test_an_id_with_a_seed_in_it_is_taken() -> None:
    entry = HUB | {"hub": "a/b-seed{seed}", "seeds": [1, 2]}
    assert len(sweep_of(SWEEP | {"models": {"m": {}}, "catalog": {"models": {"m": entry}}}).models) == 2


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"hub": "a/../b"}, "hub: 'a/../b' is no id"),
        ({"hub": "a/b", "revision": "main\n"}, "revision: 'main\\n' is no revision"),
        ({"hub": "a/b", "template": "{text:99999999999}"}, "up to a width of 10,000; it asks for {text:99999999999}"),
        ({"hub": "a/b", "template": "{text:.99999}"}, "up to a width of 10,000"),
        ({"hub": "a/b", "template": "{text:{width}99999}"}, "it asks for {text:{width}99999}"),
        ({"hub": "a/b", "template": "{text.__class__}"}, "it asks for {text.__class__}"),
    ],
)
def test_datasets(entry: dict[str, Any], told: str) -> None:
    catalog = {"datasets": {"d": {"loader": "hub"} | entry}}
    assert any(told in line for line in complaints_of(SWEEP | {"datasets": ["d"], "catalog": catalog}))


@pytest.mark.parametrize(
    "template", ["{a} {b}", "{a:>10}", "{a!r:.5}", "{a[0]}", "{{a}} {b}", "{a:{width}}", "{date.year}"]
)
def test_other_templates_are_taken(template: str) -> None:
    catalog = {"datasets": {"d": {"loader": "hub", "hub": "a/b", "template": template}}}
    assert sweep_of(SWEEP | {"datasets": ["d"], "catalog": catalog})


@pytest.mark.parametrize(
    ("architecture", "training", "told"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, {}, "num_attention_heads: 4 heads cannot share a width of 30"),
        ({"model_type": "gpt2", "n_embd": 30, "n_head": 4}, {}, "n_head: 4 heads cannot share a width of 30"),
        ({"num_attention_heads": 0}, {}, "num_attention_heads: 0 is out of range"),
        ({"model_type": "gpt_neoxx"}, {}, "model_type: 'gpt_neoxx' is no model_type .* did you mean 'gpt_neox'"),
        ({"num_hidden_layers": 40_000}, {}, "num_hidden_layers: 40000 is out of range"),
        ({"hidden_size": 10**12}, {}, "hidden_size: 1000000000000 is out of range"),
        ({}, {"batch_size": 10**12}, "training.batch_size: 1000000000000 is out of range"),
    ],
)
def test_models_to_be_trained(architecture: dict[str, Any], training: dict[str, Any], told: str) -> None:
    entry = TRAINED | {
        "architecture": TRAINED["architecture"] | architecture,
        "training": TRAINED["training"] | training,
    }
    lines = complaints_of(SWEEP | {"models": {"m": {}}, "catalog": {"models": {"m": entry}}})
    with pytest.raises(AssertionError, match=told):
        raise AssertionError("\n".join(lines))


def test_a_family_with_heads_of_their_own_width_is_taken() -> None:
    architecture = TRAINED["architecture"] | {"hidden_size": 30, "num_attention_heads": 4, "head_dim": 8}
    entry = TRAINED | {"architecture": architecture | {"model_type": "llama"}}
    assert sweep_of(SWEEP | {"models": {"m": {}}, "catalog": {"models": {"m": entry}}})


def test_families_are_those_of_transformers() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert set(CONFIG_MAPPING_NAMES) <= model_types()
    assert wrong_model_type("gpt2") is None
    assert "did you mean 'gpt2'" in wrong_model_type("GPT-2")
    assert wrong_model_type(None) and wrong_model_type(["gpt2"])


def local(folder: Path, **config: Any) -> dict[str, Any]:
    folder.mkdir()
    shape = {"model_type": "gpt2", "n_layer": 2, "n_embd": 4, "n_head": 2}
    (folder / "config.json").write_text(json.dumps(shape | config))
    save_file({}, folder / "model.safetensors")
    entry = {"path": str(folder), "kind": "causal", "tokenizer": {"of": "minilm"}}
    return SWEEP | {"models": {"m": {"layers": "all"}}, "catalog": {"models": {"m": entry}}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "nonsense"}, "'nonsense' is no model_type"),
        ({"n_layer": 40_000}, "n_layer: 40000, more than any model has"),
        ({"attn_implementation": "somebody/kernel"}, "would look for such code on the hub"),
        ({"model_type": "roberta", "max_position_embeddings": 40, "pad_token_id": -1}, "pad_token_id: -1, but models of type roberta"),
    ],
)  # fmt: skip
def test_folders(tmp_path: Path, config: dict[str, Any], told: str) -> None:
    assert any(told in line for line in complaints_of(local(tmp_path / "m", **config)))


def test_as_many_layers_as_there_may_be_are_planned_soon(tmp_path: Path) -> None:
    begun = time.process_time()
    assert sweep_of(local(tmp_path / "m", n_layer=MOST_LAYERS)).models["m"].depth == MOST_LAYERS
    assert time.process_time() - begun < 10


def test_positions_of_minus_one_are_no_limit(tmp_path: Path) -> None:
    """As XLNet's."""
    assert sweep_of(local(tmp_path / "m", max_position_embeddings=-1)).models["m"].positions is None


def test_both_names_of_one_path_are_told() -> None:
    for kind, names in (("models", ("模 型", "模/型")), ("datasets", ("新闻 1", "新闻/1"))):
        entries = {name: HUB if kind == "models" else {"loader": "hub", "hub": "a/b"} for name in names}
        chosen = dict.fromkeys(names) if kind == "models" else list(names)
        (told,) = complaints_of(SWEEP | {kind: chosen, "catalog": {kind: entries}})
        assert all(repr(name) in told for name in names)
