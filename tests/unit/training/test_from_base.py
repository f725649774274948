"""What a base brings to the trainings that start from it: the options that load it, and those that forbid a training."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from builders import sweeps
from builders.model_folders import save_model
from builders.project import PROJECT
from builders.sweeps import GROKKING, graph_of, sweep_of_entry
from builders.trainings import FROM_BASE
from idsweep.config.load import ConfigError
from idsweep.data import corpora
from idsweep.data.corpora import LabelledTexts
from idsweep.models.checkpoint_disk import room_for
from idsweep.models.checkpoints import load_model
from idsweep.models.tokenizers import load_tokenizer
from idsweep.sweep.models import Model
from idsweep.sweep.sweep import Sweep
from idsweep.training import fine_tuned_classifier, fine_tuning
from idsweep.training.fine_tuned_classifier import fine_tune_classifier, new_classifier
from idsweep.training.fine_tuned_language_model import fine_tune_language_model
from idsweep.training.fine_tuning import BASE_OPTIONS
from idsweep.training.from_base import plain_texts
from idsweep.training.lora_embedding import train_lora_embedding
from idsweep.training.task import Task
from idsweep.training.tokenizer import train_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

READ = {"dataset": "film_reviews", "validation": "lee_news", "max_length": 64, "steps": 20}
ENTRIES: dict[str, dict[str, Any]] = {
    "fine_tune_language_model": {"train": "fine_tuned_language_model", "kind": "causal", "training": READ},
    "train_lora_embedding": {"train": "lora_embedding", "kind": "causal", "training": READ | {"rank": 4}},
    "fine_tune_classifier": {
        "train": "fine_tuned_classifier",
        "kind": "encoder",
        "training": READ | {"dataset": "labelled:train", "validation": "labelled:test"},
    },
}
BASE: dict[str, Any] = {
    "hub": "a/b",
    "revision": "abc",
    "kind": "causal",
    "layers": 6,
    "dtype": "bfloat16",
    "attention": "eager",
    "prefix": "inner",
    "trust_remote_code": True,
    "tokenizer": {"prefix_space": True, "truncation_side": "left"},
}


def sweep_of(entry: dict[str, Any], base: dict[str, Any], **others: Any) -> Sweep:
    whole = {"base": "theirs", "checkpoints": "step{0,20}"} | entry
    return sweep_of_entry(whole, {"theirs": base, **others})


def model_of(entry: dict[str, Any], base: dict[str, Any]) -> Model:
    return sweep_of(entry, base).models["mine"]


@pytest.mark.parametrize("rule", ENTRIES)
def test_a_training_is_told_how_its_base_and_tokenizer_are_loaded(rule: str, tmp_path: Path) -> None:
    sweep = sweep_of(ENTRIES[rule], BASE)
    settings = graph_of(sweep, tmp_path).settings(rule, model="mine")
    assert settings["base"]["source"] == {"hub": "a/b", "revision": "abc"}
    loading = {key: settings["base"][key] for key in BASE_OPTIONS}
    assert loading == {"layers": 6, "attention": "eager", "prefix": "inner", "trust_remote_code": True}
    assert settings["tokenizer"]["options"] == {
        "prefix_space": True,
        "truncation_side": "left",
        "trust_remote_code": True,
    }


class Named(dict):
    """What Snakemake gives a script: values by name."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize("rule", ENTRIES)
def test_a_fetched_base_whose_fine_tuning_failed_keeps_no_other_waiting(
    rule: str, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """The ledger of fetched checkpoints learns of it."""
    weights = tmp_path / "checkpoints" / "theirs" / "final"
    with room_for(weights, 1.0, 2.0):
        weights.mkdir(parents=True)  # without a model
    sweep = sweep_of(ENTRIES[rule], BASE)
    graph = graph_of(sweep, tmp_path)
    files = {key: str(corpus.file) for key, corpus in sweep.training_corpora(sweep.models["mine"].entry).items()}
    given = {"weights": str(weights), "tokenizer": str(tokenizer_folder), "device": "cpu"}
    snakemake = Named(
        rule=rule,
        wildcards={"sweep": "s", "model": "mine"},
        params=Named(settings=json.dumps(graph.settings(rule, model="mine")), signature="x"),
        resources=Named(given, corpora=json.dumps(files)),
        output=Named(checkpoints=str(tmp_path / "run"), metrics=str(tmp_path / "metrics.parquet")),
        log=[str(tmp_path / "log")],
        threads=1,
    )
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROJECT / "workflow_scripts/train_model.py"), {"snakemake": snakemake})
    assert "it has no config.json" in (tmp_path / "log").read_text()
    assert json.loads((tmp_path / "checkpoints/.ledger/theirs@final.json").read_text())["failed"] is True


@pytest.mark.parametrize("entry", ENTRIES.values())
def test_what_was_trained_is_measured_as_its_base_and_whole_checkpoints_have_no_prefix(entry: dict[str, Any]) -> None:
    shared = {"layers": 6, "dtype": "bfloat16", "attention": "eager", "trust_remote_code": True}
    assert model_of(entry, BASE).loading("auto") == shared | {"kind": entry["kind"]}
    assert model_of(entry | {"dtype": "float32"}, BASE).loading("auto")["dtype"] == "float32"
    if entry["train"] != "lora_embedding":
        adapter = entry | {"training": entry["training"] | {"lora": {"rank": 2}}}
        assert model_of(adapter, BASE).loading("auto") == shared | {"kind": entry["kind"], "prefix": "inner"}


ADDITION = GROKKING | {"training": GROKKING["training"] | {"dataset": "addition_mod_197"}}
TUNED, MASKED = ENTRIES["fine_tune_language_model"], ENTRIES["fine_tune_language_model"] | {"kind": "masked"}
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an encoder-decoder": (
        ENTRIES["fine_tune_classifier"],
        BASE | {"kind": "encoder-decoder"},
        ".base: 'theirs' is of kind 'encoder-decoder', which cannot be trained further; name a causal, masked or encoder",
    ),
    "a causal model to be masked": (
        MASKED,
        BASE,
        ".kind: 'masked' needs another head than that of theirs; expected 'causal', or another `base`",
    ),
    "a masked model to be causal": (TUNED, BASE | {"kind": "masked"}, ".kind: 'causal' needs another head than that of theirs"),
    "a model of equations": (TUNED, ADDITION, ".base: 'theirs' was trained on equations and reads nothing else; name a model of texts"),
    "attention in 16 bits": (
        TUNED,
        BASE | {"attention": "flash_attention_2"},
        ".base: 'theirs' has attention 'flash_attention_2', which does not work with the 32-bit weights of trainings; set `attention: sdpa`",
    ),
    "a base of several runs": (
        TUNED,
        BASE | {"hub": "a/b-{seed}", "seeds": [1, 2]},
        ".base: 'theirs' must be a single model with weights of its own, but has `seeds`; name such an entry, or add one to the catalog",
    ),
    "an adapter": (
        TUNED,
        {"hub": "a/c", "kind": "causal", "base": "tiny_neox", "base_checkpoint": "step512"},
        ".base: 'theirs' must be a single model with weights of its own, but has `base`; name",
    ),
    "static vectors": (
        TUNED,
        {"package": "gensim", "folder": "test/test_data/pang_lee_polarity_fasttext.vec", "kind": "static"},
        ".base: 'theirs' must be a single model with weights of its own, but is of kind 'static'; name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_base_that_no_training_can_start_from_is_told_alone(case: str) -> None:
    entry, base, expected = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        sweep_of(entry, base)
    (complaint,) = caught.value.complaints
    assert complaint.startswith(f"catalog.models.mine{expected}")


def test_an_adapter_s_base_may_be_what_trainings_cannot_start_from() -> None:
    adapters = {"hub": "a/c", "kind": "encoder-decoder", "base": "theirs", "checkpoints": {"main": None}}
    base = BASE | {"kind": "encoder-decoder", "attention": "flash_attention_2"}
    assert model_of(adapters, base).loading("auto")["attention"] == "flash_attention_2"


def test_the_trainings_of_the_documentation_can_be_run() -> None:
    text = (PROJECT / "docs" / "training.md").read_text(encoding="utf-8")
    written, tracker = (block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "base:" in block)
    of_tracker = {"sweep": "s", "models": {"tracker": None}, "datasets": ["lee_news"]} | yaml.safe_load(tracker)
    assert {model.made_by for model in sweeps.sweep_of(of_tracker).models.values()} == {"train_dialogue_state_tracker"}
    sweep = sweeps.sweep_of(yaml.safe_load(written))
    assert {model.made_by for model in sweep.models.values()} == set(ENTRIES)
    vectors = yaml.safe_load(written) | {"models": {"word2vec_news": None}, "datasets": [], "figures": {}}
    (model,) = sweeps.sweep_of(vectors | {"layers": "all"}).models.values()
    assert model.made_by == "train_word_vectors"


TEXTS = [
    f"{one} {does} {other}"
    for one in ("cats", "dogs", "birds")
    for does in ("see", "hear")
    for other in ("cats", "a dog")
]
MOODS = LabelledTexts(TEXTS, ["glad", "sad"] * 6)
SETTINGS = FROM_BASE | {"max_length": 16, "checkpoints": [0, 2], "steps": 2, "batch_size": 6}
OWN_CODE = """
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model

class OwnConfig(GPT2Config):
    model_type = "own"

class OwnModel(GPT2Model):
    config_class = OwnConfig

class OwnLanguageModel(GPT2LMHeadModel):
    config_class = OwnConfig

class OwnClassifier(GPT2ForSequenceClassification):
    config_class = OwnConfig
"""
OWN_CLASSES = {
    "AutoConfig": "own.OwnConfig",
    "AutoModel": "own.OwnModel",
    "AutoModelForCausalLM": "own.OwnLanguageModel",
    "AutoModelForSequenceClassification": "own.OwnClassifier",
}
TRUSTED = {"trust_remote_code": True, "layers": 2}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, folder, vocabulary_size=280)
    return folder


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPT-2 whose config names code of its own."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "eos_token_id": 0, "bos_token_id": 0}
    return save_model(tmp_path / "base", AutoModelForCausalLM, "gpt2", vocab_size=280, **shape)


def with_own_code(folder: Path) -> Path:
    (folder / "own.py").write_text(OWN_CODE)
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | {"model_type": "own", "auto_map": OWN_CLASSES}))
    return folder


def wrapped(folder: Path) -> Path:
    """The same with all weights under the module `inner`."""
    weights = load_file(folder / "model.safetensors")
    inside = {f"inner.{name}": tensor for name, tensor in weights.items()}
    save_file(inside, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def train(rule: str, base: Path, tokenizer_folder: Path, folder: Path, **changes: Any) -> pa.Table:
    texts: tuple[Any, ...] = (MOODS, MOODS, None) if rule == "fine_tune_classifier" else (TEXTS, TEXTS)
    run, own = {
        "fine_tune_language_model": (fine_tune_language_model, {"kind": "causal"}),
        "train_lora_embedding": (train_lora_embedding, {"kind": "causal", "rank": 2}),
        "fine_tune_classifier": (fine_tune_classifier, {}),
    }[rule]
    return run(*texts, base, tokenizer_folder, folder, **SETTINGS | own | changes)


@pytest.mark.parametrize("rule", ENTRIES)
def test_a_base_of_own_code_is_trained_if_trusted_and_its_checkpoints_can_be_measured(
    rule: str, base: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    with_own_code(base)
    kind = ENTRIES[rule]["kind"]
    with pytest.raises(ValueError, match="brings code of its own"):
        train(rule, base, tokenizer_folder, tmp_path / "run")
    train(rule, base, tokenizer_folder, tmp_path / "run", loading=TRUSTED)
    start, end, before = (
        load_model(folder, kind=kind, **TRUSTED).state_dict()
        for folder in (tmp_path / "run" / "step0", tmp_path / "run" / "step2", base)
    )
    assert all(torch.equal(before[name], start[name]) for name in before)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    assert type(load_model(tmp_path / "run" / "step2", kind=kind, **TRUSTED)).__name__.startswith("Own")


def test_an_adapter_on_a_base_of_own_code_is_merged_into_it(base: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    with_own_code(base)
    lora = {"rank": 2, "alpha": 8, "dropout": 0.0, "rank_stabilized": True, "target_modules": ["c_attn"]}
    train("fine_tune_classifier", base, tokenizer_folder, tmp_path / "run", loading=TRUSTED, lora=lora)
    begun, ended = (
        load_model(base, kind="encoder", adapter=tmp_path / "run" / step, **TRUSTED).state_dict()
        for step in ("step0", "step2")
    )
    changed = [name for name in begun if not torch.equal(begun[name], ended[name])]
    assert len(changed) == 2 and all(name.endswith("c_attn.weight") for name in changed)


@pytest.mark.parametrize("rule", ENTRIES)
def test_a_base_inside_another_module_is_trained_and_saved_without_it(
    rule: str, base: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    kind = ENTRIES[rule]["kind"]
    before = load_model(base, kind=kind).state_dict()
    with pytest.raises(ValueError, match="and 'prefix'"):
        train(rule, wrapped(base), tokenizer_folder, tmp_path / "run")
    given = {"prefix": "inner.transformer" if kind == "encoder" else "inner", "layers": 2}
    train(rule, base, tokenizer_folder, tmp_path / "run", loading=given)
    start = load_model(tmp_path / "run" / "step0", kind=kind).state_dict()
    assert all(torch.equal(before[name], start[name]) for name in before)


def test_a_training_keeps_its_base_s_attention_and_number_of_layers(
    base: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    for attention in ("eager", "sdpa"):
        model = new_classifier(base, ["a", "b"], pad_token_id=0, seed=0, attention=attention)
        assert model.config._attn_implementation == attention
    with pytest.raises(ValueError, match="has 2 layers, not 3: mend `layers` of this model in the catalog"):
        train("fine_tune_language_model", base, tokenizer_folder, tmp_path / "run", loading={"layers": 3})


def test_a_training_cuts_texts_where_the_measured_ones_are_cut(
    base: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    options = {"truncation_side": "left"}
    metrics = train(
        "fine_tune_language_model", base, tokenizer_folder, tmp_path / "run", max_length=3, tokenizer_options=options
    )
    found = {row["metric"]: row["value"] for row in metrics.to_pylist() if row["step"] == 2}
    whole = load_tokenizer(tokenizer_folder)(TEXTS)["input_ids"]
    model = load_model(tmp_path / "run" / "step2", kind="causal")
    loss = {}
    for side, cut in (("left", slice(-3, None)), ("right", slice(3))):
        rows = torch.tensor([row[cut] for row in whole])
        with torch.no_grad():
            scores = model(rows).logits[:, :-1].log_softmax(-1)
        loss[side] = -scores.gather(-1, rows[:, 1:, None]).mean().item()
    assert min(map(len, whole)) >= 3 < max(map(len, whole)) and abs(loss["left"] - loss["right"]) > 1e-3
    assert found["validation_loss"] == pytest.approx(loss["left"], rel=1e-5)


LINES = [f"{mood} line {number}" for number in range(40) for mood in ("glad", "sad")]
DRAWS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all": ({"sequences": None}, LINES),
    "first": ({"sequences": 7, "choose": "first"}, LINES[:7]),
    "first, few to validate on": ({"sequences": 7, "choose": "first", "draw_seed": 9, "evaluated": 6}, LINES[:7]),
    "random": (
        {"sequences": 7},
        [LINES[i] for i in sorted(np.random.Generator(np.random.PCG64(5)).choice(80, 7, replace=False))],
    ),
    "random with a seed of its own": (
        {"sequences": 7, "draw_seed": 9},
        [LINES[i] for i in sorted(np.random.Generator(np.random.PCG64(9)).choice(80, 7, replace=False))],
    ),
    "shuffled": (
        {"sequences": 7, "choose": "shuffled", "draw_seed": 9},
        sorted(datasets.Dataset.from_dict({"text": LINES}).shuffle(seed=9)["text"][:7], key=LINES.index),
    ),
}


@pytest.mark.parametrize("given", DRAWS)
def test_the_sequences_trained_on_are_those_that_the_keys_say(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, expected = DRAWS[given]
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    entry = {"loader": "text", "path": str(tmp_path / "lines.txt"), "label_pattern": "^(\\w+)"}
    task = Task(
        settings={
            "training": keys | {"seed": 5, "steps": 1},
            "texts": {"dataset": {"entry": entry}, "validation": {"entry": entry}},
            "base": {"name": "base"},
            "checkpoints": [1],
            "tokenizer": {"options": {}},
        },
        files={"dataset": "", "validation": ""},
        tokenizer="",
        base="",
        checkpoints="",
        identity="",
        device="cpu",
    )
    drawn = task.settings["training"].get("draw_seed", 5)
    few = [LINES[i] for i in sorted(np.random.Generator(np.random.PCG64(drawn)).choice(80, 6, replace=False))]
    validated = few if "evaluated" in keys else LINES
    assert plain_texts(task) == (expected, validated)
    called = {}
    monkeypatch.setattr(
        fine_tuned_classifier, "fine_tune_classifier", lambda *texts, **settings: called.update(settings, texts=texts)
    )
    fine_tuned_classifier.train(task)
    train, validation, test = called["texts"]
    assert train == LabelledTexts(expected, [line.split()[0] for line in expected])
    assert validation.texts == validated and test is None
    assert called["seed"] == 5 and not called.keys() & {"sequences", "choose", "draw_seed", "evaluated"}


def test_sequences_are_chosen_as_corpora_are_read() -> None:
    assert fine_tuning.CHOOSE == corpora.CHOOSE
