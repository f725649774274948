"""A classifier is the base under a new head, learns labels, and its metrics are those of a plain loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.model_folders import save_model
from builders.trainings import FROM_BASE
from idsweep.data.corpora import LabelledTexts
from idsweep.models.checkpoints import load_model
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training import fine_tuned_classifier, kinds
from idsweep.training.fine_tuned_classifier import classification_metrics, fine_tune_classifier, new_classifier
from idsweep.training.metrics import METRICS
from idsweep.training.tokenizer import train_tokenizer, word_tokenizer
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

MOODS = {
    "glad": ("good", "lovely", "warm", "bright"),
    "sad": ("bad", "dull", "cold", "grey"),
    "torn": ("odd", "mixed", "half", "so so"),
}
THINGS = ("film", "day", "book on the old town", "song")
LABELLED = [
    (f"a {word} {thing}" + f" , {word} and long" * (n % 3), mood)
    for n, thing in enumerate(THINGS)
    for mood, words in MOODS.items()
    for word in words
]
CLASSES = sorted(MOODS)
SHAPE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
MODELS = {
    "bert": SHAPE | {"max_position_embeddings": 40},
    "roberta": SHAPE | {"max_position_embeddings": 42},
    "distilbert": {"dim": 24, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 40},
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 40},
    "gpt_neox": SHAPE | {"max_position_embeddings": 40},
}
LONG = 60
DECODERS = ("gpt2", "gpt_neox")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SETTINGS = FROM_BASE | {"max_length": 24, "checkpoints": [0, 4], "steps": 4, "weight_decay": 0.01}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "rank_stabilized": True, "target_modules": None}


def part(rows) -> LabelledTexts:
    return LabelledTexts([text for text, _ in rows], [label for _, label in rows])


TRAIN, VALIDATION, TEST = part(LABELLED[:36]), part(LABELLED[36:]), part(LABELLED[5:20])


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    """The tokenizer of an encoder, which pads with a token of its own."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([text for text, _ in LABELLED], folder, vocabulary_size=300, mask=True)
    return folder


@pytest.fixture(scope="module")
def decoder_tokenizer_folder(tokenizer_folder, tmp_path_factory) -> Path:
    """The tokenizer of a decoder, which has no token for padding."""
    folder = tmp_path_factory.mktemp("decoder_tokenizer")
    tokenizer = load_tokenizer(tokenizer_folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(folder).pad_token is None
    return folder


def save_base(folder: Path, model_type: str, **settings) -> Path:
    auto = AutoModelForCausalLM if model_type in DECODERS else AutoModelForMaskedLM
    settings = {"vocab_size": 300, "eos_token_id": 0, "pad_token_id": 1} | MODELS[model_type] | settings
    return save_model(folder, auto, model_type, seed=1, **settings)


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {model_type: save_base(root / model_type, model_type) for model_type in MODELS}


def values(metrics, step: int) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in metrics.to_pylist() if row["step"] == step}


def scores_one_by_one(model, tokenizer, texts: LabelledTexts) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (texts, classes) of texts that are run alone, without padding; numbers of the right classes."""
    rows = [tokenizer(text, truncation=True, max_length=24)["input_ids"] for text in texts.texts]
    with torch.no_grad():
        scores = [model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1).numpy() for row in rows]
    return np.stack(scores), np.array([CLASSES.index(label) for label in texts.labels])


def expected_metrics(scores: np.ndarray, right: np.ndarray, scored: tuple[int, ...] = ()) -> dict[str, float]:
    """The metrics from their definitions, class by class; scored: those that F1 is of, if not all that occur."""
    guessed = scores.argmax(1)
    f1, weight = [], []
    for place in scored or sorted({*right, *guessed}):
        hits = np.sum((guessed == place) & (right == place))
        f1.append(2 * hits / max(1, np.sum(guessed == place) + np.sum(right == place)))
        weight.append(np.sum(right == place))
    weight = np.array(weight) / sum(weight)
    return {
        "loss": -scores[range(len(right)), right].mean(),
        "accuracy": np.mean(guessed == right),
        "macro_f1": np.mean(f1),
        "weighted_f1": np.dot(weight, f1),
    }


@pytest.mark.parametrize("model_type", MODELS)
def test_a_classifier_learns_and_its_checkpoints_are_whole_models_with_the_metrics_of_a_plain_loop(
    model_type, bases, tokenizer_folder, decoder_tokenizer_folder, tmp_path
):
    tokenizer_of = decoder_tokenizer_folder if model_type in DECODERS else tokenizer_folder
    settings = SETTINGS | {"steps": LONG, "checkpoints": [0, LONG]}
    metrics = fine_tune_classifier(
        TRAIN, VALIDATION, TEST, bases[model_type], tokenizer_of, tmp_path / "run", **settings
    )
    assert metrics.schema.equals(METRICS)
    assert set(metrics["metric"].to_pylist()) == set(kinds.get("fine_tuned_classifier").metrics_of({"test": ""}))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["step0", f"step{LONG}"]
    assert values(metrics, LONG)["train_loss"] < 0.5 * values(metrics, 0)["train_loss"]
    assert values(metrics, LONG)["train_accuracy"] > 0.5  # by chance 1 of 3
    assert values(metrics, 0)["train_loss"] == pytest.approx(np.log(3), abs=0.3)
    for step in (0, LONG):
        folder = tmp_path / "run" / f"step{step}"
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        assert model.config.id2label == {0: "glad", 1: "sad", 2: "torn"}
        for split, texts in (("validation", VALIDATION), ("test", TEST)):
            expected = expected_metrics(*scores_one_by_one(model, load_tokenizer(folder), texts))
            found = values(metrics, step)
            assert {name: found[f"{split}_{name}"] for name in expected} == pytest.approx(expected, abs=2e-5)
        encoder = load_model(folder, kind="encoder")
        ids = torch.arange(5, 17)[None]
        for state, of_classifier in zip(
            encoder(ids, output_hidden_states=True).hidden_states,
            model(input_ids=ids, output_hidden_states=True).hidden_states,
            strict=True,
        ):
            assert torch.equal(state, of_classifier)


@pytest.mark.parametrize("scored", [("sad", "torn"), ("torn",)])
def test_f1_is_of_the_scored_classes_alone(scored, bases, tokenizer_folder, tmp_path):
    settings = SETTINGS | {"steps": 12, "checkpoints": [12], "learning_rate": 3e-3}
    runs = {
        name: fine_tune_classifier(
            TRAIN, TEST, VALIDATION, bases["bert"], tokenizer_folder, tmp_path / name, **settings, **given
        )
        for name, given in (("all", {}), ("some", {"scored_classes": list(scored)}))
    }
    folder = tmp_path / "some" / "step12"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found, of_all = values(runs["some"], 12), values(runs["all"], 12)
    for split, texts in (("validation", TEST), ("test", VALIDATION)):
        scores, right = scores_one_by_one(model, load_tokenizer(folder), texts)
        expected = expected_metrics(scores, right, tuple(CLASSES.index(label) for label in scored))
        assert {name: found[f"{split}_{name}"] for name in expected} == pytest.approx(expected, abs=2e-5)
        assert all(found[f"{split}_{name}"] == of_all[f"{split}_{name}"] for name in ("loss", "accuracy"))
    assert any(found[f"validation_{name}_f1"] != of_all[f"validation_{name}_f1"] for name in ("macro", "weighted"))


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_the_head_s_inputs_are_dropped_as_told_in_training_alone(model_type, bases):
    model = new_classifier(bases[model_type], CLASSES, pad_token_id=1, seed=0, head_dropout=0.3)
    heads = [name for name, _ in model.named_modules() if name in ("classifier", "classifier.out_proj")][-1:]
    came = []
    model.get_submodule(heads[0]).register_forward_pre_hook(lambda module, given: came.append(given[0].detach()))
    ids = torch.arange(5, 17).repeat(400, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        model.train()(input_ids=ids)
        model.eval()(input_ids=ids)
    dropped, whole = ((states == 0).double().mean().item() for states in came)
    assert whole == 0
    assert dropped == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / came[0].numel()) ** 0.5)
    of_base = new_classifier(bases[model_type], CLASSES, pad_token_id=1, seed=0)
    shares = [
        {name: module.p for name, module in one.base_model.named_modules() if isinstance(module, torch.nn.Dropout)}
        for one in (model, of_base)
    ]
    assert shares[0] == shares[1] and set(shares[0].values()) == {0.1}


def test_dropout_of_the_head_shapes_the_training(bases, tokenizer_folder, tmp_path):
    losses = [
        values(
            fine_tune_classifier(
                TRAIN,
                VALIDATION,
                None,
                bases["bert"],
                tokenizer_folder,
                tmp_path / str(share),
                **SETTINGS,
                head_dropout=share,
            ),
            4,
        )["validation_loss"]
        for share in (0.0, 0.9)
    ]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "gpt2"])
def test_a_head_is_drawn_as_torch_draws_linear_layers_if_asked(model_type, bases):
    def head(**given) -> dict[str, torch.Tensor]:
        model = new_classifier(bases[model_type], CLASSES, pad_token_id=1, **given)
        return {
            name: tensor.detach()
            for name, tensor in model.named_parameters()
            if not name.startswith(f"{model.base_model_prefix}.")
        }

    torchs = head(seed=0, head_initialization="torch")
    assert torchs.keys() == head(seed=0).keys() and torchs
    for name, tensor in torchs.items():
        assert 0.5 / 24**0.5 < tensor.abs().max() <= 1 / 24**0.5, name  # 24 inputs
        assert torch.equal(tensor, head(seed=0, head_initialization="torch")[name])
        assert not torch.equal(tensor, head(seed=1, head_initialization="torch")[name])
    assert all((tensor == 0).all() for name, tensor in head(seed=0).items() if name.endswith("bias"))


def test_step_0_has_the_weights_of_the_base(bases, tokenizer_folder, tmp_path):
    fine_tune_classifier(TRAIN, VALIDATION, None, bases["bert"], tokenizer_folder, tmp_path / "run", **SETTINGS)
    before, after = (
        load_model(folder, kind="encoder").state_dict() for folder in (bases["bert"], tmp_path / "run" / "step0")
    )
    for name in before:
        assert "pooler" in name or torch.equal(before[name], after[name]), name


def test_training_texts_are_evaluated_in_the_number_of_validation_texts_and_all_if_they_are_fewer(
    bases, tokenizer_folder, tmp_path
):
    settings = SETTINGS | {"steps": 1, "checkpoints": [0]}

    def first(train: LabelledTexts, validation: LabelledTexts, name: str, **changes) -> dict[str, float]:
        folder = tmp_path / name
        metrics = fine_tune_classifier(
            train, validation, None, bases["bert"], tokenizer_folder, folder, **settings | changes
        )
        return values(metrics, 0)

    model = new_classifier(bases["bert"], CLASSES, pad_token_id=1, seed=0).eval()
    tokenizer = load_tokenizer(tokenizer_folder)
    small = LabelledTexts(VALIDATION.texts[:9], VALIDATION.labels[:9])
    all_of_small = expected_metrics(*scores_one_by_one(model, tokenizer, small))
    assert first(small, VALIDATION, "all")["train_loss"] == pytest.approx(all_of_small["loss"], abs=2e-5)
    scores, right = scores_one_by_one(model, tokenizer, TRAIN)
    drawn = np.random.Generator(np.random.PCG64(0)).permutation(36)[:12]
    expected = expected_metrics(scores[drawn], right[drawn])
    found = first(TRAIN, VALIDATION, "drawn")
    assert {name: found[f"train_{name}"] for name in expected} == pytest.approx(expected, abs=2e-5)
    assert set(found) == {f"{split}_{name}" for split in ("train", "validation") for name in expected}


def test_the_head_is_drawn_from_the_seed_alone(bases):
    torch.manual_seed(5)
    after_one = torch.rand(1)
    heads = []
    for outside, seed in ((5, 0), (6, 0), (5, 1)):
        torch.manual_seed(outside)
        model = new_classifier(bases["bert"], CLASSES, pad_token_id=1, seed=seed)
        heads.append((model.classifier.weight, model.bert.pooler.dense.weight))
        if outside == 5:
            assert torch.equal(torch.rand(1), after_one)
    assert all(torch.equal(one, other) for one, other in zip(heads[0], heads[1], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(heads[0], heads[2], strict=True))


def test_a_classifier_as_base_gives_its_pooler_and_gets_a_new_head(bases, tmp_path):
    first = new_classifier(bases["bert"], CLASSES, pad_token_id=1, seed=0)
    first.save_pretrained(tmp_path)
    second = new_classifier(tmp_path, CLASSES, pad_token_id=1, seed=1)
    assert torch.equal(first.bert.pooler.dense.weight, second.bert.pooler.dense.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    assert new_classifier(tmp_path, ["a", "b"], pad_token_id=1, seed=1).classifier.weight.shape == (2, 24)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize(("model_type", "kind"), [("bert", "masked"), ("roberta", "masked"), ("gpt2", "causal")])
def test_an_adapter_holds_the_head_and_is_loaded_without_it(
    model_type, kind, bases, tokenizer_folder, decoder_tokenizer_folder, tmp_path
):
    tokenizer_of = decoder_tokenizer_folder if model_type in DECODERS else tokenizer_folder
    metrics = fine_tune_classifier(
        TRAIN, VALIDATION, TEST, bases[model_type], tokenizer_of, tmp_path / "run", **SETTINGS, lora=LORA
    )
    adapter = tmp_path / "run" / "step4"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "somebody/base"
    tokenizer = load_tokenizer(tokenizer_of)
    padding = tokenizer.eos_token_id if model_type in DECODERS else tokenizer.pad_token_id
    # Another seed, so that nothing but the adapter can bring back the head.
    fresh = new_classifier(bases[model_type], CLASSES, pad_token_id=padding, seed=99)
    trained = PeftModel.from_pretrained(fresh, str(adapter)).eval()
    expected = expected_metrics(*scores_one_by_one(trained, tokenizer, TEST))
    found = values(metrics, 4)
    assert {name: found[f"test_{name}"] for name in expected} == pytest.approx(expected, abs=2e-5)
    ids = torch.arange(5, 17)[None]
    with torch.no_grad():
        of_trained = trained(input_ids=ids, output_hidden_states=True).hidden_states
    for loaded_as in (kind, "encoder"):
        merged, plain = (
            load_model(bases[model_type], kind=loaded_as, adapter=one)(ids, output_hidden_states=True).hidden_states
            for one in (adapter, None)
        )
        for state, expected_state in zip(merged, of_trained, strict=True):
            torch.testing.assert_close(state, expected_state)
        assert not torch.allclose(merged[-1], plain[-1], atol=1e-3)


def test_batches_that_make_one_update_together_give_the_weights_of_one_batch(tokenizer_folder, tmp_path):
    base = save_base(tmp_path / "base", "bert", **NO_DROPOUT)
    weights = []
    for batch_size, gradient_accumulation in ((8, 1), (4, 2)):
        folder = tmp_path / f"run{batch_size}"
        changes = {"batch_size": batch_size, "gradient_accumulation": gradient_accumulation, "learning_rate": 1e-3}
        fine_tune_classifier(TRAIN, VALIDATION, None, base, tokenizer_folder, folder, **SETTINGS | changes)
        weights.append(AutoModelForSequenceClassification.from_pretrained(folder / "step4").state_dict())
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], atol=1e-5, rtol=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_epochs_are_counted(bases, tokenizer_folder, tmp_path):
    settings = SETTINGS | {"steps": None, "epochs": 2, "checkpoints": [0, 2]}
    metrics = [
        fine_tune_classifier(TRAIN, VALIDATION, TEST, bases["bert"], tokenizer_folder, tmp_path / name, **settings)
        for name in ("one", "two")
    ]
    assert metrics[0].equals(metrics[1])
    assert sorted(set(metrics[0]["step"].to_pylist())) == [0, 1, 2]
    one, two = (tmp_path / name / "epoch2" / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("lora", [None, LORA | {"dropout": 0.1}])
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(lora, bases, tokenizer_folder, tmp_path, monkeypatch):
    settings = SETTINGS | {"lora": lora, "steps": 5, "checkpoints": [2, 5]}

    def tune(name: str):
        return fine_tune_classifier(
            TRAIN, VALIDATION, None, bases["bert"], tokenizer_folder, tmp_path / name, **settings
        )

    whole = tune("whole")
    evaluated = []

    def stop_at_step_four(*arguments):
        evaluated.append(arguments)
        if len(evaluated) == 9:  # two splits at each of steps 0 … 3
            raise KeyboardInterrupt
        return classification_metrics(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fine_tuned_classifier, "classification_metrics", stop_at_step_four)
        tune("stopped")
    assert not (tmp_path / "stopped").exists()
    assert tune("stopped").equals(whole)
    file = "model.safetensors" if lora is None else "adapter_model.safetensors"
    for step in (2, 5):
        one, two = (tmp_path / name / f"step{step}" / file for name in ("whole", "stopped"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": part([row for row in LABELLED if row[1] == "sad"])}, "train: all texts have the label 'sad'"),
        ({"train": LabelledTexts([], [])}, "train: there is no text"),
        ({"test": LabelledTexts([], [])}, "test: there is no text"),
        (
            {"validation": LabelledTexts(["a", "b"], ["mad", "glad"])},
            "validation: its labels 'mad' are not among those of the training texts, 'glad', 'sad', 'torn'",
        ),
        ({"test": LabelledTexts(["a", "b"], ["x", "y"])}, "test: its labels 'x', 'y' are not among"),
        (
            {"scored_classes": ["sad", "happy"]},
            "scored_classes: 'happy' is no label of the training texts; they have 'glad', 'sad', 'torn'",
        ),
        (
            {"head_initialization": "zero"},
            "head_initialization: 'zero' is not known; choose one of transformers, torch",
        ),
        ({"max_length": 0}, "max_length: 0 is too short; this tokenizer needs 1 at least"),
        (
            {"max_length": 99, "train": part([("word " * 99, "sad"), ("a", "glad"), ("b", "torn")])},
            "max_length: the model .* does not take a text of 99 tokens",
        ),
    ],
)
def test_texts_and_labels_that_do_not_fit_are_told_before_any_training(
    changes, message, bases, tokenizer_folder, tmp_path
):
    texts = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    given = [changes.get(split, of_split) for split, of_split in texts.items()]
    settings = SETTINGS | {key: value for key, value in changes.items() if key not in texts}
    with pytest.raises(ValueError, match=message):
        fine_tune_classifier(*given, bases["bert"], tokenizer_folder, tmp_path / "run", **settings)
    assert not any(tmp_path.iterdir())


def test_a_tokenizer_that_cannot_pad_is_told(bases, tmp_path):
    word_tokenizer(sorted({word for text, _ in LABELLED for word in text.split()}), tmp_path / "words")
    with pytest.raises(ValueError, match="neither a padding nor an end-of-text token"):
        fine_tune_classifier(TRAIN, VALIDATION, TEST, bases["bert"], tmp_path / "words", tmp_path / "run", **SETTINGS)


def test_a_head_without_dropout_is_told(bases):
    with pytest.raises(
        ValueError, match=r"head_dropout: the classifier .* model_type 'gpt2' has no dropout before its head"
    ):
        new_classifier(bases["gpt2"], CLASSES, pad_token_id=1, seed=0, head_dropout=0.3)


def test_a_family_without_classifiers_is_told(tmp_path):
    config = AutoConfig.for_model("granite", vocab_size=300, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="of model_type 'granite', has no classifier in transformers"):
        new_classifier(tmp_path, CLASSES, pad_token_id=1, seed=0)
