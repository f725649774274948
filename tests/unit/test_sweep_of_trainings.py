"""Sweeps over models that the workflow trains: varied values, what they were trained on, equations."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from idsweep import config
from idsweep.config import ConfigError
from idsweep.sweep import Sweep, expand

FOLDER = Path(__file__).parents[2] / "config"
GROKKING: dict[str, Any] = {
    "train": "grokking",
    "kind": "causal",
    "architecture": {"model_type": "gpt2", "num_hidden_layers": 2, "max_position_embeddings": 8},
    "training": {"dataset": "sums", "fraction": 0.5, "steps": 20, "batch_size": 8},
    "checkpoints": "step{0..20/10}",
}
SUMS = {"loader": "equations", "task": "addition", "modulus": 7}
SWEEP = {"sweep": "s", "models": {"mine": None}, "datasets": ["trained_on", "held_out"]}


def sweep_of(entry: dict[str, Any], sums: dict[str, Any] = SUMS, others: Any = None, **keys: Any) -> Sweep:
    catalog = {"models": {"mine": entry, **(others or {})}, "datasets": {"sums": sums}}
    return expand(config.load(copy.deepcopy({**SWEEP, "catalog": catalog, **keys}), FOLDER))


def tiny_neox(**changes: Any) -> dict[str, Any]:
    whole = config.load({"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}, FOLDER)
    return whole["catalog"]["models"]["tiny_neox"] | changes


def test_varied_values_and_seeds_are_models_and_seeds_share_a_group() -> None:
    entry = GROKKING | {"vary": {"training.fraction": [0.2, 0.5]}, "seeds": [3, 4]}
    models = sweep_of(entry).models
    assert list(models) == [
        "mine-fraction0.2-seed3",
        "mine-fraction0.2-seed4",
        "mine-fraction0.5-seed3",
        "mine-fraction0.5-seed4",
    ]
    last = models["mine-fraction0.5-seed4"]
    assert (last.group, last.catalogued, last.seed, last.entry["training"]["fraction"]) == (
        "mine-fraction0.5",
        "mine",
        4,
        0.5,
    )
    assert last.made_by == "train_grokking" and last.tokenizer.made_by == "write_tokenizer"


def test_a_sweep_takes_some_of_the_varied_values() -> None:
    entry = GROKKING | {"vary": {"training.fraction": [0.2, 0.5]}, "seeds": [3, 4]}
    chosen = {"mine": {"vary": {"training.fraction": [0.5]}, "seeds": [4]}}
    assert list(sweep_of(entry, models=chosen).models) == ["mine-fraction0.5-seed4"]
    with pytest.raises(
        ConfigError, match=r"mine\.vary\.training\.fraction: \[0\.3\] are not offered; allowed: 0\.2, 0\.5"
    ):
        sweep_of(entry, models={"mine": {"vary": {"training.fraction": [0.3]}}})
    with pytest.raises(ConfigError, match=r"mine\.vary\.training\.seed: mine does not vary it; .*training\.fraction"):
        sweep_of(entry, models={"mine": {"vary": {"training.seed": [0]}}})
    with pytest.raises(ConfigError, match=r"models\.mine\.vary: the entry of mine in the catalog has no `vary`"):
        sweep_of(GROKKING, models={"mine": {"vary": {"training.fraction": [0.5]}}})


def test_a_varied_key_need_not_stand_in_the_entry() -> None:
    entry = copy.deepcopy(GROKKING)
    del entry["training"]["fraction"]
    (model,) = sweep_of(entry | {"vary": {"training.fraction": [0.25]}}).models.values()
    assert model.name == "mine-fraction0.25"


def test_each_varied_value_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"mine-fraction1\.5\.training\.fraction: 1\.5 is out of range"):
        sweep_of(GROKKING | {"vary": {"training.fraction": [0.5, 1.5]}})
    with pytest.raises(ConfigError, match=r"mine\.training\.fractio: unknown key; did you mean 'fraction'"):
        sweep_of(GROKKING | {"vary": {"training.fractio": [0.5]}})
    with pytest.raises(ConfigError, match=r"mine\.vary"):
        sweep_of(GROKKING | {"vary": {"kind": ["causal"]}})


def test_trainings_have_keys_and_defaults_of_their_own() -> None:
    (model,) = sweep_of(GROKKING).models.values()
    assert model.entry["training"]["betas"] == [0.9, 0.98]
    assert "sequence_length" not in model.entry["training"]
    wrong = copy.deepcopy(GROKKING)
    wrong["training"]["sequence_length"] = 4
    with pytest.raises(ConfigError, match=r"catalog\.models\.mine\.training\.sequence_length: unknown key"):
        sweep_of(wrong)
    assert "betas" not in tiny_neox()["training"]


def test_what_a_model_was_trained_on_is_a_dataset_of_its_own() -> None:
    sweep = sweep_of(GROKKING)
    (model,) = sweep.models.values()
    assert [(name, dataset.split) for name, dataset in sweep.datasets.items()] == [
        ("trained_on", "train"),
        ("held_out", "validation"),
    ]
    assert sweep.corpus("trained_on", model.entry).name == "sums"
    assert list(sweep.corpora) == ["sums"]
    assert [name for *_, name in sweep.clouds()] == ["trained_on", "held_out"] * 3


def test_a_language_model_too_is_measured_on_what_it_was_trained_on() -> None:
    sweep = sweep_of(tiny_neox(), tokens={"max_length": 128})
    assert sweep.corpus("held_out", sweep.models["mine"].entry).name == "lee_news"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"models": {"mine": None, "minilm": None}}, r"datasets: trained_on: minilm is not trained here"),
        ({"datasets": ["lee_news"]}, r"datasets: lee_news: mine knows no words but those of sums; measure it on trained_on"),
        ({"tokens": {"max_length": 3}}, r"tokens\.max_length: 3 is less than an equation's 4 tokens"),
        ({"tokens": {"select": "classes"}}, r"tokens\.classes: name at least one"),
        ({"sums": SUMS | {"modulus": 1}}, r"catalog\.datasets\.sums\.modulus: 1"),
        ({"sums": SUMS | {"task": "division", "modulus": 8}}, r"catalog\.datasets\.sums: modulus: 8 is no prime"),
        ({"sums": SUMS | {"column": "c"}}, r"catalog\.datasets\.sums: column: equations have no such key"),
        ({"sums": {"loader": "equations", "task": "addition"}}, r"catalog\.datasets\.sums: modulus: addition needs one"),
        ({"reference": "nowhere.csv"}, r"reference: there is no file 'nowhere\.csv'"),
        ({"models": {"mine": {"metrics": {"f1": "nowhere.csv"}}}}, r"models\.mine\.metrics\.f1: there is no file 'nowhere\.csv'"),
        ({"models": {"mine": {"metrics": {"f1": "a{seed}.csv"}}}}, r"metrics\.f1: 'a\{seed\}\.csv' has a \{seed\}"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_told(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_of(GROKKING, **keys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": {"vocabulary_size": 300}}, r"mine\.tokenizer: the words of equations are all that it takes"),
        ({"kind": "masked"}, r"mine\.kind: 'masked' is not what this training makes"),
        ({"training": GROKKING["training"] | {"dataset": "lee_news"}}, r"training\.dataset: lee_news is none of loader equations"),
        ({"architecture": GROKKING["architecture"] | {"max_position_embeddings": 3}}, r"max_position_embeddings: 3 is less than"),
        ({"checkpoints": "step{0..30/10}"}, r"mine\.checkpoints: step30 lie beyond training\.steps = 20"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_of(GROKKING | changes)


def test_a_masked_model_is_trained_by_masking() -> None:
    masked = tiny_neox(kind="masked")
    with pytest.raises(ConfigError, match=r"kind: 'masked' is not what this training makes; expected causal"):
        sweep_of(masked, datasets=["lee_news"], tokens={"max_length": 128})
    masked["training"] = masked["training"] | {"masking": 0.15}
    assert sweep_of(masked, datasets=["lee_news"], tokens={"max_length": 128}).models["mine"].kind == "masked"
    with pytest.raises(ConfigError, match=r"kind: 'causal' is not what this training makes; expected masked"):
        sweep_of(masked | {"kind": "causal"}, datasets=["lee_news"], tokens={"max_length": 128})


def test_texts_are_not_equations() -> None:
    entry = tiny_neox()
    entry["training"] = entry["training"] | {"dataset": "sums"}
    with pytest.raises(ConfigError, match=r"training\.dataset: equations are trained on with `train: grokking`"):
        sweep_of(entry, datasets=["lee_news"], tokens={"max_length": 128})


def test_models_of_one_tokenizer_cannot_each_have_their_own_texts() -> None:
    twin = tiny_neox(tokenizer={"of": "mine"})
    with pytest.raises(ConfigError, match="twin shares the tokenizer of mine, and with it the sampled tokens"):
        sweep_of(tiny_neox(), others={"twin": twin}, models={"mine": None, "twin": None}, tokens={"max_length": 128})


def test_a_name_that_stands_for_training_texts_is_taken() -> None:
    with pytest.raises(ConfigError, match=r"catalog\.datasets\.held_out: this name stands for"):
        catalog = {"models": {"mine": GROKKING}, "datasets": {"sums": SUMS, "held_out": SUMS}}
        expand(config.load(copy.deepcopy({**SWEEP, "catalog": catalog}), FOLDER))
