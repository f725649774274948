"""What lies in model folders is told from their files: architecture, completeness, what determines a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders.model_folders import MINILM, TINY, save_adapter, save_neox, tiny
from builders.project import SCRIPTS
from idsweep.files.packages import path_in_package
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import Architecture, checkpoint_folders, model_files, read_architecture
from transformers import AutoConfig, AutoModelForCausalLM

# Where the tests make adapters.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def neox(tmp_path) -> Path:
    return save_neox(tmp_path / "neox")


@pytest.fixture
def adapter(tmp_path) -> Path:
    return save_adapter(tmp_path / "adapter")


@pytest.mark.parametrize("model_type", TINY)
def test_architecture_is_read_from_every_family_s_config(tmp_path, model_type):
    AutoConfig.for_model(model_type, **TINY[model_type]).save_pretrained(tmp_path)
    assert read_architecture(tmp_path)[:2] == (3, 16)


# As their makers publish them; only the keys that matter.
PUBLISHED = {
    "google-t5/t5-small": (
        {"model_type": "t5", "d_model": 512, "num_layers": 6, "n_positions": 512, "vocab_size": 32128},
        (6, 512, None),
    ),
    "facebook/bart-large": (
        {
            "model_type": "bart",
            "d_model": 1024,
            "encoder_layers": 12,
            "decoder_layers": 6,
            "num_hidden_layers": 12,
            "max_position_embeddings": 1024,
            "vocab_size": 50265,
        },
        (12, 1024, 1024),
    ),
    "FacebookAI/roberta-base": (
        {
            "model_type": "roberta",
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "max_position_embeddings": 514,
            "pad_token_id": 1,
            "vocab_size": 50265,
        },
        (12, 768, 512),
    ),
    "mosaicml/mpt-7b": (
        {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "max_seq_len": 2048, "vocab_size": 50432},
        (32, 4096, 2048),
    ),
    "tiiuae/falcon-rw-1b, before it was renamed": (
        {"model_type": "RefinedWeb", "hidden_size": 2048, "n_layer": 24, "vocab_size": 50304},
        (24, 2048, None),
    ),
    "google/gemma-3-4b-it": (
        {
            "model_type": "gemma3",
            "text_config": {"hidden_size": 2560, "model_type": "gemma3_text", "num_hidden_layers": 34},
            "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
        },
        (34, 2560, None),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_architecture_of_published_configs(tmp_path, name):
    config, expected = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_architecture(tmp_path) == expected


def test_architecture_of_a_nested_config(tmp_path):
    config = {
        "model_type": "x",
        "text_config": {"num_hidden_layers": 5, "hidden_size": 8},
        "vision_config": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_architecture(tmp_path) == (5, 8, None)


def test_architecture_of_minilm():
    assert read_architecture(path_in_package(*MINILM)) == Architecture(layers=6, width=384, positions=512)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"hidden_size": 8}', "does not say the number of layers; looked for encoder_layers, num_hidden_layers"),
        ('{"num_layers": 8}', "does not say the width"),
        ("{", "not readable JSON"),
        (None, "not a model folder: it has no config.json"),
    ],
)
def test_a_config_that_does_not_say_it_is_told(tmp_path, config, message):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        read_architecture(tmp_path)


def test_what_determines_a_model_is_its_config_and_weights(neox):
    (neox / "README.md").write_text("words")
    assert [path.name for path in model_files(neox)] == ["config.json", "model.safetensors"]


def test_weights_that_are_still_being_written_are_told(tmp_path, neox):
    written = tmp_path / "checkpoint-500"
    written.mkdir()
    with pytest.raises(ValueError, match=r"checkpoint-500 is not a model folder.* may not be written yet"):
        model_files(written)
    shutil.copy(neox / "config.json", written)
    with pytest.raises(ValueError, match=r"checkpoint-500 holds no weights.* wait until the checkpoint is written"):
        model_files(written)
    torch.save(tiny("gpt_neox", AutoModelForCausalLM).state_dict(), written / "pytorch_model.bin")
    whole = (written / "pytorch_model.bin").read_bytes()
    load_model(written, kind="causal")
    for kept in (0, 5000, len(whole) - 30):
        (written / "pytorch_model.bin").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"pytorch_model\.bin is cut short"):
            model_files(written)
    tiny("gpt_neox", AutoModelForCausalLM).save_pretrained(tmp_path / "sharded", max_shard_size="10KB")
    index = tmp_path / "sharded" / "model.safetensors.index.json"
    index.write_text(index.read_text()[:50])
    with pytest.raises(ValueError, match="is not a readable index of shards"):
        model_files(tmp_path / "sharded")
    index.unlink()
    with pytest.raises(ValueError, match=r"has shards \(model-00001-of-.* and lacks their \*\.index\.json"):
        model_files(tmp_path / "sharded")


def test_checkpoints_of_a_training_run_are_found_and_unwritten_ones_left_out(tmp_path, neox, adapter, caplog):
    run = tmp_path / "run"
    for name in ("checkpoint-1000", "checkpoint-200", "checkpoint-best", "checkpoint-30-old", "xcheckpoint-7"):
        shutil.copytree(neox, run / name)
    shutil.copytree(adapter, run / "checkpoint-40")
    (run / "checkpoint-9").write_text("no folder")
    half = shutil.copytree(neox, run / "checkpoint-1200") / "model.safetensors"
    half.write_bytes(half.read_bytes()[:-1])
    (run / "checkpoint-1300").mkdir()
    found = checkpoint_folders(run, "checkpoint-*")
    assert found == [("checkpoint-40", 40), ("checkpoint-200", 200), ("checkpoint-1000", 1000)]
    messages = sorted(record.message for record in caplog.records)
    assert len(messages) == 2
    assert all(message.startswith("Left out, because it is not complete (yet): ") for message in messages)
    assert "checkpoint-1200/model.safetensors has" in messages[0]
    assert "checkpoint-1300 is not a model folder" in messages[1]
    assert checkpoint_folders(run, "checkpoint-*-old") == [("checkpoint-30-old", 30)]


def test_wrong_patterns_and_runs_without_checkpoints_are_told(tmp_path):
    for pattern in ("checkpoint", "*-*", "run/checkpoint-*"):
        with pytest.raises(ValueError, match=r"checkpoints: .* is not the name of a folder with one"):
            checkpoint_folders(tmp_path, pattern)
    with pytest.raises(ValueError, match=r"holds no complete checkpoint whose name is 'checkpoint-\*'"):
        checkpoint_folders(tmp_path, "checkpoint-*")
    (tmp_path / "checkpoint-7").mkdir()
    (tmp_path / "checkpoint-7/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoint-7 is not a model folder: it has no config\.json"):
        checkpoint_folders(tmp_path, "checkpoint-*")
    with pytest.raises(ValueError, match="There is no folder"):
        checkpoint_folders(tmp_path / "nowhere", "checkpoint-*")


CODE_OF = """
import json, sys
from pathlib import Path
from idsweep.workflow.signature import code_of
print(json.dumps({path.stem: code_of(path) for path in sorted(Path(sys.argv[1]).glob("*.py"))}))
"""


def code_of_each(scripts: Path) -> dict[str, dict]:
    """Script -> source hash and versions, of a copy of the library."""
    done = subprocess.run(
        [sys.executable, "-c", CODE_OF, str(scripts)],
        env={"PYTHONPATH": str(scripts)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_what_fetches_and_what_merges_is_no_code_of_a_forward_pass(tmp_path):
    scripts = shutil.copytree(SCRIPTS, tmp_path / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__"))
    before = code_of_each(scripts)
    assert "peft" not in before["extract_embeddings"]["versions"]
    assert {"torch", "transformers"} <= set(before["extract_embeddings"]["versions"])
    for script in ("fetch_checkpoint", "fetch_tokenizer"):  # else each upgrade would fetch all of them again
        assert before[script]["versions"] == {}
    fetches = {"fetch_checkpoint", "fetch_tokenizer"}
    loads = {"extract_embeddings", "extract_vocabulary"}
    for module, changes, stays in (
        ("hub", fetches, loads),
        ("adapters", set(), fetches | loads),
        ("checkpoints", loads, fetches),
        ("folders", fetches | loads, set()),
    ):
        with (scripts / "idsweep/models" / f"{module}.py").open("a") as end:
            end.write("\nADDED = 1\n")
        after = code_of_each(scripts)
        changed = {script for script in before if after[script] != before[script]}
        assert changes <= changed and not stays & changed, module
        before = after


def test_files_are_looked_at_without_what_loads_or_fetches_them():
    code = "import sys, idsweep.models.folders; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "idsweep.models.folders" in loaded
    assert not {"torch", "transformers", "huggingface_hub", "idsweep.models.hub", "idsweep.models.tokenizers"} & loaded
