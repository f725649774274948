"""What goes into the norm behind the last block is a representation of its own, in every family that has such a norm."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import transformers
from builders.project import PROJECT
from builders.tiny_models import FAMILIES, LAYERS, assert_close, extract, plain_loop, tables, tiny
from idsweep.files.representations import BEFORE_FINAL_NORM
from idsweep.models import equation_decoder  # noqa: F401 (makes it known to transformers)
from idsweep.models.families import WITHOUT_FINAL_NORM
from transformers import AutoConfig, AutoModel

NORMS = {
    "bloom": "ln_f",
    "gpt2": "ln_f",
    "gpt_neox": "final_layer_norm",
    "modernbert": "final_norm",
    "opt": "decoder.final_layer_norm",
    "phi": "final_layernorm",
    "t5": "final_layer_norm",
} | dict.fromkeys(
    (
        "cohere",
        "gemma2",
        "gemma3_text",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "qwen2",
        "qwen3",
        "smollm3",
    ),
    "norm",
)
TABLE = re.compile(r"^\| (`[^|]+`) \| (.+?) \|", re.MULTILINE)  # of docs/models.md
SIZES = {  # value -> keys that families call by it
    32: "hidden_size d_model n_embd emb_dim dim embedding_size word_embed_proj_dim",
    3: "num_hidden_layers encoder_layers num_layers num_encoder_layers n_layer n_layers",
    4: "num_attention_heads encoder_attention_heads decoder_attention_heads n_head n_heads num_heads rotary_dim state_size",
    48: "intermediate_size encoder_ffn_dim decoder_ffn_dim ffn_dim hidden_dim d_inner d_ff n_inner",
    8: "head_dim d_kv sliding_window",
    1: "decoder_layers num_decoder_layers num_decoder_layer",
    2: "num_key_value_heads num_local_experts num_experts",
    40: "max_position_embeddings n_positions",
    99: "vocab_size",
}


def families(layer: str) -> list[str]:
    """The families of which docs/models.md says this of the last layer."""
    text = (PROJECT / "docs/models.md").read_text()
    rows = TABLE.findall(text[text.index("| `model_type` | layer -1 |") :].partition("\n\n")[0])
    return [
        name for names, said in rows if layer in said for name in re.findall("`([^`]+)`", names) if name != "model_type"
    ]


def small(model_type: str) -> torch.nn.Module:
    """A model of any family; of an encoder-decoder the encoder."""
    default = AutoConfig.for_model(model_type)
    known = set(default.to_dict()) | set(default.attribute_map)
    sizes = {key: value for value, keys in SIZES.items() for key in keys.split() if key in known}
    own = {default.attribute_map.get(key, key): value for key, value in sizes.items()}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **own, **special)).eval()
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


@pytest.mark.parametrize("model_type", NORMS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_norm_makes_the_last_layer_of_it(model_type, side):
    model, (points, sequences) = tiny(model_type), tables(mean=True)
    options = {"before_final_norm": True, "batch_tokens": 200, "padding_side": side}
    found, _ = extract(model, points, sequences, **options)
    expected, _ = plain_loop(model, points, sequences)
    assert_close({layer: found[layer] for layer in LAYERS}, expected)
    of_tokens = [row for row, position in enumerate(points["position"].to_pylist()) if position >= 0]
    norm = model.base_model.get_submodule(NORMS[model_type])
    with torch.no_grad():
        last = norm(torch.from_numpy(found[BEFORE_FINAL_NORM][of_tokens])).numpy()
    assert_close({3: last}, {3: expected[3][of_tokens]})
    assert not norm._forward_hooks and not norm._forward_pre_hooks


def test_it_is_given_alone_under_masks_and_beside_losses():
    model, (points, sequences) = tiny("modernbert"), tables()
    options = {"before_final_norm": True, "masked": True, "mask_token": 3, "losses": True}
    found, losses = extract(model, points, sequences, layers=[], **options)
    with torch.no_grad():
        last = model.base_model.final_norm(torch.from_numpy(found[BEFORE_FINAL_NORM])).numpy()
    expected, predicted = plain_loop(model, points, sequences, masked=True)
    assert_close({3: last}, {3: expected[3]})
    assert losses.tokens["log_probability"].to_numpy() == pytest.approx(predicted, abs=1e-5)


def test_it_is_what_it_is_where_the_last_layer_is_before_the_norm():
    model = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=99
        )
    ).eval()
    points, sequences = tables()
    found, _ = extract(model, points, sequences, layers=[2], before_final_norm=True)
    assert_close({2: found[BEFORE_FINAL_NORM]}, {2: found[2]})


@pytest.mark.parametrize("model_type", sorted(FAMILIES.keys() - NORMS.keys()))
def test_a_model_without_a_final_norm_is_refused(model_type):
    with pytest.raises(ValueError, match=r"^layers: before_final_norm: \w+ has no norm behind its last block.*\(-1\)"):
        extract(tiny(model_type), *tables(3), before_final_norm=True)


@pytest.mark.parametrize("model_type", families("after"))
def test_the_last_layer_is_after_the_norm_in_the_families_of_the_docs(model_type):
    model, (points, sequences) = small(model_type), tables(3, longest=6)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    found, _ = extract(model, points, sequences, layers=[3], before_final_norm=True)
    assert_close({3: found[3]}, plain_loop(model, points, sequences, layers=[3])[0])
    assert np.abs(found[3] - found[BEFORE_FINAL_NORM]).max() > 0.01


@pytest.mark.parametrize("model_type", families("last block"))
def test_families_without_a_final_norm_are_those_of_the_docs(model_type):
    assert model_type in WITHOUT_FINAL_NORM
    with pytest.raises(ValueError, match="has no norm behind its last block"):
        extract(small(model_type), *tables(3, longest=6), layers=[1], before_final_norm=True)


def test_the_docs_name_all_families_that_are_refused_before_anything_runs():
    assert set(families("last block")) == WITHOUT_FINAL_NORM
    assert len(families("after")) > 40
