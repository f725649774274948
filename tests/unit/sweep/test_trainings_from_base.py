"""Entries whose training starts from another model: what they may say, what they become, and what makes them stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.sweeps import LABELLED, NEWS, TUNED, complaints_of_entry, graph_of, loaded, sweep_of_entry
from idsweep.config.load import ConfigError
from idsweep.sweep.models import Model
from idsweep.training import kinds
from idsweep.workflow.job_graph import JobGraph
from safetensors.numpy import save_file

CLASSIFIER: dict[str, Any] = {
    "train": "fine_tuned_classifier",
    "base": "minilm",
    "kind": "encoder",
    "training": {"dataset": "labelled:train", "validation": "labelled:validation", "max_length": 64, "epochs": 2},
    "checkpoints": "epoch{0,1,2}",
}
RANKS = TUNED | {"train": "lora_embedding", "training": TUNED["training"] | {"rank": 4}}


def model_of(entry: dict[str, Any], **keys: Any) -> Model:
    return sweep_of_entry(entry, **keys).models["mine"]


def training(entry: dict[str, Any], *without: str, **changes: Any) -> dict[str, Any]:
    kept = {key: value for key, value in entry["training"].items() if key not in without}
    return entry | {"training": kept | changes}


def test_a_fine_tuned_model_has_its_base_s_shape_and_tokens() -> None:
    sweep = sweep_of_entry(TUNED)
    model = sweep.models["mine"]
    assert (model.depth, model.positions, model.tokenizer.name) == (4, 256, "tiny_neox")
    assert (model.start[0].name, model.start[1].name, model.base) == ("tiny_neox", "step512", None)
    assert list(sweep.known) == ["mine", "tiny_neox"] and list(sweep.known["tiny_neox"].checkpoints) == ["step512"]
    assert set(sweep.corpora) == {"lee_news", "film_reviews"}
    assert {key: corpus.name for key, corpus in sweep.training_corpora(model.entry).items()} == {
        "dataset": "film_reviews",
        "validation": "lee_news",
    }


def test_low_rank_updates_are_loaded_onto_the_base_and_whole_weights_are_not() -> None:
    assert model_of(TUNED).base is None
    model = model_of(training(TUNED, lora={"rank": 2}))
    assert model.base == model.start and model.base[1].name == "step512"
    assert model_of(RANKS).base is None, "an update of the embeddings is saved in the whole model"


def test_epochs_take_the_place_of_steps_in_names_and_tables() -> None:
    model = model_of(CLASSIFIER)
    assert [(checkpoint.name, checkpoint.step) for checkpoint in model.checkpoints.values()] == [
        ("epoch0", 0), ("epoch1", 1), ("epoch2", 2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "rule", "metrics"),
    [
        (TUNED, "fine_tune_language_model", {"train_loss", "validation_loss"}),
        (
            RANKS,
            "train_lora_embedding",
            {"train_loss", "validation_loss", "validation_perplexity", "base_validation_loss"},
        ),
        (
            CLASSIFIER,
            "fine_tune_classifier",
            {
                f"{part}_{s}"
                for part in ("train", "validation")
                for s in ("loss", "accuracy", "macro_f1", "weighted_f1")
            },
        ),
        (
            training(CLASSIFIER, test="labelled:test"),
            "fine_tune_classifier",
            {
                f"{part}_{score}"
                for part in ("train", "validation", "test")
                for score in ("loss", "accuracy", "macro_f1", "weighted_f1")
            },
        ),
    ],
)
def test_each_training_has_a_rule_and_metrics_of_its_own(entry: dict[str, Any], rule: str, metrics: set[str]) -> None:
    model = model_of(entry)
    assert model.made_by == rule
    assert set(model.metric_names) == metrics


def test_varied_ranks_are_models_of_one_base() -> None:
    sweep = sweep_of_entry(RANKS | {"vary": {"training.rank": [1, 4]}})
    assert {name: dict(model.varied) for name, model in sweep.models.items()} == {
        "mine-rank1": {"training.rank": 1},
        "mine-rank4": {"training.rank": 4},
    }
    assert [name for name in sweep.known if name not in sweep.models] == ["tiny_neox"]


def without(entry: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no base": (without(TUNED, "base", "base_checkpoint"), ".base: this key is required for a model with `train: fine_tuned_lang"),
    "unknown base": (TUNED | {"base": "tiny_nex"}, ".base: 'tiny_nex' is not in the catalog of models; did you mean 'tiny_neox'?"),
    "base of several checkpoints": (
        without(TUNED, "base_checkpoint"),
        ".base_checkpoint: tiny_neox has 11 checkpoints; name the one to build on",
    ),
    "unknown checkpoint of the base": (
        TUNED | {"base_checkpoint": "step500"},
        ".base_checkpoint: 'step500' is not a checkpoint of tiny_neox; did you mean 'step",
    ),
    "steps and epochs": (training(TUNED, epochs=2), ".training: give either steps or epochs"),
    "neither steps nor epochs": (training(TUNED, "steps"), ".training: give either steps or epochs"),
    "no checkpoints": (without(TUNED, "checkpoints"), ".checkpoints: this key is required"),
    "checkpoints by epochs of a training by steps": (
        TUNED | {"checkpoints": "epoch{0,1}"},
        ".checkpoints: 'epoch{0,1}' is not what training writes; expected 'step{…}'",
    ),
    "checkpoints by steps of a training by epochs": (
        CLASSIFIER | {"checkpoints": "step{0,2}"},
        ".checkpoints: 'step{0,2}' is not what training writes; expected 'epoch{…}'",
    ),
    "checkpoints beyond the epochs": (CLASSIFIER | {"checkpoints": "epoch{1,3}"}, ".checkpoints: epoch3 are beyond training.epochs = 2"),
    "checkpoints beyond the steps": (TUNED | {"checkpoints": "step{30}"}, ".checkpoints: step30 are beyond training.steps = 20"),
    "architecture": (
        TUNED | {"architecture": {"model_type": "gpt2", "num_hidden_layers": 2}},
        ".architecture: this key has no meaning for `train: fine_tuned_language_model`; remove it",
    ),
    "tokenizer": (TUNED | {"tokenizer": {"of": "minilm"}}, ".tokenizer: this key is taken from the `base`; set it there"),
    "language model that is none": (TUNED | {"kind": "encoder"}, ".kind: 'encoder' is not what this training makes; expected causal, or masked"),
    "classifier that is none": (CLASSIFIER | {"kind": "causal"}, ".kind: 'causal' is not what this training makes; expected encoder"),
    "masks of a causal model": (training(TUNED, masking=0.15), ".training.masking: this key is not for kind 'causal'; remove it, or choose kind masked"),
    "frozen weights under updates": (
        training(TUNED, lora={}, freeze=["*embed*"]),
        ".training.freeze: with lora all weights of the base are frozen anyway",
    ),
    "first sequences without their number": (
        training(TUNED, choose="first"),
        ".training.choose: all sequences are trained on, so that none are chosen; set sequences, or remove this key",
    ),
    "seed of a draw of all sequences": (training(TUNED, draw_seed=1), ".training.draw_seed: no sequences are drawn"),
    "seed of a draw of the first sequences": (
        training(TUNED, sequences=10, choose="first", draw_seed=1),
        ".training.draw_seed: no sequences are drawn, but the first ones or all are taken; remove this key",
    ),
    "classes of a language model": (training(TUNED, scored_classes=["pos"]), ".training.scored_classes: unknown key"),
    "warm-up of a constant rate": (
        training(TUNED, schedule="constant", warmup_steps=5),
        ".training.warmup_steps: the schedule constant has none; choose constant_with_warmup",
    ),
    "longer than the model takes": (training(TUNED, max_length=300), ".training.max_length: 300 tokens are more than mine accepts; expected at most 256"),
    "low-rank updates of embeddings": (training(RANKS, lora={}), ".training.lora: unknown key"),
    "no rank": (training(RANKS, "rank"), ".training.rank: this key is required"),
    "no sequences to validate on": (training(TUNED, "validation"), ".training.validation: this key is required"),
    "unknown dataset": (training(TUNED, validation="lee_new"), ".training.validation: 'lee_new' is not in the catalog of datasets"),
    "dataset without splits": (training(TUNED, validation="lee_news:validation"), "catalog.datasets.lee_news: it is one file or folder without splits"),
    "the texts of another training": (training(TUNED, dataset="trained_on"), ".training.dataset: 'trained_on' is reserved for the texts that each model is trained on"),
    "texts without labels": (
        training(CLASSIFIER, validation="lee_news"),
        ".training.validation: lee_news has no labels; give its entry in the catalog a label_column or a label_pattern",
    ),
    "test texts without labels": (training(CLASSIFIER, test="lee_news"), ".training.test: lee_news has no labels"),
    "seed beside training": (TUNED | {"seed": 1}, ".seed: the seed of a trained model is training.seed; remove this key"),
    "equations": (
        training(TUNED, dataset="addition_mod_197"),
        ".training.dataset: addition_mod_197 has the loader equations; train on it with `train: grokking`, or name a dataset of texts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_a_training_cannot_be_is_told_alone(case: str) -> None:
    entry, expected = WRONG[case]
    (complaint,) = complaints_of_entry(entry)
    assert complaint.startswith(expected if not expected.startswith(".") else f"catalog.models.mine{expected}")


def graph(folder: Path, entry: dict[str, Any], others: dict[str, Any] | None = None, **keys: Any) -> JobGraph:
    return graph_of(sweep_of_entry(entry, others, **keys), folder)


def base_in(folder: Path, weight: float) -> dict[str, Any]:
    """An encoder on the disk with one weight."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"num_hidden_layers": 2, "hidden_size": 8, "model_type": "bert"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.full(3, weight, dtype=np.float32)}, folder / "model.safetensors")
    return {"path": str(folder), "kind": "encoder"}


def test_other_weights_of_the_base_make_stale_the_training_and_all_that_follows(tmp_path: Path) -> None:
    entry = CLASSIFIER | {"base": "theirs"}
    signatures = []
    for weight in (0.0, 1.0):
        job = graph(tmp_path, entry, {"theirs": base_in(tmp_path / "theirs", weight)})
        at = {"model": "mine", "checkpoint": "epoch2", "dataset": "lee_news"}
        signatures.append(
            {
                "training": job.signature("fine_tune_classifier", model="mine"),
                "embeddings": job.signature("extract_embeddings", **at),
                "neighbors": job.signature("find_neighbors", **at, cloud="points"),
                "curves": job.signature("collect_training"),
                "tokens": job.signature("sample_tokens", tokenizer="theirs", dataset="lee_news"),
            }
        )
    one, two = signatures
    assert {name for name in one if one[name] != two[name]} == {"training", "embeddings", "neighbors", "curves"}


def test_another_training_of_the_base_makes_the_fine_tuned_model_stale(tmp_path: Path) -> None:
    given = loaded(NEWS)["catalog"]["models"]["tiny_neox"]
    for entry, rule in ((TUNED, "fine_tune_language_model"), (RANKS, "train_lora_embedding")):
        signatures = [
            graph(tmp_path, entry, {"tiny_neox": training(given, seed=seed)}).signature(rule, model="mine")
            for seed in (0, 0, 1)
        ]
        assert signatures[0] == signatures[1] != signatures[2]


@pytest.mark.parametrize(
    ("entry", "stale"),
    [
        (training(CLASSIFIER, test="labelled:test"), True),
        (training(CLASSIFIER, validation="labelled:test"), True),
        (training(CLASSIFIER, learning_rate=0.001), True),
        (training(CLASSIFIER, freeze=["*layer.0*"]), True),
        (training(CLASSIFIER, lora={"rank": 2}), True),
        (training(CLASSIFIER, sequences=100, choose="first"), True),
        (training(CLASSIFIER, bias_correction=False), True),
        (training(CLASSIFIER, order="same"), True),
        (training(CLASSIFIER, head_dropout=0.3), True),
        (training(CLASSIFIER, scored_classes=["pos"]), True),
        (CLASSIFIER | {"checkpoints": "epoch{0,2}"}, True),
        (CLASSIFIER | {"dtype": "float16"}, False),
        (CLASSIFIER | {"size_gb": 3.0}, False),
    ],
)  # fmt: skip
def test_what_shapes_the_weights_makes_the_training_stale(tmp_path: Path, entry: dict[str, Any], stale: bool) -> None:
    one, two = (graph(tmp_path, given).signature("fine_tune_classifier", model="mine") for given in (CLASSIFIER, entry))
    assert (one != two) is stale


def test_later_keys_at_their_defaults_are_no_settings(tmp_path: Path) -> None:
    keys = kinds.get("fine_tuned_classifier").keys
    defaults = {key: part["default"] for key, part in keys.items() if part.get("added")}
    assert {"choose", "draw_seed", "evaluated", "bias_correction", "order", "head_dropout"} < defaults.keys()
    settings = [
        graph(tmp_path, entry).settings("fine_tune_classifier", model="mine")["training"]
        for entry in (CLASSIFIER, training(CLASSIFIER, **defaults))
    ]
    assert settings[0] == settings[1] and not defaults.keys() & settings[0].keys()


def test_labels_make_stale_the_classifier_alone(tmp_path: Path) -> None:
    """Another label column changes no text: tokens of that dataset stay, and trainings that read no labels."""
    measured = {"models": {"mine": None, "plain": None, "minilm": None}, "datasets": ["labelled:train"]}
    plain = training(TUNED, dataset="labelled:train")
    one, two = (
        graph(tmp_path, CLASSIFIER, {"plain": plain}, labelled=labelled, **measured)
        for labelled in (LABELLED, LABELLED | {"label_pattern": "^__label__(\\w)"})
    )
    at = {"checkpoint": "final", "model": "minilm", "dataset": "labelled--train"}
    jobs = {
        "sample_tokens": {"tokenizer": "minilm", "dataset": "labelled--train"},
        "extract_embeddings": at,
        "fine_tune_language_model": {"model": "plain"},
        "fine_tune_classifier": {"model": "mine"},
    }
    changed = {rule for rule, names in jobs.items() if one.signature(rule, **names) != two.signature(rule, **names)}
    assert changed == {"fine_tune_classifier"}
    assert one.settings("fine_tune_classifier", model="mine")["texts"]["dataset"]["entry"]["label_pattern"]


def test_the_texts_of_a_base_s_tokenizer_are_not_those_of_a_fine_tuning() -> None:
    with pytest.raises(ConfigError, match=r"tiny_neox, which was trained on other texts; measure it on film_reviews"):
        sweep_of_entry(TUNED, datasets=["trained_on"])


def test_what_is_fine_tuned_as_a_whole_is_as_large_as_its_base() -> None:
    theirs = {"hub": "a/b", "kind": "causal", "layers": 2, "size_gb": 14.0}
    entry = without(TUNED, "base_checkpoint") | {"base": "theirs"}
    sizes = {
        name: sweep_of_entry(given, {"theirs": theirs}).models["mine"].size_gb
        for name, given in {
            "whole": entry,
            "said": entry | {"size_gb": 28.0},
            "adapter": training(entry, lora={"rank": 2}),
        }.items()
    }
    assert sizes == {"whole": 14.0, "said": 28.0, "adapter": 1}
    assert sweep_of_entry(TUNED).models["mine"].size_gb == 1


def test_where_and_how_it_is_computed_makes_no_training_stale(tmp_path: Path) -> None:
    given = {"compute": {"device": "cpu", "batch_tokens": 64}, "keep_embeddings": True, "title": "T"}
    one, two = graph(tmp_path, TUNED), graph(tmp_path, TUNED, **given)
    assert one.signature("fine_tune_language_model", model="mine") == two.signature(
        "fine_tune_language_model", model="mine"
    )
    assert one.signature("collect_estimates") == two.signature("collect_estimates")


def test_what_is_compared_makes_the_shifts_stale_alone(tmp_path: Path) -> None:
    models = {"tiny_neox": {"checkpoints": ["step256", "step512"]}, "mine": None}
    one, two = (
        graph(tmp_path, TUNED, models=models, comparisons=given, figures={"shifts": {}})
        for given in ([], [{"model": "mine", "base": "tiny_neox", "base_checkpoint": "step256"}])
    )
    assert one.signature("collect_shifts") != two.signature("collect_shifts")
    for rule in ("collect_estimates", "collect_losses"):
        assert one.signature(rule) == two.signature(rule), rule


def test_ranks_are_shown_beside_the_model_that_they_were_trained_from() -> None:
    ranks = RANKS | {"vary": {"training.rank": [1, 4]}}
    base = {"tiny_neox": {"checkpoints": ["step512"]}}
    given = {"layers": ["input_embeddings"], "datasets": [], "figures": {"ranks": {}}}
    given["estimator_sets"] = {"e": [{"estimator": "mle", "scope": "global", "n_neighbors": 20}]}
    assert sweep_of_entry(ranks, models=base | {"mine": None}, **given).models
    for others, held in (
        ({}, r"there is none without training\.rank"),
        (base | {"minilm": None}, "there are tiny_neox, minilm"),
    ):
        with pytest.raises(ConfigError, match=rf"figures\.ranks\.base: .* but {held}; measure"):
            sweep_of_entry(ranks, models=others | {"mine": None}, **given)
    chosen = {"figures": {"ranks": {"base": "tiny_neox"}}}
    assert sweep_of_entry(ranks, models=base | {"minilm": None, "mine": None}, **(given | chosen)).models
