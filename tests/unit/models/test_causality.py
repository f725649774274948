"""Models of kind causal see no later token, those of kind masked do."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from builders.tiny_models import CAUSAL, VOCABULARY, tiny
from idsweep.models.causality import sees_later_tokens
from idsweep.models.checkpoints import load_model
from transformers import AutoConfig, AutoModelForCausalLM

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
# Masked checkpoints, with what each needs beside the shape, that have a head for predicting the next token.
ALSO_CAUSAL = {
    "bert": {},
    "bert-generation": {},
    "camembert": {},
    "data2vec-text": {},
    "electra": {"embedding_size": 32},
    "ernie": {},
    "megatron-bert": {},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roberta": {},
    "roberta-prelayernorm": {},
    "roformer": {"embedding_size": 32},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4},
    "xlm-roberta": {},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def causal(model_type: str, **settings) -> torch.nn.Module:
    shape = {} if model_type in ("xlm", "xlnet") else SHAPE
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type, **(shape | ALSO_CAUSAL[model_type] | {"vocab_size": VOCABULARY} | settings)
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("model_type", ALSO_CAUSAL)
def test_masked_families_see_later_tokens_with_a_causal_head_as_well(model_type):
    assert sees_later_tokens(causal(model_type))  # with the small weights that it is initialised with


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model_type", CAUSAL)
def test_causal_families_do_not(model_type, dtype):
    assert not sees_later_tokens(tiny(model_type).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model_type", ["bert", "convbert", "modernbert", "roberta"])
def test_masked_families_do_in_any_dtype(model_type, dtype):
    assert sees_later_tokens(tiny(model_type).to(dtype))


def test_a_masked_checkpoint_is_refused_as_causal_and_a_decoder_as_masked(tmp_path):
    causal("bert").save_pretrained(tmp_path / "masked")
    load_model(tmp_path / "masked", kind="masked")
    with pytest.raises(
        ValueError,
        match=r"masked: BertLMHeadModel sees later tokens, .* names BertLMHeadModel\. Use kind masked or encoder",
    ):
        load_model(tmp_path / "masked", kind="causal")
    decoder = causal("bert", is_decoder=True)
    decoder.save_pretrained(tmp_path / "decoder")
    ids = torch.arange(6)[None]
    assert torch.equal(load_model(tmp_path / "decoder", kind="causal")(ids).logits, decoder(ids).logits)
    with pytest.raises(ValueError, match=r"BertForMaskedLM sees no later tokens, .*`is_decoder: false`"):
        load_model(tmp_path / "decoder", kind="masked")
    load_model(tmp_path / "decoder", kind="encoder")


def test_a_model_of_few_positions_and_few_tokens_is_tried_within_them():
    config = AutoConfig.for_model("gpt2", n_embd=16, n_layer=1, n_head=2, vocab_size=3, n_positions=4, eos_token_id=2)
    assert not sees_later_tokens(AutoModelForCausalLM.from_config(config).eval())
    config = AutoConfig.for_model("bert", vocab_size=4, max_position_embeddings=3, **SHAPE)
    assert sees_later_tokens(transformers.BertLMHeadModel(config).eval())


def test_what_needs_more_than_token_ids_is_told(tmp_path):
    config = AutoConfig.for_model("xmod", vocab_size=VOCABULARY, languages=["en"], **SHAPE)
    transformers.XmodForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"XmodForMaskedLM cannot be run on token ids alone, .*Input language unknown"):
        load_model(tmp_path, kind="masked")


def test_bigbird_chooses_its_attention_at_each_call(tmp_path):
    shape = SHAPE | {
        "block_size": 2,
        "num_random_blocks": 1,
        "attention_type": "block_sparse",
        "vocab_size": VOCABULARY,
    }
    torch.manual_seed(0)
    fresh = transformers.BigBirdModel(AutoConfig.for_model("big_bird", **shape)).eval()
    fresh.save_pretrained(tmp_path)
    long = torch.randint(4, VOCABULARY, (1, 40))
    with torch.no_grad():
        expected = fresh(long)[0]
        loaded = load_model(tmp_path, kind="encoder")
        loaded(long[:, :6])
        torch.testing.assert_close(loaded(long)[0], expected, rtol=0, atol=0)
        fresh(long[:, :6])
        assert not torch.allclose(fresh(long)[0], expected, atol=1e-5)
    assert json.loads((tmp_path / "config.json").read_text())["attention_type"] == "block_sparse"


def test_a_model_of_sequences_of_one_length_says_so(tmp_path):
    shape = SHAPE | {"segment_means_seq_len": 64, "num_landmarks": 8, "vocab_size": VOCABULARY}
    transformers.NystromformerForMaskedLM(AutoConfig.for_model("nystromformer", **shape)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"takes sequences of exactly 64 tokens \(segment_means_seq_len"):
        load_model(tmp_path, kind="masked")
