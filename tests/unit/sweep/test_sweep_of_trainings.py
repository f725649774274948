"""Sweeps over models that the workflow trains: varied values, what they were trained on, equations."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.project import SCRIPTS
from builders.sweeps import GROKKING, NEWS, SUMS, graph_of, loaded
from idsweep.config.load import ConfigError
from idsweep.data import equations
from idsweep.data.corpora import Part, load_sequences, read_corpus, split_sequences
from idsweep.sweep.sweep import Sweep
from idsweep.training import kinds

TRAINING = SCRIPTS / "idsweep/training"
SWEEP = {"sweep": "s", "models": {"mine": None}, "datasets": ["trained_on", "held_out"]}


def sweep_of(entry: dict[str, Any], sums: dict[str, Any] = SUMS, others: Any = None, **keys: Any) -> Sweep:
    catalog = {"models": {"mine": entry, **(others or {})}, "datasets": {"sums": sums}}
    return sweeps.sweep_of({**SWEEP, "catalog": catalog, **keys})


def tiny_neox(**changes: Any) -> dict[str, Any]:
    return loaded(NEWS)["catalog"]["models"]["tiny_neox"] | changes


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
    with pytest.raises(
        ConfigError, match=r"mine\.vary\.training\.seed: mine does not vary this key; .*training\.fraction"
    ):
        sweep_of(entry, models={"mine": {"vary": {"training.seed": [0]}}})
    with pytest.raises(ConfigError, match=r"models\.mine\.vary: the entry of mine in the catalog has no `vary`"):
        sweep_of(GROKKING, models={"mine": {"vary": {"training.fraction": [0.5]}}})


def test_a_varied_key_need_not_stand_in_the_entry() -> None:
    entry = copy.deepcopy(GROKKING)
    del entry["training"]["fraction"]
    (model,) = sweep_of(entry | {"vary": {"training.fraction": [0.25]}}).models.values()
    assert model.name == "mine-fraction0.25"


def test_each_varied_value_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"catalog\.models\.mine\.vary\.training\.fraction: 1\.5 is out of range"):
        sweep_of(GROKKING | {"vary": {"training.fraction": [0.5, 1.5]}})
    with pytest.raises(ConfigError, match=r"mine\.vary\.training\.fractio: unknown key; did you mean 'fraction'"):
        sweep_of(GROKKING | {"vary": {"training.fractio": [0.5]}})
    with pytest.raises(ConfigError, match=r"mine\.vary"):
        sweep_of(GROKKING | {"vary": {"kind": ["causal"]}})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vary": {"training.fraction": 0.5}}, r"mine\.vary\.training\.fraction: 0\.5 is of the wrong type"),
        ({"vary": {"training.fraction": [0.5, "a"]}}, r"mine\.vary\.training\.fraction: 'a' is of the wrong type"),
        ({"vary": {"training.seed": [1, 2]}, "seeds": [3]}, r"mine\.vary\.training\.seed: .* write `seeds:`"),
        (
            {"training": GROKKING["training"] | {"seed": 5}, "seeds": [3]},
            r"mine\.training\.seed: `seeds` gives each run",
        ),
        ({"seeds": [2**31]}, r"mine\.seeds\[0\]: 2147483648 is out of range; it must be ≤ 2147483647"),
        ({"training": GROKKING["training"] | {"seed": 2**31}}, r"mine\.training\.seed: 2147483648 is out of range"),
    ],
)
def test_a_wrong_variation_is_the_only_complaint_and_names_its_key(changes: dict[str, Any], complaint: str) -> None:
    entry = copy.deepcopy(GROKKING)
    del entry["training"]["fraction"]
    given = (
        entry | {"vary": {"training.fraction": [0.5]}} | changes if "training" not in changes else GROKKING | changes
    )
    if "fraction" not in given["training"] and "training.fraction" not in given["vary"]:
        given["training"]["fraction"] = 0.5
    with pytest.raises(ConfigError, match=complaint) as raised:
        sweep_of(given)
    assert len(raised.value.complaints) == 1


def test_two_values_that_give_runs_one_name_are_told() -> None:
    entry = tiny_neox(vary={"architecture.hidden_act": [4, "4"]})
    complaint = r"mine\.vary: architecture\.hidden_act 4 and architecture\.hidden_act '4' give two runs the same name"
    with pytest.raises(ConfigError, match=complaint):
        sweep_of(entry, datasets=["lee_news"], tokens={"max_length": 128})


def test_runs_of_two_entries_are_no_seeds_of_one_model() -> None:
    varied = GROKKING | {"vary": {"training.fraction": [0.2, 0.5]}, "seeds": [3]}
    given = {"others": {"mine-fraction0.2": GROKKING}, "models": {"mine": None, "mine-fraction0.2": None}}
    with pytest.raises(
        ConfigError, match=r"models: mine and mine-fraction0\.2 both have runs named 'mine-fraction0\.2'"
    ):
        sweep_of(varied, **given)


@pytest.mark.parametrize(
    ("training", "vary", "complaint"),
    [
        ({"decay_steps": 19}, {}, r"mine\.training\.decay_steps: 19 is less than the 20 steps"),
        (
            {"decay_steps": 20, "warmup_steps": 20},
            {},
            r"mine\.training\.warmup_steps: 20 must be less than decay_steps",
        ),
        (
            {},
            {"training.fraction": [0.5, 0.999]},
            r"mine\.vary\.training\.fraction: 0\.999 of 49 equations leaves one side",
        ),
    ],
)
def test_settings_that_do_not_fit_the_equations_are_told(
    training: dict[str, Any], vary: dict[str, Any], complaint: str
) -> None:
    entry = GROKKING | {"training": GROKKING["training"] | training} | ({"vary": vary} if vary else {})
    with pytest.raises(ConfigError, match=complaint):
        sweep_of(entry)


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
    assert [name for *_, name in sweep.passes()] == ["trained_on", "held_out"] * 3


def test_a_language_model_too_is_measured_on_what_it_was_trained_on() -> None:
    sweep = sweep_of(tiny_neox(), tokens={"max_length": 128})
    assert sweep.corpus("held_out", sweep.models["mine"].entry).name == "lee_news"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"models": {"mine": None, "minilm": None}}, r"datasets: trained_on: minilm is not trained here"),
        ({"datasets": ["lee_news"]}, r"datasets: lee_news: mine is trained on the equations of sums and knows no other sequences; measure"),
        ({"tokens": {"max_length": 3}}, r"tokens\.max_length: 3 is less than the 4 tokens of equations"),
        ({"tokens": {"select": "classes"}}, r"tokens\.classes: name at least one"),
        ({"sums": SUMS | {"modulus": 1}}, r"catalog\.datasets\.sums\.modulus: 1"),
        ({"sums": SUMS | {"task": "division", "modulus": 8}}, r"catalog\.datasets\.sums: modulus: 8 is no prime"),
        ({"sums": SUMS | {"column": "c"}}, r"catalog\.datasets\.sums: column: the loader 'equations' takes no such key"),
        ({"sums": {"loader": "equations", "task": "addition"}}, r"catalog\.datasets\.sums: modulus: addition needs one"),
        ({"tokens": {"select": "classes", "classes": ["banana"]}}, r"tokens\.classes: 'banana' is not a class of equations; .*operand"),
        ({"sums": SUMS | {"split": "test"}}, r"catalog\.datasets\.sums: split: the loader 'equations' has none"),
        ({"models": {"mine": {"metrics": {"train_loss": "a.csv"}}}}, r"metrics\.train_loss: this name is taken"),
        ({"models": {"mine": {"metrics": {"local_dimension": "a.csv"}}}}, r"metrics\.local_dimension: this name is taken"),
        ({"reference": "nowhere.csv"}, r"reference: there is no file 'nowhere\.csv'"),
        ({"models": {"mine": {"metrics": {"f1": "nowhere.csv"}}}}, r"models\.mine\.metrics\.f1: there is no file 'nowhere\.csv'"),
        ({"models": {"mine": {"metrics": {"f1": "a{seed}.csv"}}}}, r"metrics\.f1: 'a\{seed\}\.csv' contains \{seed\}"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_told(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_of(GROKKING, **keys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": {"vocabulary_size": 300}}, r"mine\.tokenizer: a model with `train: grokking` makes its own vocabulary and takes no tokenizer"),
        ({"kind": "masked"}, r"mine\.kind: 'masked' is not what this training makes"),
        ({"training": GROKKING["training"] | {"dataset": "lee_news"}}, r"training\.dataset: lee_news has the loader text; `train: grokking` needs a dataset with the loader equations"),
        ({"architecture": GROKKING["architecture"] | {"max_position_embeddings": 3}}, r"max_position_embeddings: 3 is less than"),
        ({"architecture": GROKKING["architecture"] | {"num_attention_heads": 3}}, r"architecture\.num_attention_heads: 3 heads cannot share a width of 128"),
        ({"architecture": GROKKING["architecture"] | {"dropout": 1}}, r"architecture\.dropout: 1 is out of range; it must be < 1"),
        ({"architecture": GROKKING["architecture"] | {"n_inner": 64}}, r"architecture\.n_inner"),
        ({"architecture": {"model_type": "gpt2", "num_hidden_layers": 2}}, r"architecture\.model_type: 'gpt2'.*equation_decoder"),
        ({"kind": "causal"}, r"mine\.kind: 'causal' is not what this training makes; expected encoder"),
        ({"checkpoints": "step{0..30/10}"}, r"mine\.checkpoints: step30 are beyond training\.steps = 20"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_of(GROKKING | changes)


def test_a_masked_model_is_trained_by_masking() -> None:
    masked = tiny_neox(kind="masked")
    with pytest.raises(
        ConfigError, match=r"masking: kind 'masked' needs this key; give it, or choose kind causal or enc"
    ):
        sweep_of(masked, datasets=["lee_news"], tokens={"max_length": 128})
    masked["training"] = masked["training"] | {"masking": 0.15}
    assert sweep_of(masked, datasets=["lee_news"], tokens={"max_length": 128}).models["mine"].kind == "masked"
    with pytest.raises(
        ConfigError, match=r"masking: this key is not for kind 'causal'; .*choose kind masked or encoder"
    ):
        sweep_of(masked | {"kind": "causal"}, datasets=["lee_news"], tokens={"max_length": 128})


def test_texts_are_not_equations() -> None:
    entry = tiny_neox()
    entry["training"] = entry["training"] | {"dataset": "sums"}
    with pytest.raises(
        ConfigError, match=r"training\.dataset: .* has the loader equations; train on it with `train: grokking`"
    ):
        sweep_of(entry, datasets=["lee_news"], tokens={"max_length": 128})


def test_models_of_one_tokenizer_cannot_each_have_their_own_texts() -> None:
    twin = tiny_neox(tokenizer={"of": "mine"})
    given = {"others": {"twin": twin}, "tokens": {"max_length": 128}}
    for models in ({"mine": None, "twin": None}, {"twin": None}):
        with pytest.raises(
            ConfigError, match="twin has the tokenizer of another entry, mine, which was trained on other texts"
        ):
            sweep_of(tiny_neox(), **given, models=models)
    borrowed = tiny_neox(tokenizer={"of": "minilm"})
    with pytest.raises(ConfigError, match="mine has the tokenizer of another entry, minilm"):
        sweep_of(borrowed, tokens={"max_length": 128})


def test_a_model_that_reads_no_text_may_stand_beside_what_others_were_trained_on() -> None:
    models = {"mine": None, "minilm": {"layers": ["input_embeddings"]}}
    assert [name for model, _, name in sweep_of(GROKKING, models=models).passes() if model.name == "minilm"] == [
        "vocabulary"
    ]


def test_a_name_that_stands_for_training_texts_is_taken() -> None:
    with pytest.raises(ConfigError, match=r"catalog\.datasets\.held_out: this name is reserved for"):
        catalog = {"models": {"mine": GROKKING}, "datasets": {"sums": SUMS, "held_out": SUMS}}
        sweeps.sweep_of({**SWEEP, "catalog": catalog})


def test_equations_that_are_measured_themselves_are_of_no_split(tmp_path: Path) -> None:
    sweep = sweep_of(GROKKING, datasets=["sums", "held_out"])
    assert [dataset.split for dataset in sweep.datasets.values()] == ["all", "validation"]
    assert sweep_of(GROKKING, tokens={"select": "classes", "classes": ["oper*", "equals"]}).models
    signatures = {
        graph_of(sweep_of(GROKKING, sums=SUMS | more), tmp_path).signature("train_grokking", model="mine")
        for more in ({}, {"strip": False}, {"split": "train"})
    }
    assert len(signatures) == 1


def test_a_batch_may_be_larger_than_the_equations_it_is_drawn_from() -> None:
    assert sweep_of(GROKKING | {"training": GROKKING["training"] | {"batch_size": 512}}).models


def test_the_seeds_of_the_split_and_of_the_model_are_two_keys(tmp_path: Path) -> None:
    def signatures(**training: Any) -> tuple[str, str]:
        """Of the training, and of the equations that it is measured on."""
        entry = GROKKING | {"training": GROKKING["training"] | training}
        graph = graph_of(sweep_of(entry), tmp_path)
        return graph.signature("train_grokking", model="mine"), graph.signature(
            "sample_tokens", tokenizer="mine", dataset="trained_on"
        )

    default = signatures()
    assert signatures(model_seed=1234) == default
    other_model, other_split = signatures(model_seed=1), signatures(seed=1)
    assert other_model[0] != default[0] and other_model[1] == default[1]
    assert other_split[0] != default[0] and other_split[1] != default[1]


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_each_run_brings_metrics_of_its_own(tmp_path: Path) -> None:
    entry = GROKKING | {"vary": {"training.fraction": [0.2, 0.5]}, "seeds": [3]}
    for name in ("m", "mine-fraction0.2-seed3", "mine-fraction0.5-seed3"):
        write(tmp_path / f"{name}.csv", "step,value", "0,0.5", "10,0.75")
    with pytest.raises(
        ConfigError, match=r"metrics\.f1: .*m\.csv' would be the metric of both mine-fraction0\.2-seed3 and mine-"
    ):
        sweep_of(entry, models={"mine": {"metrics": {"f1": str(tmp_path / "m.csv")}}})
    sweep = sweep_of(entry, models={"mine": {"metrics": {"f1": str(tmp_path / "{run}.csv")}}})
    assert [(model.name, file.stem) for model, _, file in sweep.brought_metrics()] == [
        (name, name) for name in ("mine-fraction0.2-seed3", "mine-fraction0.5-seed3")
    ]
    one = {"metrics": {"f1": str(tmp_path / "m.csv")}, "vary": {"training.fraction": [0.5]}}
    assert list(sweep_of(entry, models={"mine": one}).models) == ["mine-fraction0.5-seed3"]


@pytest.mark.parametrize(
    ("metric", "lines", "complaint"),
    [
        ("f1", ["step,valu", "1,2"], "models.mine.metrics.f1: {file} has no column 'value'"),
        ("f1", ["step,value", "1,inf"], "models.mine.metrics.f1: {file}, column 'value': a value is infinite"),
        (
            "jga_accuracy",
            ["step,value", "1,52"],
            "models.mine.metrics.jga_accuracy: {file}: the accuracy 52.0 is not between 0 and 1",
        ),
    ],
)
def test_brought_metrics_are_read_before_anything_runs(
    tmp_path: Path, metric: str, lines: list[str], complaint: str
) -> None:
    file = write(tmp_path / "m.csv", *lines)
    with pytest.raises(ConfigError, match=re.escape(complaint.format(file=file))):
        sweep_of(GROKKING, models={"mine": {"metrics": {metric: file}}})


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("mine-fraction0.2,local_dimension,0,5", None),
        ("mine-fraction0.9,validation_accuracy,0,1", None),  # of the whole entry, or of others like it
        ("mine-seed3,local_dimension,0,5", "'mine-seed3' is not a model of this sweep (a name without its seed)"),
        ("mine,local_dimension,0,5", "'mine' is not a model of this sweep"),
        ("mine-fraction0.5,dimension,0,5", "the quantity 'dimension' is not known in this sweep; did you mean"),
        ("mine-fraction0.5,local_dimension,-1,5", "column 'step': steps must not be negative"),
    ],
)
def test_published_values_are_read_before_anything_runs(tmp_path: Path, row: str, complaint: str | None) -> None:
    entry = GROKKING | {"vary": {"training.fraction": [0.2, 0.5]}, "seeds": [3]}
    file = write(tmp_path / "r.csv", "model,quantity,step,value", row)
    given = {"models": {"mine": {"vary": {"training.fraction": [0.5]}}}, "reference": file}
    if complaint is None:
        assert sweep_of(entry, **given).config["reference"] == file
    else:
        with pytest.raises(ConfigError, match=r"reference: .*" + re.escape(complaint)):
            sweep_of(entry, **given)


def test_the_known_metrics_are_those_that_trainings_write() -> None:
    from_scratch = {"language_model", "grokking"}  # what the others write, their own tests look at
    from_base = {name for name in kinds.names() if kinds.get(name).from_base}
    assert from_scratch | from_base | {"word_vectors"} == set(kinds.names())
    for name in from_scratch:
        source = (TRAINING / f"{name}.py").read_text()
        assert set(re.findall(r"`(\w+_(?:loss|accuracy))`", source)) == set(kinds.get(name).metrics)


def test_the_sampled_part_is_that_of_the_training(tmp_path: Path) -> None:
    sums = graph_of(sweep_of(GROKKING), tmp_path).settings("sample_tokens", tokenizer="mine", dataset="held_out")
    _, held_out = equations.split(49, 0.5, 0)
    assert read_corpus(sums["texts"]["entry"], part=Part(**sums["part"])).index.tolist() == held_out.tolist()
    sweep = sweep_of(tiny_neox(), tokens={"max_length": 128})
    news = graph_of(sweep, tmp_path).settings("sample_tokens", tokenizer="mine", dataset="held_out")
    entry, file = news["texts"]["entry"], sweep.corpora["lee_news"].file
    _, texts = split_sequences(load_sequences(entry, file), 0.1, 0)
    assert read_corpus(entry, file, part=Part(**news["part"])).texts == texts


def test_each_model_s_own_texts_need_classes() -> None:
    """`trained_on` is other texts for each model: those of the last one are not all."""
    tokens = {"select": "classes", "classes": ["operand"], "max_length": 128}
    for models in (["mine", "news"], ["news", "mine"]):
        with pytest.raises(ConfigError, match=r"tokens\.select: trained_on has no classes"):
            sweep_of(GROKKING, others={"news": tiny_neox()}, models=dict.fromkeys(models), tokens=tokens)
