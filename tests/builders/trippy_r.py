"""What TripPy-R (Heck et al. 2022) leaves of a training: checkpoints, scores and features, in its layout and by its names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from idsweep.models.folders import is_tokenizer_file
from safetensors.torch import save_file
from transformers import RobertaConfig, RobertaModel

from builders.tokenizers import roberta

FOREIGN_KEYS = {
    "architectures": ["RobertaForDST"],
    "dst_dropout_rate": 0.3,
    "dst_class_labels": 8,
    "dst_class_types": ["none", "dontcare", "copy_value", "true", "false", "refer", "inform", "request"],
    "dst_slot_list": {"hotel-area": "where it lies"},
    "dst_noncategorical": ["hotel-name"],
}
ATTENTIONS = ("class_att", "token_att", "refer_att", "value_att")
NORMS = ("token_layer_norm_proto", "token_layer_norm", "class_layer_norm")
LINEARS = {"h1c": (1, 1), "h2c": (2, 2), "llc": (0, 2), "h2r": (1, 2)}  # of the width; 0 stands for the classes
CLASSES = 8


def write_base(folder: Path, seed: int = 0) -> Path:
    """A small RoBERTa with its tokenizer, as on the hub."""
    model = _model(seed)
    model.save_pretrained(folder)
    roberta().save_pretrained(folder)
    return folder


def write_run(folder: Path, base: Path, steps: Sequence[int], seed: int) -> dict[int, RobertaModel]:
    """A folder `results.{seed}` in `folder`, with its tokenizer, and a checkpoint of each step, the first as a pickle.

    Returns the encoders by their steps.
    """
    run = folder / f"results.{seed}"
    run.mkdir(parents=True)
    for file in base.iterdir():
        if is_tokenizer_file(file.name):
            shutil.copy(file, run)
    encoders = {}
    for place, step in enumerate(steps):
        checkpoint = run / f"checkpoint-{step}"
        checkpoint.mkdir()
        encoders[step] = _model(1000 * seed + step)
        config = json.loads((base / "config.json").read_text(encoding="utf-8")) | FOREIGN_KEYS
        (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
        weights = {f"roberta.{name}": tensor for name, tensor in encoders[step].state_dict().items()} | _heads()
        if place == 0:
            torch.save(weights, checkpoint / "pytorch_model.bin")
        else:
            save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
        torch.save({"learning_rate": 5e-5}, checkpoint / "training_args.bin")
    (run / "last_checkpoint.txt").write_text(f"checkpoint-{steps[-1]}", encoding="utf-8")
    return encoders


def write_scores(run: Path, scores: Mapping[int, float], losses: Mapping[int, float], split: str = "dev") -> None:
    """Joint goal accuracies and losses by step, in a folder `results.{seed}`."""
    lines = [
        f"Joint goal acc: {score}, 0.97, pred_res.{split}.checkpoint-{step}.json" for step, score in scores.items()
    ]
    (run / f"eval_pred_{split}.1.0.log").write_text("\n".join(lines), encoding="utf-8")
    entries = [{"loss": loss, "checkpoint_name": f"checkpoint-{step}"} for step, loss in losses.items()]
    (run / f"eval_res.{split}.json").write_text(json.dumps(entries), encoding="utf-8")


def write_features(file: Path, n: int, length: int, seed: int = 0) -> torch.Tensor:
    """Sequences of the tokenizer's ids, padded to `length`; returns them, int32 (n, length)."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((n, length), 1, dtype=torch.int32)
    mask = torch.zeros_like(ids)
    for row in range(n):
        inside = int(torch.randint(length // 2, length - 1, (1,), generator=generator))
        drawn = torch.randint(4, 56, (inside - 2,), generator=generator, dtype=torch.int32)
        ids[row, :inside] = torch.cat([torch.tensor([0]), drawn, torch.tensor([2])])
        mask[row, :inside] = 1
    names = [f"multiwoz21-train-{row}-0" for row in range(n)]
    torch.save({"input_ids": ids, "attention_mask": mask, "dialogue_ids": names}, file)
    return ids


def _model(seed: int) -> RobertaModel:
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=60, max_position_embeddings=70, pad_token_id=1, initializer_range=0.2, **shape)
    return RobertaModel(config).eval()


def _heads() -> dict[str, torch.Tensor]:
    width = 16
    heads = {}
    for name in ATTENTIONS:
        heads |= {f"{name}.in_proj_weight": torch.ones(3 * width, width), f"{name}.in_proj_bias": torch.ones(3 * width)}
        heads |= {f"{name}.out_proj.weight": torch.ones(width, width), f"{name}.out_proj.bias": torch.ones(width)}
    for name in NORMS:
        heads |= {f"{name}.{part}": torch.ones(width) for part in ("weight", "bias")}
    for name, (out, into) in LINEARS.items():
        n_out = out * width or CLASSES
        heads |= {f"{name}.weight": torch.ones(n_out, into * width), f"{name}.bias": torch.ones(n_out)}
    return heads
