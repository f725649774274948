"""Configs from elsewhere ask for nothing that takes for ever, and for no code: each bound with a message."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.model_folders import save_adapter, save_model, save_neox
from idsweep.models.adapter_bounds import check_adapter
from idsweep.models.checkpoints import load_model
from idsweep.models.config_bounds import MOST_LAYERS
from idsweep.models.folders import adapter_files, check_code, read_architecture, read_config, weight_files
from transformers import AutoModelForMaskedLM

# Where the tests make adapters.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
NAMES = [f"model.layers.{i}.self_attention.query_projection" for i in range(3)]
ENDLESS = r"(([a-z_.0-9]+)+)+!"


def folder_with(folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    shape = {"model_type": "gpt_neox", "num_hidden_layers": 2, "hidden_size": 4}
    (folder / "config.json").write_text(json.dumps(shape | config))
    return folder


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"num_hidden_layers": 40_000}, "num_hidden_layers: 40000"),
        ({"n_layer": 200_000}, "n_layer: 200000"),
        ({"text_config": {"num_layers": 10**9}}, "text_config.num_layers: 1000000000"),
        ({"num_labels": 10**9}, "num_labels"),
        ({"num_local_experts": 10**8}, "num_local_experts"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings"),
        ({"hidden_size": 10**100}, "hidden_size"),
    ],
)
def test_numbers_that_no_model_has_are_told_by_their_key(tmp_path: Path, config: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"config.json says {key}") + ".*more than any model has"):
        read_architecture(folder_with(tmp_path, **config))


def test_numbers_that_models_have_are_taken(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 1000,
        "num_labels": 670_091,
        "max_position_embeddings": 10_485_760,
        "eos_token_id": -1,
    }
    assert read_architecture(folder_with(tmp_path, **config, rope_theta=1e30)).layers == 1000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100 + "1" + "}" * 100])
def test_a_config_that_is_too_deep_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json (is not readable JSON|holds configs within configs)"):
        read_config(tmp_path)


def test_a_config_of_more_layers_than_the_files_hold_takes_no_time(tmp_path: Path) -> None:
    neox = save_neox(tmp_path)
    saved = json.loads((neox / "config.json").read_text())
    (neox / "config.json").write_text(json.dumps(saved | {"num_hidden_layers": MOST_LAYERS}))
    with pytest.raises(ValueError, match=r"asks for more than 2,160 weights, many more than its files hold"):
        load_model(neox, kind="causal")


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel@main:function"},
        {"_attn_implementation_internal": "kernels-community/flash-attn2"},
        {"text_config": {"_attn_implementation": "somebody/kernel"}},
        {"attn_implementation": {"": "eager", "text_config": "somebody/kernel"}},
        {"experts_implementation": "sonicmoe"},
        {"attn_implementation": ["somebody/kernel"]},
        {"attn_implementation": 3},
    ],
)
def test_code_from_the_hub_is_not_asked_for(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"implementation.*known are eager.* would look for such code on the hub and run it"
    ):
        check_code(folder_with(tmp_path, **config))


@pytest.mark.parametrize("name", ["eager", "sdpa", "flex_attention", None])
def test_attention_of_transformers_itself_passes(tmp_path: Path, name: str | None) -> None:
    check_code(folder_with(tmp_path, _attn_implementation=name))


def test_attention_whose_package_is_absent_would_come_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, attn_implementation="flash_attention_2")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="the package flash_attn is not installed"):
        check_code(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    check_code(folder)


def test_a_kernel_is_refused_where_models_are_loaded_unless_code_is_trusted(tmp_path: Path) -> None:
    neox = save_neox(tmp_path)
    saved = json.loads((neox / "config.json").read_text())
    (neox / "config.json").write_text(json.dumps(saved | {"attn_implementation": "somebody/kernel"}))
    with pytest.raises(ValueError, match="would look for such code on the hub"):
        load_model(neox, kind="causal")
    with pytest.raises(ValueError, match="has no model of kind causal"):  # there is no such kernel
        load_model(neox, kind="causal", trust_remote_code=True)


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_folder(path: Path) -> None:
    path.mkdir()


def as_lost_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("make", [as_pipe, as_device, as_folder, as_lost_link])
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"]
)
def test_what_is_no_file_is_not_read(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    folder_with(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is not a file: it (is a|leads)"):
        weight_files(tmp_path)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_nor_of_an_adapter(tmp_path: Path, name: str) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / name).unlink(missing_ok=True)
    as_pipe(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is not a file"):
        adapter_files(tmp_path)


@pytest.mark.parametrize(("name", "what"), [("model.Q4_K_M.gguf", "llama.cpp"), ("tf_model.h5", "TensorFlow")])
def test_weights_of_other_programs_are_named(tmp_path: Path, name: str, what: str) -> None:
    (folder_with(tmp_path) / name).touch()
    with pytest.raises(ValueError, match=rf"It has {re.escape(name)}, weights for {what}.*or convert it"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        {"target_modules": ENDLESS},
        {"rank_pattern": {ENDLESS: 4}},
    ],
)
def test_a_pattern_without_end_is_named(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idsweep.models.patterns.SECONDS", 1)
    with pytest.raises(ValueError, match=f"its {next(iter(said))} holds the pattern .* does not come to an end"):
        check_adapter({"target_parameters": ["a|b"], **said}, NAMES)


def test_a_pattern_without_end_in_a_quantisation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idsweep.models.patterns.SECONDS", 1)
    neox = save_neox(tmp_path)
    saved = json.loads((neox / "config.json").read_text())
    quantization = {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", ENDLESS]}
    (neox / "config.json").write_text(json.dumps(saved | {"quantization_config": quantization}))
    with pytest.raises(ValueError, match=r"config\.json: its quantization_config holds the pattern"):
        load_model(neox, kind="causal")


@pytest.mark.parametrize(
    "said",
    [
        {"target_modules": r".*\.layers\.[0-2]\..*(query|value)_projection", "rank_pattern": {"^model.*": 3}},
        {"target_modules": ["query_projection"], "r": 64, "layer_replication": None},
        {"target_modules": "("},  # PEFT says what is wrong
    ],
)
def test_other_adapters_pass(said: dict[str, Any]) -> None:
    check_adapter(said, NAMES)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"layer_replication": [[0, 10**9]]}, "layer_replication: it repeats blocks"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "megatron_config: .* import a module"),
        ({"peft_type": "XLORA", "adapters": {"a": "somebody/adapter"}}, "adapters: it names further adapters"),
        ({"r": 10**9}, "r: 1000000000, more than any layer is wide"),
        ({"rank_pattern": {"a": 10**9}}, "rank_pattern.a: 1000000000"),
    ],
)
def test_what_no_adapter_needs_is_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_adapter(said, NAMES)


def test_an_adapter_is_looked_at_before_it_is_merged(tmp_path: Path) -> None:
    neox, adapter = save_neox(tmp_path / "neox"), save_adapter(tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_replication": [[0, 3], [0, 3]]}))
    with pytest.raises(ValueError, match=r"cannot be merged into the model .*: it has layer_replication"):
        load_model(neox, kind="causal", adapter=adapter)


@pytest.mark.parametrize("pad", [-1, 40, 10**6])
def test_a_padding_token_that_no_embedding_has_is_none(tmp_path: Path, pad: int) -> None:
    neox = save_neox(tmp_path)
    ids = torch.arange(6)[None]
    expected = load_model(neox, kind="causal")(ids).logits
    saved = json.loads((neox / "config.json").read_text())
    (neox / "config.json").write_text(json.dumps(saved | {"pad_token_id": pad}))
    model = load_model(neox, kind="causal")
    assert model.config.pad_token_id is None
    torch.testing.assert_close(model(ids).logits, expected, rtol=0, atol=0)


def test_a_family_that_counts_positions_from_padding_needs_it(tmp_path: Path) -> None:
    shape = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 40,
    }
    save_model(tmp_path, AutoModelForMaskedLM, "roberta", max_position_embeddings=20, **shape)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert read_architecture(tmp_path).positions == 18
    for pad in (-1, None, 40):
        (tmp_path / "config.json").write_text(json.dumps(saved | {"pad_token_id": pad}))
        for look in (read_architecture, lambda folder: load_model(folder, kind="masked")):
            with pytest.raises(ValueError, match=r"pad_token_id: .*count positions from that token"):
                look(tmp_path)
