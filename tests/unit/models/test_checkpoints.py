"""Model folders are loaded; what is wrong with one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from builders.model_folders import MINILM, encoder_decoder, save_neox, tiny
from idsweep.files.packages import path_in_package
from idsweep.models import checkpoints
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import model_files, weight_files
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM


@pytest.fixture
def neox(tmp_path) -> Path:
    return save_neox(tmp_path / "neox")


def test_a_missing_folder_or_package_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no model folder"):
        load_model(tmp_path / "nowhere", kind="causal")
    with pytest.raises(ValueError, match="pip install no-such-model"):
        path_in_package("no_such_model", "model")
    with pytest.raises(ValueError, match="has no 'nowhere'"):
        path_in_package(MINILM[0], "nowhere")


def test_a_causal_model_comes_with_its_head_and_in_evaluation_mode(neox):
    model = load_model(neox, kind="causal")
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    expected = tiny("gpt_neox", AutoModelForCausalLM).eval()
    ids = torch.arange(12).reshape(2, 6)
    torch.testing.assert_close(model(ids).logits, expected(ids).logits, rtol=0, atol=0)


def test_dtype_is_as_asked(neox):
    assert {p.dtype for p in load_model(neox, kind="causal", dtype="bfloat16").parameters()} == {torch.bfloat16}
    with pytest.raises(ValueError, match="dtype: 'float8' is not known"):
        load_model(neox, kind="causal", dtype="float8")


def test_a_pickled_checkpoint_is_loaded_where_there_are_no_safetensors(tmp_path, neox):
    model = tiny("gpt_neox", AutoModelForCausalLM)
    (neox / "model.safetensors").unlink()
    torch.save(model.state_dict(), neox / "pytorch_model.bin")
    assert [path.name for path in weight_files(neox)] == ["pytorch_model.bin"]
    ids = torch.arange(6)[None]
    assert torch.equal(load_model(neox, kind="causal")(ids).logits, model.eval()(ids).logits)


def test_loading_is_quiet(neox, capfd):
    load_model(neox, kind="causal")
    load_model(path_in_package(*MINILM), kind="encoder")
    assert capfd.readouterr() == ("", "")


def test_an_encoder_may_lack_its_pooler_but_a_head_must_be_there(tmp_path):
    tiny("bert", AutoModelForMaskedLM).save_pretrained(tmp_path)
    load_model(tmp_path, kind="masked")
    load_model(tmp_path, kind="encoder")
    with pytest.raises(ValueError, match=r"lacks weights that a model of kind masked needs: cls.*names BertModel"):
        load_model(path_in_package(*MINILM), kind="masked")
    with pytest.raises(ValueError, match="kind: 'decoder' is not known; choose one of causal"):
        load_model(tmp_path, kind="decoder")


def test_truncated_weights_are_told(neox):
    weights = neox / "model.safetensors"
    whole = weights.read_bytes()
    for kept, message in (
        (len(whole) - 5, "bytes, but its header says"),
        (100, "header is cut"),
        (3, "not a complete"),
    ):
        weights.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=message):
            load_model(neox, kind="causal")
        with pytest.raises(ValueError, match=message):
            model_files(neox)


def test_absent_weights_and_shards_are_told(tmp_path, neox):
    tiny("gpt_neox", AutoModelForCausalLM).save_pretrained(tmp_path / "sharded", max_shard_size="10KB")
    shards = weight_files(tmp_path / "sharded")
    assert len(shards) > 1
    load_model(tmp_path / "sharded", kind="causal")
    shards[1].unlink()
    with pytest.raises(ValueError, match=f"lacks {shards[1].name}, one of {len(shards)} shards"):
        load_model(tmp_path / "sharded", kind="causal")
    (neox / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        load_model(neox, kind="causal")


def test_weights_that_do_not_fit_the_config_are_told(neox):
    config = json.loads((neox / "config.json").read_text())
    (neox / "config.json").write_text(json.dumps(config | {"vocab_size": 50}))
    with pytest.raises(ValueError, match="cannot be loaded as a model of kind causal"):
        load_model(neox, kind="causal")


def test_a_model_of_another_depth_is_refused(neox):
    with pytest.raises(ValueError, match="has 3 layers, not 4"):
        load_model(neox, kind="causal", layers=4)


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_of_an_encoder_decoder_the_encoder_is_returned(tmp_path, model_type):
    whole = encoder_decoder(model_type)
    whole.save_pretrained(tmp_path)
    encoder = load_model(tmp_path, kind="encoder-decoder", layers=3)
    ids = torch.arange(4, 12)[None]
    expected = whole(input_ids=ids, decoder_input_ids=ids, output_hidden_states=True).encoder_hidden_states
    found = encoder(ids, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not any("decoder" in name for name, _ in encoder.named_parameters())


def test_a_checkpoint_of_an_encoder_alone_may_lack_the_decoder_but_no_block(tmp_path):
    whole = encoder_decoder("t5")
    whole.save_pretrained(tmp_path)
    weights = {key: value for key, value in whole.state_dict().items() if key.startswith(("shared", "encoder"))}
    del weights["encoder.embed_tokens.weight"]  # tied to shared
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    ids = torch.arange(4, 12)[None]
    assert torch.equal(load_model(tmp_path, kind="encoder-decoder")(ids)[0], whole.get_encoder()(ids)[0])
    del weights["encoder.block.1.layer.0.SelfAttention.q.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"needs: encoder\.block\.1\.layer\.0\.SelfAttention\.q\.weight and 0 more"):
        load_model(tmp_path, kind="encoder-decoder")


def test_the_automatic_dtype_depends_on_the_number_of_parameters(neox, monkeypatch):
    parameters = sum(parameter.numel() for parameter in tiny("gpt_neox", AutoModelForCausalLM).parameters())
    for limit, dtype in ((parameters + 1, torch.float32), (parameters, torch.bfloat16)):
        monkeypatch.setattr(checkpoints, "MANY_PARAMETERS", limit)
        assert {p.dtype for p in load_model(neox, kind="causal").parameters()} == {dtype}


@pytest.mark.parametrize(
    ("layers", "width", "heads", "dtype"), [(24, 1024, 16, "float32"), (16, 2048, 8, "bfloat16")], ids=["410m", "1b"]
)
def test_the_automatic_dtype_of_pythia(tmp_path, layers, width, heads, dtype):
    AutoConfig.for_model(
        "gpt_neox",
        vocab_size=50304,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
    ).save_pretrained(tmp_path)
    assert checkpoints._automatic_dtype(checkpoints._skeleton(tmp_path, "causal", False, most=10_000)) == dtype


def test_attention_is_as_asked(neox, tmp_path):
    ids = torch.arange(12).reshape(2, 6)
    of = {name: load_model(neox, kind="causal", attention=name) for name in (None, "sdpa", "eager")}
    implementations = {name: model.config._attn_implementation for name, model in of.items()}
    assert implementations == {None: "sdpa", "sdpa": "sdpa", "eager": "eager"}
    torch.testing.assert_close(of["eager"](ids).logits, of["sdpa"](ids).logits)
    with pytest.raises(ValueError, match="attention: 'flash' is not known; choose one of sdpa, eager"):
        load_model(neox, kind="causal", attention="flash")
    # Neither the package nor a CUDA device is here, or else the dtype is wrong.
    with pytest.raises(ValueError, match="attention: 'flash_attention_2'"):
        load_model(neox, kind="causal", attention="flash_attention_2", dtype="float32")
    config = AutoConfig.for_model("mpt", vocab_size=40, d_model=16, n_layers=2, n_heads=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "mpt")
    with pytest.raises(ValueError, match="attention: 'sdpa' is not available for MptForCausalLM"):
        load_model(tmp_path / "mpt", kind="causal", attention="sdpa")


class WithHeads(torch.nn.Module):
    """An encoder inside another module, with classifiers beside it, as dialogue-state trackers are saved."""

    def __init__(self, name: str, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.add_module(name, encoder)
        self.class_hotel_area = torch.nn.Linear(16, 3)
        self.embeddings = torch.nn.Embedding(4, 16)


def save_wrapped(folder: Path, encoder, name: str, form: str) -> None:
    encoder.config.save_pretrained(folder)
    weights = WithHeads(name, encoder).state_dict()
    if form == "pickle":
        torch.save(weights, folder / "pytorch_model.bin")
    elif form == "safetensors":
        save_file(weights, folder / "model.safetensors")
    else:
        names = sorted(weights)
        files = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
        for file, part in files.items():
            save_file({key: weights[key] for key in part}, folder / file)
        index = {"metadata": {}, "weight_map": {key: file for file, part in files.items() for key in part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("form", ["pickle", "safetensors", "shards"])
@pytest.mark.parametrize("name", ["bert", "tracker"])
def test_only_weights_under_the_prefix_are_taken(tmp_path, form, name):
    encoder = tiny("bert").eval()
    save_wrapped(tmp_path, encoder, name, form)
    ids = torch.arange(6)[None]
    found = load_model(tmp_path, kind="encoder", prefix=name)(ids, output_hidden_states=True).hidden_states
    expected = encoder(ids, output_hidden_states=True).hidden_states
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert {p.dtype for p in load_model(tmp_path, kind="encoder", prefix=name, dtype="bfloat16").parameters()} == {
        torch.bfloat16
    }


def test_a_wrong_prefix_is_told_with_those_that_are_there(tmp_path):
    save_wrapped(tmp_path, tiny("bert"), "tracker", "pickle")
    with pytest.raises(
        ValueError,
        match=r"prefix: .* has no weights under 'roberta'.* begin with: class_hotel_area, embeddings, tracker\.embeddings",
    ):
        load_model(tmp_path, kind="encoder", prefix="roberta")
    with pytest.raises(ValueError, match=r"lacks weights .*'prefix' \(.*begin with: .*tracker\.encoder"):
        load_model(tmp_path, kind="encoder")
    with pytest.raises(ValueError, match=r"lacks weights .*'prefix' \(weights under 'tracker\.encoder' "):
        load_model(tmp_path, kind="encoder", prefix="tracker.encoder")


OWN_CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel

class OwnConfig(PreTrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.embedding = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids):
        return self.embedding(input_ids)
"""


def test_code_of_a_model_s_own_is_run_only_if_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "own_model"
    folder.mkdir()
    (folder / "own.py").write_text(OWN_CODE)
    config = {"model_type": "own", "num_hidden_layers": 1, "hidden_size": 4, "vocab_size": 6}
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": classes}))
    rows = torch.arange(24.0).reshape(6, 4)
    save_file({"embedding.weight": rows}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"own_model brings code of its own .* `trust_remote_code` is true"):
        load_model(folder, kind="encoder")
    model = load_model(folder, kind="encoder", trust_remote_code=True)
    assert torch.equal(model(torch.tensor([2, 0])), rows[[2, 0]])
    assert [path.name for path in model_files(folder)] == ["config.json", "model.safetensors"]
    trusted = model_files(folder, trust_remote_code=True)
    assert [path.name for path in trusted] == ["config.json", "model.safetensors", "own.py"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match="says model_type: 'own' is no model_type that the installed transformers knows"
    ):
        load_model(folder, kind="encoder")


def test_a_family_that_transformers_knows_needs_no_code_of_its_own(neox):
    config = json.loads((neox / "config.json").read_text())
    classes = {"AutoConfig": "absent.Config", "AutoModelForCausalLM": "absent.Model"}
    (neox / "config.json").write_text(json.dumps(config | {"auto_map": classes}))
    ids = torch.arange(6)[None]
    expected = tiny("gpt_neox", AutoModelForCausalLM).eval()
    assert torch.equal(load_model(neox, kind="causal")(ids).logits, expected(ids).logits)
    (neox / "config.json").write_text(json.dumps(config | {"auto_map": classes, "vocab_size": 50}))
    with pytest.raises(ValueError, match=r"cannot be loaded as a model of kind causal: (?!.*trust_remote_code)"):
        load_model(neox, kind="causal")


def test_pickles_from_before_torch_1_6_are_whole_without_being_archives(neox):
    (neox / "model.safetensors").unlink()
    model = tiny("gpt_neox", AutoModelForCausalLM).eval()
    torch.save(model.state_dict(), neox / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    ids = torch.arange(6)[None]
    assert torch.equal(load_model(neox, kind="causal")(ids).logits, model(ids).logits)
