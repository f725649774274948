"""Local checkpoints that hold the same weights are told when the workflow is read; other files beside them do not matter."""

from __future__ import annotations

import shutil
from pathlib import Path

from builders.model_folders import MINILM, save_adapter, save_neox
from builders.sweeps import graph_of, of_entry, sweep_of
from idsweep.files.packages import path_in_package
from idsweep.workflow.same_weights import in_folders


def add_tokenizer(folder: Path) -> None:
    shutil.copy(path_in_package(*MINILM) / "tokenizer.json", folder / "tokenizer.json")


def said_of(entry: dict, folder: Path, others: dict | None = None) -> str:
    sweep = sweep_of(of_entry(entry, others))
    return in_folders(sweep, graph_of(sweep, folder))


def test_whole_models(tmp_path: Path) -> None:
    first = save_neox(tmp_path / "run/checkpoint-1")
    add_tokenizer(first)
    shutil.copytree(first, tmp_path / "run/checkpoint-2")
    config = tmp_path / "run/checkpoint-2/config.json"
    config.write_text(config.read_text().replace("{", '{"note": "",', 1))
    entry = {"path": str(tmp_path / "run"), "kind": "causal", "checkpoints": "checkpoint-*"}
    assert said_of(entry, tmp_path) == "mine @ checkpoint-2 has the weights of checkpoint-1, byte for byte"
    weights = tmp_path / "run/checkpoint-2/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert said_of(entry, tmp_path) == ""


def test_adapters_whose_settings_are_the_same_and_whose_weights_are_not(tmp_path: Path) -> None:
    base = save_neox(tmp_path / "base")
    add_tokenizer(base)
    first = save_adapter(tmp_path / "run/checkpoint-1")
    shutil.copytree(first, tmp_path / "run/checkpoint-2")
    others = {"below": {"path": str(base), "kind": "causal"}}
    entry = {"path": str(tmp_path / "run"), "kind": "causal", "base": "below", "checkpoints": "checkpoint-*"}
    assert "mine @ checkpoint-2 has the weights of checkpoint-1" in said_of(entry, tmp_path, others)
    weights = tmp_path / "run/checkpoint-2/adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert said_of(entry, tmp_path, others) == ""
