"""Layers are vectors of one width, one for each token, and as many as the config says; what is else is refused with what it is."""

from __future__ import annotations

import logging

import pytest
import torch
import transformers
from builders.tiny_models import LONGEST, VOCABULARY, assert_close, extract, plain_loop, tables, tiny
from idsweep.models.attention import choose_anew
from transformers import AutoConfig, AutoModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}


def made(model_type: str, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type, **({"vocab_size": VOCABULARY, "max_position_embeddings": LONGEST} | settings)
    )
    auto = transformers.FunnelModel._from_config if model_type == "funnel" else AutoModel.from_config  # it has two
    return auto(config).eval()


def test_opt_of_two_widths_is_refused_but_for_layers_of_one():
    model = tiny("opt", word_embed_proj_dim=16).model
    points, sequences = tables()
    with pytest.raises(
        ValueError,
        match=r"OPTModel gives layers 0, 1, 2 of shape \(1, 8, 32\); layer 3 of shape \(1, 8, 16\) for 1 x 8 tokens, .*"
        r"the 16 of its embedding matrix \(word_embed_proj_dim\)\. Measure layers of one width alone \(`layers`",
    ):
        extract(model, points, sequences)
    for layers in ([0, 1, 2], [3]):
        found, _ = extract(model, points, sequences, layers=layers)
        assert_close(found, plain_loop(model, points, sequences, layers=layers)[0])


def test_stacks_of_gemma_3n_are_refused():
    settings = SHAPE | {"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 8, "num_kv_shared_layers": 0}
    model = made(
        "gemma3n_text",
        **settings,
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=VOCABULARY,
        laurel_rank=4,
        layer_types=["sliding_attention", "full_attention"] * 2,
        activation_sparsity_pattern=[0.0] * 4,
    )
    with pytest.raises(
        ValueError, match=r"layers 0, 1, 2, 3, 4 of shape \(4, 1, 8, 32\) for .*several vectors for each token"
    ):
        extract(model, *tables(), layers=None)


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        (
            "funnel",
            {"block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48},
            "FunnelModel gives",
        ),
        (
            "bart",
            {"d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4},
            "0 hidden states, .*kind encoder-decoder",
        ),
    ],
)
def test_what_has_no_layer_for_each_block_is_refused(model_type, settings, message):
    with pytest.raises(ValueError, match=message):
        extract(made(model_type, **settings), *tables(), layers=None)


def test_a_number_of_layers_that_is_not_the_config_s_is_refused():
    model = made("bert", **SHAPE)
    model.config.num_hidden_layers = 5
    with pytest.raises(
        ValueError, match=r"BertModel gives 4 hidden states, but its config has 5 blocks \(num_hidden_layers\)"
    ):
        extract(model, *tables())


def test_sequences_that_are_padded_inside_are_refused_and_others_are_measured():
    shape = SHAPE | {"block_size": 2, "num_random_blocks": 1, "attention_type": "block_sparse"}
    model = made("big_bird", **shape)
    choose_anew(model)
    points, sequences = tables(8)
    lengths = [len(ids) for ids in sequences["input_ids"].to_pylist()]
    assert any(length > 14 and length % 2 for length in lengths)
    with pytest.raises(ValueError, match=r"BigBirdModel gives .*It pads or pools sequences inside"):
        extract(model, points, sequences)
    model = made("big_bird", **(shape | {"attention_type": "original_full"}))
    assert_close(extract(model, points, sequences)[0], plain_loop(model, points, sequences)[0])


def test_a_family_that_gives_all_layers_or_none_gives_those_that_are_asked_for():
    chunk = {"local_attn_chunk_length": 8, "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16]}
    model = made(
        "reformer",
        hidden_size=32,
        attn_layers=["local"] * 2,
        attention_head_size=8,
        num_attention_heads=4,
        feed_forward_size=48,
        is_decoder=False,
        **(chunk | {"max_position_embeddings": 64}),
    )
    points, sequences = tables(5, longest=8)
    found, _ = extract(model, points, sequences, layers=[1])
    assert_close(found, plain_loop(model, points, sequences, layers=[1])[0])


class WithoutAttention(transformers.BertModel):
    """Looks at each token alone, with all of its weights."""

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.encoder.layer = torch.nn.ModuleList(torch.nn.Linear(32, 32) for _ in range(3))

    def forward(self, input_ids, **_):
        states = [self.embeddings(input_ids)]
        for layer in self.encoder.layer:
            states.append(torch.tanh(layer(states[-1])))
        return BaseModelOutputWithPooling(states[-1], self.pooler(states[-1]), tuple(states))


def test_attention_that_does_not_work_is_told_from_none():
    points, sequences = tables()
    model = WithoutAttention(transformers.BertConfig(vocab_size=VOCABULARY, **SHAPE)).eval()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    assert_close(extract(model, points, sequences)[0], plain_loop(model, points, sequences)[0])
    assert all(map(torch.equal, before, model.parameters()))
    model = made("mra", **SHAPE)
    with pytest.raises(
        ValueError, match=r"MraModel gives .*, and its weights encoder\.layer\.0\S*\.weight change nothing: its"
    ):
        extract(model, points, sequences)


def test_a_last_layer_before_the_final_norm_is_told(caplog):
    model = tiny("llama").model
    points, sequences = tables()
    with caplog.at_level(logging.WARNING):
        extract(model, points, sequences)
    assert not caplog.messages
    model.config.tie_last_hidden_states = False
    with caplog.at_level(logging.WARNING):
        found, _ = extract(model, points, sequences)
        extract(model, points, sequences, layers=[0, 1])
    assert caplog.messages == [
        "Layer 3 of LlamaModel is before its final norm, unlike that of most models (tie_last_hidden_states: false in its "
        "config.json, or in the code of its family)."
    ]
    with torch.no_grad():
        normed = model.norm(torch.from_numpy(found[3])).numpy()
    model.config.tie_last_hidden_states = None
    assert_close({3: normed}, {3: extract(model, points, sequences, layers=[3])[0][3]})


def test_states_that_are_drawn_are_refused_even_where_each_sequence_runs_alone():
    model = tiny("gpt2").base_model
    model.h[1].register_forward_hook(lambda _, args, out: out + 1e-3 * torch.randn_like(out))
    with pytest.raises(ValueError, match="GPT2Model gives the same sequence other hidden states at another call"):
        extract(model, *tables(), batch_tokens=1)


def test_what_needs_more_than_token_ids_is_told():
    model = transformers.XmodModel(
        AutoConfig.for_model("xmod", vocab_size=VOCABULARY, languages=["en"], **SHAPE)
    ).eval()
    with pytest.raises(
        ValueError, match=r"XmodModel cannot be run on token ids alone, here 1 x 8 of them: Input language unknown"
    ):
        extract(model, *tables())
