"""Adapters are merged into the weights of their base; those that cannot be are told."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from builders.model_folders import TINY, adapt, encoder_decoder, save_adapter, save_neox, tiny
from idsweep.models.adapters import wrong_base
from idsweep.models.checkpoints import load_model, number_of_parameters
from idsweep.models.folders import adapter_files
from idsweep.models.tied import untie
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

# Where the tests make adapters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings(
        "ignore:(Model (has|with) .tie_word_embeddings|Setting .save_embedding_layers|Unexpected keyword)"
    ),
]


@pytest.fixture
def neox(tmp_path) -> Path:
    return save_neox(tmp_path / "neox")


@pytest.fixture
def adapter(tmp_path) -> Path:
    return save_adapter(tmp_path / "adapter")


def test_an_adapter_is_merged_into_its_base(neox, adapter):
    before = {path: path.read_bytes() for folder in (neox, adapter) for path in folder.iterdir() if path.is_file()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = load_model(neox, kind="causal", adapter=adapter)
    # The definition: W + (alpha / r) B A.
    expected = tiny("gpt_neox", AutoModelForCausalLM).eval()
    lora = load_file(adapter / "adapter_model.safetensors")
    scale = json.loads((adapter / "adapter_config.json").read_text())["lora_alpha"] / 2
    for i, block in enumerate(expected.gpt_neox.layers):
        a, b = (lora[f"base_model.model.gpt_neox.layers.{i}.attention.query_key_value.lora_{x}.weight"] for x in "AB")
        block.attention.query_key_value.weight.data += scale * b @ a
    ids = torch.arange(12).reshape(2, 6)
    torch.testing.assert_close(merged(ids).logits, expected(ids).logits)
    assert not torch.allclose(merged(ids).logits, load_model(neox, kind="causal")(ids).logits)
    assert type(merged) is type(expected)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert not merged.training
    assert {path: path.read_bytes() for path in before} == before


def test_an_adapter_of_an_encoder_decoder_reaches_its_encoder(tmp_path):
    whole = encoder_decoder("t5")
    whole.save_pretrained(tmp_path)
    adapted = adapt(tmp_path / "adapter", whole, task_type="SEQ_2_SEQ_LM", target_modules=["q", "v"])
    ids = torch.arange(4, 12)[None]
    found = load_model(tmp_path, kind="encoder-decoder", adapter=tmp_path / "adapter")(ids)[0]
    torch.testing.assert_close(found, adapted.base_model.model.get_encoder()(ids)[0])


def test_the_classifier_of_an_adapter_is_left_out(tmp_path):
    tiny("bert", AutoModelForMaskedLM).save_pretrained(tmp_path)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    adapted = adapt(tmp_path / "adapter", classifier, task_type="SEQ_CLS", target_modules=["query"])
    ids = torch.arange(6)[None]
    expected = adapted(input_ids=ids, output_hidden_states=True).hidden_states
    merged = load_model(tmp_path, kind="masked", adapter=tmp_path / "adapter")
    for one, other in zip(merged(ids, output_hidden_states=True).hidden_states, expected, strict=True):
        torch.testing.assert_close(one, other)
    lowered = load_model(tmp_path, kind="masked", adapter=tmp_path / "adapter", dtype="bfloat16")
    assert {parameter.dtype for parameter in lowered.parameters()} == {torch.bfloat16}


HEADS = {"bert": ["classifier", "pooler"], "gpt_neox": ["score"], "distilbert": ["pre_classifier", "classifier"]}
TARGETS = {"bert": "query", "gpt_neox": "query_key_value", "distilbert": "q_lin"}


def classifier_adapter(folder: Path, base: Path, model_type: str, **settings) -> torch.nn.Module:
    classifier = AutoModelForSequenceClassification.from_pretrained(base, pad_token_id=0)
    return adapt(folder, classifier, target_modules=[TARGETS[model_type]], **settings)


@pytest.mark.parametrize("model_type", HEADS)
@pytest.mark.parametrize("by_task", [False, True])  # whether the head is named, or told by PEFT from the task
def test_an_adapter_of_a_classifier_is_merged_into_the_encoder_below_it(model_type, by_task, tmp_path):
    auto = AutoModelForCausalLM if model_type == "gpt_neox" else AutoModelForMaskedLM
    tiny(model_type, auto).save_pretrained(tmp_path / "base")
    settings = {"task_type": "SEQ_CLS"} if by_task else {"modules_to_save": HEADS[model_type]}
    trained = classifier_adapter(tmp_path / "adapter", tmp_path / "base", model_type, **settings)
    ids = torch.arange(1, 9)[None]
    merged = load_model(tmp_path / "base", kind="encoder", adapter=tmp_path / "adapter")
    found = merged(ids, output_hidden_states=True)
    with torch.no_grad():
        expected = trained(input_ids=ids, output_hidden_states=True).hidden_states
    for one, other in zip(found.hidden_states, expected, strict=True):
        torch.testing.assert_close(one, other)
    plain = load_model(tmp_path / "base", kind="encoder")
    assert (plain(ids)[0] - found[0]).abs().max() > 1e-4
    assert merged.state_dict().keys() == plain.state_dict().keys()
    if model_type == "bert" and not by_task:
        torch.testing.assert_close(found.pooler_output, trained.base_model.model.bert(ids).pooler_output)


def test_an_adapter_of_a_causal_model_is_merged_into_the_model_without_head(neox, adapter):
    ids = torch.arange(6)[None]
    expected = load_model(neox, kind="causal", adapter=adapter)(ids, output_hidden_states=True).hidden_states
    found = load_model(neox, kind="encoder", adapter=adapter)(ids, output_hidden_states=True).hidden_states
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("part", ["lora_B", "pooler"])
def test_no_adapter_is_merged_in_part(part, tmp_path):
    tiny("bert", AutoModelForMaskedLM).save_pretrained(tmp_path / "base")
    folder = tmp_path / "adapter"
    classifier_adapter(folder, tmp_path / "base", "bert", modules_to_save=HEADS["bert"])
    weights = load_file(folder / "adapter_model.safetensors")
    dropped = next(name for name in sorted(weights) if part in name)
    kept = {name: tensor for name, tensor in weights.items() if name != dropped}
    save_file(kept, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=rf"adapter cannot be merged into the model .*base: .*{part}.* (is|are) absent|as .*{part}"
    ):
        load_model(tmp_path / "base", kind="encoder", adapter=folder)


def test_an_adapter_that_does_not_fit_is_told_with_both_names(tmp_path, neox, adapter):
    other = tmp_path / "other"
    tiny("gpt2", AutoModelForCausalLM).save_pretrained(other)  # has no such modules
    with pytest.raises(ValueError, match=f"{adapter} cannot be merged into the model {other}"):
        load_model(other, kind="causal", adapter=adapter)
    headless = tmp_path / "headless"  # its names lack those that they have in the causal model
    adapt(headless, tiny("gpt_neox", AutoModel), target_modules=["query_key_value"])
    with pytest.raises(ValueError, match=f"{headless} cannot be merged into the model {neox}: .* Check 'kind'"):
        load_model(neox, kind="causal", adapter=headless)
    wide = AutoConfig.for_model("gpt_neox", vocab_size=40, **TINY["gpt_neox"] | {"hidden_size": 32})
    deep = AutoConfig.for_model("gpt_neox", vocab_size=40, **TINY["gpt_neox"] | {"num_hidden_layers": 4})
    flat = AutoConfig.for_model("gpt_neox", vocab_size=40, **TINY["gpt_neox"] | {"num_hidden_layers": 2})
    for name, config in (("wide", wide), ("deep", deep), ("flat", flat)):
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        with pytest.raises(ValueError, match=f"{adapter} cannot be merged into the model {tmp_path / name}"):
            load_model(tmp_path / name, kind="causal", adapter=adapter)


def test_an_adapter_that_is_damaged_or_changes_no_weights_is_told(tmp_path, neox, adapter):
    assert [path.name for path in adapter_files(adapter)] == ["adapter_config.json", "adapter_model.safetensors"]
    prompts = get_peft_model(
        tiny("gpt_neox", AutoModelForCausalLM), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    prompts.save_pretrained(tmp_path / "prompts")
    with pytest.raises(ValueError, match="PROMPT_TUNING changes the input and not the weights"):
        load_model(neox, kind="causal", adapter=tmp_path / "prompts")
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors has .* bytes, but its header says"):
        load_model(neox, kind="causal", adapter=adapter)
    weights.unlink()
    with pytest.raises(ValueError, match="holds no weights of an adapter: neither adapter_model"):
        load_model(neox, kind="causal", adapter=adapter)
    with pytest.raises(ValueError, match="is not an adapter folder: it has no adapter_config"):
        load_model(neox, kind="causal", adapter=neox)
    with pytest.raises(ValueError, match=r"holds an adapter and no model\. Give its entry in the catalog `base: NAME`"):
        load_model(adapter, kind="causal")
    shutil.copy(adapter / "adapter_config.json", neox)
    with pytest.raises(
        ValueError,
        match=r"holds a model and an adapter.*`path` of another entry of the catalog, with this model as its `base`",
    ):
        load_model(neox, kind="causal")


def test_an_adapter_of_another_base_is_warned_of(neox, adapter, caplog):
    config = json.loads((neox / "config.json").read_text())
    for name, warned in (("tiny/neox", False), ("EleutherAI/pythia-70m", True)):
        (neox / "config.json").write_text(json.dumps(config | {"_name_or_path": name}))
        caplog.clear()
        load_model(neox, kind="causal", adapter=adapter)
        messages = [record.message for record in caplog.records if record.name == "idsweep.models.adapters"]
        assert bool(messages) == warned
    assert "was trained on tiny/neox" in messages[0]
    assert "is EleutherAI/pythia-70m by name" in messages[0]


def test_an_adapter_of_another_model_on_the_hub_is_refused(neox, adapter):
    with pytest.raises(
        ValueError,
        match=r"trained on tiny/neox, not on EleutherAI/pythia-70m\. .* as `base`; .* write EleutherAI/pythia-70m as base_model",
    ):
        load_model(neox, kind="causal", adapter=adapter, base_name="EleutherAI/pythia-70m")
    load_model(neox, kind="causal", adapter=adapter, base_name="someone/Neox")


@pytest.mark.parametrize(
    ("named", "base", "wrong"),
    [
        ("gpt2", "openai-community/gpt2", False),
        ("unsloth/llama-3.2-1B", "meta-llama/Llama-3.2-1B", False),
        ("gpt2", "openai-community/gpt2-medium", True),
        ("tiny_neox", "tiny_gpt", True),
        ("tiny_neox", "EleutherAI/pythia-70m", True),
        ("/models/llama", "EleutherAI/pythia-70m", False),
        ("./llama", "EleutherAI/pythia-70m", False),
        ("out/run/step-8", "EleutherAI/pythia-70m", False),
        (None, "EleutherAI/pythia-70m", False),
        ("", "EleutherAI/pythia-70m", False),
    ],
)
def test_bases_are_told_apart_by_how_their_names_end(named, base, wrong):
    assert (wrong_base(named, base) is not None) is wrong


LLAMA = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


def save_tied(folder: Path) -> Path:
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **LLAMA, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def save_large_adapter(folder: Path, base: Path, **settings) -> None:
    """An adapter whose every part differs from what it starts as."""
    torch.manual_seed(1)
    task = {"task_type": "CAUSAL_LM"} | settings
    config = LoraConfig(r=4, lora_alpha=16, init_lora_weights=False, **task)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in adapted.named_parameters():
        if "modules_to_save" in name or "token_adapter" in name:
            torch.nn.init.normal_(parameter, 0, 0.3)
    adapted.save_pretrained(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6, 7]},
        {"target_modules": ["q_proj"], "trainable_token_indices": {"lm_head": [5, 6], "embed_tokens": [5, 6]}},
    ],
    ids=lambda settings: " ".join(f"{key}={value}" for key, value in settings.items()),
)
def test_merged_is_what_peft_computes_unmerged(settings, tmp_path):
    base = save_tied(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_large_adapter(tmp_path / "adapter", base, **settings)
        live = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FutureWarning)
        merged = load_model(base, kind="causal", adapter=tmp_path / "adapter")
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        expected, found = live(ids, output_hidden_states=True), merged(ids, output_hidden_states=True)
    for one, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    plain = load_model(base, kind="causal")(ids, output_hidden_states=True)
    assert (plain.logits - found.logits).abs().max() > 1e-2


def test_matrices_that_no_adapter_changes_stay_tied(tmp_path):
    base = save_tied(tmp_path / "base")
    save_large_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    merged = load_model(base, kind="causal", adapter=tmp_path / "adapter")
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    assert merged.config.tie_word_embeddings
    assert number_of_parameters(merged) == number_of_parameters(load_model(base, kind="causal"))


def test_a_merge_that_changes_what_the_adapter_computes_is_refused(tmp_path, monkeypatch):
    base = save_tied(tmp_path / "base")
    save_large_adapter(tmp_path / "adapter", base, target_modules=["lm_head"])
    monkeypatch.setattr("idsweep.models.tied.untie", lambda model: [])
    with pytest.raises(
        ValueError,
        match=r"with merged weights layer 0 differs by .* % from what it is with the adapter beside the weights",
    ):
        load_model(base, kind="causal", adapter=tmp_path / "adapter")


def test_settings_of_a_newer_peft_are_refused(neox, adapter):
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"not_yet_invented": False, "nor_this": None}))
    load_model(neox, kind="causal", adapter=adapter)
    path.write_text(json.dumps(config | {"use_squares": True}))
    with pytest.raises(ValueError, match=r"PEFT .* does not know use_squares in its adapter_config\.json"):
        load_model(neox, kind="causal", adapter=adapter)


def test_untying_keeps_what_a_model_computes(tmp_path):
    tiny("bert", AutoModelForMaskedLM).save_pretrained(tmp_path)
    model = load_model(tmp_path, kind="masked")
    ids = torch.arange(6)[None]
    before = model(ids).logits
    untie(model)
    assert torch.equal(model(ids).logits, before)
    owners = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    assert len(owners) == len(set(owners))
    assert not model.config.tie_word_embeddings
    model.get_output_embeddings().weight.data += 1
    assert torch.equal(model.bert(ids)[0], load_model(tmp_path, kind="encoder")(ids)[0])
