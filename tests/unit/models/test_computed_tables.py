"""Tables that a model computes in `__init__` are those that it computes, whatever the memory held before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from builders import tiny_models
from idsweep.models.checkpoints import load_model
from transformers.dynamic_module_utils import get_class_from_dynamic_module

OWN_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

class WaveConfig(PretrainedConfig):
    model_type = "wave"
    def __init__(self, vocab_size=60, hidden_size=16, num_hidden_layers=2, max_position_embeddings=64, **more):
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.num_hidden_layers, self.max_position_embeddings = num_hidden_layers, max_position_embeddings
        super().__init__(**more)

class WaveModel(PreTrainedModel):
    config_class = WaveConfig
    base_model_prefix = "wave"
    IGNORED

    def __init__(self, config):
        super().__init__(config)
        d = config.hidden_size
        self.embed = torch.nn.Embedding(config.vocab_size, d)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(d, d) for _ in range(config.num_hidden_layers))
        waves = torch.sin(torch.arange(config.max_position_embeddings)[:, None] / 100 ** (torch.arange(d)[None] / d))
        TABLE
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def _init_weights(self, module):
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            module.weight.data.normal_(0, 0.5)

    def forward(self, input_ids, output_hidden_states=True, **more):
        x = self.embed(input_ids) + (self.waves[0] if isinstance(self.waves, list) else self.waves)[: input_ids.shape[1]]
        kept = [x]
        for block in self.blocks:
            x = torch.tanh(block(x))
            kept.append(x)
        return BaseModelOutput(last_hidden_state=x, hidden_states=tuple(kept))
"""
IDS = torch.arange(5, 25)[None]


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Memory that nothing was written to holds NaN."""
    empty_like = torch.empty_like

    def nans(*arguments, **options):
        tensor = empty_like(*arguments, **options)
        return tensor.fill_(torch.nan) if tensor.is_floating_point() and not tensor.is_meta else tensor

    monkeypatch.setattr(torch, "empty_like", nans)


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Save a model with code of its own, whose table is made by a line of code; its folder and itself."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))

    def saved(table: str, ignored: str = "", drop: str = "") -> tuple[Path, torch.nn.Module]:
        folder = tmp_path / "wave"
        folder.mkdir()
        (folder / "modeling_wave.py").write_text(OWN_CODE.replace("TABLE", table).replace("IGNORED", ignored))
        cls = get_class_from_dynamic_module("modeling_wave.WaveModel", folder)
        torch.manual_seed(1)
        model = cls(cls.config_class()).eval()
        kept = {name: tensor for name, tensor in model.state_dict().items() if not drop or drop not in name}
        model.save_pretrained(folder, state_dict=kept)
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "modeling_wave.WaveConfig", "AutoModel": "modeling_wave.WaveModel"}
        (folder / "config.json").write_text(json.dumps(config))
        return folder, model

    return saved


def states(model):
    with torch.no_grad():
        return model(input_ids=IDS, output_hidden_states=True).hidden_states


BUFFER = 'self.register_buffer("waves", waves, persistent=False)'


@pytest.mark.parametrize(
    ("table", "ignored", "drop"),
    [
        (BUFFER, "", ""),
        ("self.waves = waves", "", ""),
        ("self.waves = [waves]", "", ""),
        ('self.register_buffer("waves", waves)', "", ""),
        # Saved by a version that did not save it, and not to be told of.
        ('self.register_buffer("waves", waves)', '_keys_to_ignore_on_load_missing = [r"waves"]', "waves"),
    ],
)
def test_tables_of_code_of_its_own_are_what_init_computes(table, ignored, drop, save):
    folder, model = save(table, ignored, drop)
    loaded = load_model(folder, kind="encoder", trust_remote_code=True)
    for found, expected in zip(states(loaded), states(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_tables_have_the_dtype_of_the_model(save):
    folder, model = save(BUFFER)
    loaded = load_model(folder, kind="encoder", trust_remote_code=True, dtype="bfloat16")
    assert torch.equal(loaded.waves, model.waves.to(loaded.waves.dtype))
    assert states(loaded)[-1].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (BUFFER.replace("waves,", "torch.randn(64, d),"), "draws the table waves at random .* persistent=True"),
        (BUFFER.replace("waves,", "self.embed.weight.detach().clone(),"), "computes the table waves from its weights"),
    ],
)
def test_tables_that_cannot_be_had_again_are_refused(table, message, save):
    folder, _ = save(table)
    with pytest.raises(ValueError, match=message):
        load_model(folder, kind="encoder", trust_remote_code=True)


def test_absent_weights_are_told_though_the_code_would_not(save):
    folder, _ = save(BUFFER, '_keys_to_ignore_on_load_missing = [r"blocks"]', drop="blocks.1.weight")
    with pytest.raises(ValueError, match=r"lacks weights that a model of kind encoder needs: blocks\.1\.weight"):
        load_model(folder, kind="encoder", trust_remote_code=True)


def test_the_random_numbers_outside_stay_as_they_were(save):
    folder, _ = save(BUFFER)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(folder, kind="encoder", trust_remote_code=True)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gemma3_text", "gpt_neox", "llama", "modernbert", "roberta", "phi"])
def test_tables_of_known_families_are_what_init_computes(family, dtype, tmp_path):
    model = tiny_models.tiny(family)
    model.save_pretrained(tmp_path)
    kind = "masked" if family in tiny_models.MASKED else "causal"
    loaded = load_model(tmp_path, kind=kind, dtype=dtype)
    tables = dict(model.named_non_persistent_buffers())
    assert tables
    for name, table in loaded.named_non_persistent_buffers():
        torch.testing.assert_close(table, tables[name].to(table.dtype), rtol=0, atol=0)


def test_a_family_whose_tables_are_lost_is_refused(tmp_path, monkeypatch):
    tiny_models.tiny("llama").save_pretrained(tmp_path)
    monkeypatch.setattr(transformers.LlamaPreTrainedModel, "_init_weights", lambda self, module: None)
    with pytest.raises(ValueError, match=r"gives LlamaForCausalLM another table .*inv_freq than its __init__ computes"):
        load_model(tmp_path, kind="causal")
