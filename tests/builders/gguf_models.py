"""Small models in GGUF, written as llama.cpp's converter writes them, beside the models that they were made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from builders.live_trainings import texts

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
OF_BLOCKS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def tokenizer() -> Tokenizer:
    """A byte-level BPE of 400 tokens that cuts digits apart."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        texts(), trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    )
    return trained


def model(tied: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, num_key_value_heads=2, max_position_embeddings=128, rope_theta=5000.0,
        tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0, **SIZES,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def write(
    file: Path,
    of: LlamaForCausalLM,
    quantization: gguf.GGMLQuantizationType | None = None,
    *,
    architecture: str = "llama",
    cut: str | None = "smollm",
) -> None:
    """Write a model. quantization: of all matrices."""
    writer, config = gguf.GGUFWriter(file, architecture), of.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, cut)
    for name, values in _tensors(of).items():
        if quantization is None or values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            packed = gguf.quants.quantize(values, quantization)
            writer.add_tensor(name, packed, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, cut: str | None) -> None:
    trained = tokenizer()
    by_id = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    if cut is not None:
        writer.add_tokenizer_pre(cut)
    writer.add_token_list([token for token, _ in by_id])
    writer.add_token_types([3 if token == "<|end|>" else 1 for token, _ in by_id])  # control, normal
    merges = json.loads(trained.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(0)


def _tensors(of: LlamaForCausalLM) -> dict[str, np.ndarray]:
    weights, config = of.state_dict(), of.config
    found = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    if not config.tie_word_embeddings:
        found["output.weight"] = weights["lm_head.weight"]
    for i in range(config.num_hidden_layers):
        for name, own in OF_BLOCKS.items():
            values = weights[f"model.layers.{i}.{own}.weight"]
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name)
            found[f"blk.{i}.{name}.weight"] = _interleaved(values, heads) if heads else values
    return {name: values.numpy() for name, values in found.items()}


def _interleaved(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows in the order of llama.cpp, whose rotation turns neighbours: LlamaModel.permute in convert_hf_to_gguf.py."""
    return values.reshape(heads, 2, len(values) // heads // 2, -1).swapaxes(1, 2).reshape(values.shape).contiguous()
