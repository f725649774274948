"""All that weight files hold reaches the model, or is known to be harmless, or is refused by name."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
import transformers
from builders import tiny_models
from builders.model_folders import save_neox, tiny
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import weight_files
from idsweep.models.stored_weights import files_read, stored_tensors
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

IDS = torch.arange(5, 17)[None]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
} | tiny_models._SPECIAL
BART = tiny_models._BART | tiny_models._SPECIAL
LLAMA = SMALL | {"num_key_value_heads": 2}
# What is saved, by class -> sizes, the kinds it is then measured as, and what holds the same states in the saved model.
SAVED = {
    "BertForPreTraining": (SMALL, ("encoder", "masked")),
    "BertForSequenceClassification": (SMALL, ("encoder",)),
    "BertForQuestionAnswering": (SMALL, ("encoder",)),
    "RobertaForMaskedLM": (SMALL | {"pad_token_id": 1}, ("encoder", "masked")),
    "RobertaForTokenClassification": (SMALL | {"pad_token_id": 1}, ("encoder",)),
    "RobertaModel": (SMALL | {"pad_token_id": 1}, ("encoder",)),
    "AlbertForPreTraining": (SMALL | {"embedding_size": 16}, ("encoder", "masked")),
    "ElectraForPreTraining": (SMALL | {"embedding_size": 16}, ("encoder",)),
    "ElectraForMaskedLM": (SMALL | {"embedding_size": 16}, ("encoder", "masked")),
    "DebertaV2ForMaskedLM": (SMALL, ("encoder", "masked")),
    "DistilBertForSequenceClassification": (tiny_models._SPECIAL | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, ("encoder",)),
    "DistilBertForMaskedLM": (tiny_models._SPECIAL | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, ("encoder",)),
    "MPNetForMaskedLM": (SMALL, ("encoder", "masked")),
    "ModernBertForMaskedLM": (SMALL | {"cls_token_id": 1, "sep_token_id": 2}, ("encoder", "masked")),
    "ModernBertForSequenceClassification": (SMALL | {"cls_token_id": 1, "sep_token_id": 2}, ("encoder",)),
    "XLNetLMHeadModel": ({"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "vocab_size": 99}, ("encoder",)),
    "GPT2LMHeadModel": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}, ("encoder", "causal")),
    "GPT2ForSequenceClassification": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}, ("encoder", "causal")),
    "GPTNeoXForCausalLM": (SMALL, ("encoder", "causal")),
    "LlamaForCausalLM": (LLAMA, ("encoder", "causal")),
    "LlamaForSequenceClassification": (LLAMA, ("encoder",)),
    "OPTForCausalLM": (SMALL | {"word_embed_proj_dim": 32, "ffn_dim": 48}, ("encoder", "causal")),
    "BloomForCausalLM": ({"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}, ("encoder", "causal")),
    "FalconForCausalLM": (SMALL, ("encoder", "causal")),
    "MambaForCausalLM": (SMALL | {"state_size": 4}, ("encoder", "causal")),
    "RwkvForCausalLM": (SMALL | {"attention_hidden_size": 32}, ("encoder", "causal")),
    "MixtralForCausalLM": (LLAMA | {"num_local_experts": 2}, ("encoder", "causal")),
    "Gemma2ForCausalLM": (LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 8}, ("encoder", "causal")),
    "T5ForConditionalGeneration": (tiny_models._T5 | tiny_models._SPECIAL, ("encoder-decoder",)),
    "T5EncoderModel": (tiny_models._T5 | tiny_models._SPECIAL, ("encoder-decoder",)),
    "BartForConditionalGeneration": (BART, ("encoder-decoder",)),
    "BartForSequenceClassification": (BART, ("encoder-decoder",)),
}  # fmt: skip


def states(model: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return model(input_ids=IDS, output_hidden_states=True).hidden_states


def assert_same_states(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    for one, other in zip(states(found), states(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", SAVED)
def test_what_is_saved_with_a_head_is_measured_without_and_with_it(name, tmp_path):
    sizes, kinds = SAVED[name]
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    saved = cls(cls.config_class(**sizes)).eval()
    saved.save_pretrained(tmp_path)
    for kind in kinds:
        expected = saved.get_encoder() if kind == "encoder-decoder" else saved
        assert_same_states(load_model(tmp_path, kind=kind), expected)


@pytest.fixture
def neox(tmp_path) -> Path:
    return save_neox(tmp_path / "neox")


def change(folder: Path, more: dict[str, torch.Tensor], drop: str | None = None) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {name: value for name, value in weights.items() if drop is None or drop not in name} | more
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def reconfigure(folder: Path, **keys) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_tables_of_old_versions_are_left_out_and_their_reason_is_logged(neox, caplog):
    expected = load_model(neox, kind="causal")
    block = "gpt_neox.layers.{}.attention."
    frequencies = 1.0 / 10000 ** (torch.arange(0, 2, 2) / 2)
    tables = {"bias": torch.ones(1, 1, 32, 32).tril().bool(), "masked_bias": torch.tensor(-1e9)}
    tables["rotary_emb.inv_freq"] = frequencies.half()
    change(neox, {block.format(i) + name: value.clone() for i in range(3) for name, value in tables.items()})
    assert_same_states(load_model(neox, kind="causal"), expected)
    change(neox, {"extra.position_ids": torch.arange(9)[None], "encoder.version": torch.tensor([3.0])})
    with caplog.at_level(logging.INFO, "idsweep.models.stored_weights"):
        assert_same_states(load_model(neox, kind="causal"), expected)
    assert "encoder.version and 0 more are left out: it is the number of a version of fairseq" in caplog.text


def test_stored_frequencies_that_config_does_not_give_are_refused(neox):
    name = "gpt_neox.layers.0.attention.rotary_emb.inv_freq"
    wide = tiny_models.CAUSAL["gpt_neox"] | {"hidden_size": 64}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model("gpt_neox", **wide, vocab_size=99))
    model.save_pretrained(neox)
    rotated = model.gpt_neox.rotary_emb.inv_freq
    change(neox, {name: rotated.clone()})
    load_model(neox, kind="causal")
    change(neox, {name: 1.0 / 500000 ** (torch.arange(len(rotated)) / len(rotated))})
    with pytest.raises(
        ValueError, match=rf"rotary frequencies, {name} \(in model\.safetensors\), other than .* rope_theta"
    ):
        load_model(neox, kind="causal")


def test_a_layer_more_than_config_says_is_refused(neox):
    reconfigure(neox, num_hidden_layers=2)
    with pytest.raises(
        ValueError,
        match=r"no place in GPTNeoXForCausalLM .*: gpt_neox\.layers\.2\.attention\.dense\.bias \(in model\.safetensors\), .* more\. "
        r"Check that config\.json .*number of layers",
    ):
        load_model(neox, kind="causal")


def test_a_head_of_its_own_is_refused_until_a_prefix_leaves_it_out(tmp_path):
    model = tiny("bert", AutoModelForMaskedLM)
    model.save_pretrained(tmp_path)
    change(tmp_path, {"slots.weight": torch.ones(3, 16)})
    with pytest.raises(ValueError, match=r"slots\.weight \(in model\.safetensors\).* write `prefix: bert`"):
        load_model(tmp_path, kind="encoder")
    assert_same_states(load_model(tmp_path, kind="encoder", prefix="bert"), model.eval())


def test_a_bias_of_a_head_that_the_model_has_without_one_is_refused(neox):
    change(neox, {"embed_out.bias": torch.ones(40)})
    with pytest.raises(ValueError, match=r"no place in GPTNeoXForCausalLM .*embed_out\.bias \(in model\.safetensors\)"):
        load_model(neox, kind="causal")
    load_model(neox, kind="encoder")  # which has no such head


def save_llama(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).eval()
    model.save_pretrained(folder)
    return model


def quantise(folder: Path, dtype: torch.dtype, top: float, scale: str, blocks: bool = False) -> None:
    """Divide the projections by a scale, and put it beside them."""
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        by = weights[name].abs().max() / top
        weights[name] = (weights[name] / by).round() if dtype == torch.int8 else weights[name] / by
        weights[name] = weights[name].to(dtype)
        shape = [-(-size // 32) for size in weights[name].shape] if blocks else [1]
        if scale:
            weights[name.removesuffix("weight") + scale] = torch.full(shape, float(by))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("dtype", "top", "scale", "quantization", "message"),
    [
        (torch.float8_e4m3fn, 448, "weight_scale", None, "of dtype F8_E4M3, 14 in all, .* does not say how to decode"),
        (torch.int8, 127, "SCB", None, "of dtype I8, 14 in all, .* does not say how to decode"),
        (torch.int8, 127, "", None, r"q?.*_proj\.weight \(in model\.safetensors\) of dtype I8"),
        (torch.int8, 127, "weight_scale", {"quant_method": "modelopt"}, "quant_method 'modelopt', which transformers does not"),
        (torch.bfloat16, 1, "weight_scale", None, r"_proj\.weight_scale \(in .*By their names they scale quantised weights"),
    ],
)  # fmt: skip
def test_codes_without_what_decodes_them_are_refused(dtype, top, scale, quantization, message, tmp_path):
    save_llama(tmp_path)
    quantise(tmp_path, dtype, top, scale)
    if quantization:
        reconfigure(tmp_path, quantization_config=quantization)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path, kind="causal")


def test_codes_of_experts_are_refused_though_their_names_have_no_place(tmp_path):
    torch.manual_seed(0)
    sizes = LLAMA | {"num_local_experts": 2}
    transformers.MixtralForCausalLM(transformers.MixtralConfig(**sizes)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    codes = {name: value.to(torch.float8_e4m3fn) for name, value in weights.items() if ".experts." in name}
    assert codes
    save_file(weights | codes, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"quantised weights, as .*experts.* of dtype F8_E4M3, {len(codes)} in all"):
        load_model(tmp_path, kind="causal")


def test_codes_that_transformers_decodes_give_the_weights(tmp_path):
    expected = save_llama(tmp_path)
    quantise(tmp_path, torch.float8_e4m3fn, 448, "weight_scale_inv", blocks=True)
    config = {"quant_method": "fp8", "weight_block_size": [32, 32], "activation_scheme": "dynamic"}
    reconfigure(tmp_path, quantization_config=config)
    for one, other in zip(states(load_model(tmp_path, kind="causal")), states(expected), strict=True):
        assert (one - other).norm() < 0.05 * other.norm()  # float8 has 3 bits behind the point


def test_pickles_are_looked_at_as_well(neox):
    weights = load_file(neox / "model.safetensors")
    (neox / "model.safetensors").unlink()
    torch.save(weights | {"gpt_neox.layers.0.gate": torch.ones(3)}, neox / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"gpt_neox\.layers\.0\.gate \(in pytorch_model\.bin\)"):
        load_model(neox, kind="causal")
    torch.save({"state_dict": weights, "epoch": 3}, neox / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin holds 'state_dict', which is no tensor but dict"):
        load_model(neox, kind="causal")
    codes = {name: value.to(torch.int8) if "dense" in name else value for name, value in weights.items()}
    torch.save(codes, neox / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="of dtype int8"):
        load_model(neox, kind="causal")


def test_shards_are_read_as_the_index_says(tmp_path):
    model = tiny("gpt_neox", AutoModelForCausalLM).eval()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    shards = weight_files(tmp_path)
    save_file({"gpt_neox.old": torch.ones(2)}, tmp_path / "model-00001-of-00099.safetensors")  # of another checkpoint
    assert files_read(weight_files(tmp_path)) == shards
    assert_same_states(load_model(tmp_path, kind="causal"), model)
    assert_same_states(load_model(tmp_path, kind="encoder", prefix="gpt_neox"), model)
    first = load_file(shards[0])
    name = next(iter(first))
    save_file(load_file(shards[1]) | {name: first[name]}, shards[1], metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"holds {name} twice, in {shards[0].name} and in {shards[1].name}"):
        load_model(tmp_path, kind="causal")


def test_two_weights_for_one_place_are_refused_unless_they_are_the_same(neox):
    name = "layers.1.attention.dense.weight"
    whole = load_file(neox / "model.safetensors")[f"gpt_neox.{name}"]
    change(neox, {name: whole.clone()})
    load_model(neox, kind="causal")
    change(neox, {name: whole + 1})
    with pytest.raises(ValueError, match=rf"{name} \(in .*\) are different weights for one place, gpt_neox\.{name}"):
        load_model(neox, kind="causal")


def test_names_dtypes_and_shapes_are_told_without_reading(neox):
    found = stored_tensors(weight_files(neox))
    weights = load_file(neox / "model.safetensors")
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} == {
        name: ("F32", tuple(value.shape)) for name, value in weights.items()
    }
    under = stored_tensors(weight_files(neox), "gpt_neox")
    assert under.keys() == {name.removeprefix("gpt_neox.") for name in weights if name.startswith("gpt_neox.")}
