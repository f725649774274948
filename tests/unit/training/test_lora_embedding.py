"""An input embedding under an update of low rank: what is trained, what is left, and what its checkpoints hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.model_folders import save_model
from builders.trainings import FROM_BASE, SENTENCES, values
from idsweep.models.checkpoints import load_model
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training import kinds, lora_embedding
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.language_model import train_language_model
from idsweep.training.lora_embedding import train_lora_embedding
from idsweep.training.metrics import METRICS
from idsweep.training.tokenizer import train_tokenizer
from transformers import AutoModelForMaskedLM

TRAIN, VALIDATION = SENTENCES[:52], SENTENCES[52:]
WIDTH = 16
ARCHITECTURES = {
    "tied": {"model_type": "gpt2", "n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "untied": {"model_type": "gpt_neox", "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"intermediate_size": 32, "max_position_embeddings": 32},
}
SETTINGS = FROM_BASE | {"kind": "causal", "rank": 3, "max_length": 24, "checkpoints": [0, 10], "steps": 10}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(SENTENCES, folder, vocabulary_size=300, mask=True)
    return folder


@pytest.fixture(scope="module")
def bases(tokenizer_folder, tmp_path_factory) -> dict[str, Path]:
    """Causal models that know the texts, with tied and untied output embeddings, and a BERT with random weights."""
    root = tmp_path_factory.mktemp("bases")
    for name, architecture in ARCHITECTURES.items():
        train_language_model(
            TRAIN,
            VALIDATION,
            tokenizer_folder,
            root / name,
            architecture=architecture,
            steps=40,
            batch_size=8,
            sequence_length=24,
            learning_rate=3e-2,
            warmup_steps=5,
            weight_decay=0.0,
            seed=0,
            checkpoints=[40],
            identity="base",
        )
    shape = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    save_model(root / "bert", AutoModelForMaskedLM, "bert", vocab_size=300, **shape)
    return {"bert": root / "bert"} | {name: root / name / "step40" for name in ARCHITECTURES}


def train(bases, tokenizer_folder: Path, folder: Path, base: str = "untied", **changes):
    return train_lora_embedding(TRAIN, VALIDATION, bases[base], tokenizer_folder, folder, **SETTINGS | changes)


def input_embedding(folder: Path, kind: str = "causal") -> torch.Tensor:
    return load_model(folder, kind=kind).get_input_embeddings().weight.detach().double()


def rank_of(matrix: torch.Tensor) -> int:
    values = torch.linalg.svdvals(matrix)
    return int((values > 1e-5 * values[0]).sum())


def mean_loss(model, tokenizer, texts: list[str]) -> float:
    """Nats for each next token, text by text and without padding."""
    total, number = 0.0, 0
    for text in texts:
        row = tokenizer(text, truncation=True, max_length=24)["input_ids"]
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
        total -= scores[range(len(row) - 1), row[1:]].sum().item()
        number += len(row) - 1
    return total / number


@pytest.mark.parametrize("base", ARCHITECTURES)
@pytest.mark.parametrize("initial", ["base", "random", "zero"])
def test_checkpoints_are_whole_models_that_differ_from_the_start_by_a_matrix_of_the_rank_alone(
    base, initial, bases, tokenizer_folder, tmp_path
):
    metrics = train(bases, tokenizer_folder, tmp_path / "run", base, initial=initial)
    assert metrics.schema.equals(METRICS)
    assert set(metrics["metric"].to_pylist()) == set(kinds.get("lora_embedding").metrics)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["step0", "step10"]
    start, end = (input_embedding(tmp_path / "run" / step) for step in ("step0", "step10"))
    assert rank_of(end - start) == 3
    of_base = load_model(bases[base], kind="causal")
    trained_input = of_base.get_input_embeddings().weight
    if initial == "base":
        assert torch.equal(start, trained_input.double())
    elif initial == "zero":
        assert not start.any() and rank_of(end) == 3
    else:
        assert not torch.equal(start, trained_input.double())
    for step in (0, 10):
        model = load_model(tmp_path / "run" / f"step{step}", kind="causal")
        assert (
            json.loads((tmp_path / "run" / f"step{step}" / "config.json").read_text())["tie_word_embeddings"] is False
        )
        assert torch.equal(model.get_output_embeddings().weight, of_base.get_output_embeddings().weight)
        before, after = dict(of_base.named_parameters()), dict(model.named_parameters())
        changing = next(name for name, parameter in before.items() if parameter is trained_input)
        assert all(torch.equal(before[name], after[name]) for name in before if name != changing)
        expected = mean_loss(model, load_tokenizer(tokenizer_folder), VALIDATION)
        assert values(metrics, "validation_loss")[step] == pytest.approx(expected, rel=1e-4)
        assert values(metrics, "validation_perplexity")[step] == pytest.approx(np.exp(expected), rel=1e-3)
    assert values(metrics, "train_loss")[10] < values(metrics, "train_loss")[0]


def test_untying_changes_nothing_before_training(bases, tokenizer_folder, tmp_path):
    train(bases, tokenizer_folder, tmp_path / "run", "tied", checkpoints=[0], steps=1)
    ids = torch.arange(5, 17)[None]
    before, after = (
        load_model(folder, kind="causal")(ids).logits for folder in (bases["tied"], tmp_path / "run/step0")
    )
    assert torch.equal(before, after)
    assert load_model(bases["tied"], kind="causal").config.tie_word_embeddings


def test_a_masked_model_is_trained_too(bases, tokenizer_folder, tmp_path):
    metrics = train(bases, tokenizer_folder, tmp_path / "run", "bert", kind="masked", steps=20, checkpoints=[0, 20])
    model = load_model(tmp_path / "run" / "step20", kind="masked")
    base = load_model(bases["bert"], kind="masked")
    assert rank_of(model.get_input_embeddings().weight.detach() - base.get_input_embeddings().weight.detach()) == 3
    for name, parameter in base.state_dict().items():
        if "word_embeddings" not in name:
            assert torch.equal(parameter, model.state_dict()[name]), name
    losses = values(metrics, "validation_loss")
    assert losses[20] < losses[0]
    assert values(metrics, "validation_perplexity") == pytest.approx({step: np.exp(x) for step, x in losses.items()})


def test_the_random_start_has_the_spread_of_the_trained_embedding_and_comes_from_the_seed(
    bases, tokenizer_folder, tmp_path
):
    settings = {"initial": "random", "checkpoints": [0], "steps": 1}
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        torch.manual_seed(len(name))
        train(bases, tokenizer_folder, tmp_path / name, seed=seed, **settings)
    one, two, other = (input_embedding(tmp_path / name / "step0") for name in ("one", "two", "other"))
    assert torch.equal(one, two) and not torch.equal(one, other)
    trained = input_embedding(bases["untied"])
    # 4,800 numbers: a standard deviation is known to 1 %, a mean to 1.4 % of it.
    assert one.std().item() == pytest.approx(trained.std().item(), rel=0.05)
    assert abs(one.mean().item()) < 0.07 * trained.std().item()


def test_the_first_update_is_as_large_as_alpha_and_about_the_same_for_all_ranks(bases, tokenizer_folder, tmp_path):
    """AdamW's first step is the learning rate in each entry of A, whatever the gradient."""
    sizes = {}
    for rank, alpha in ((4, 1.0), (4, 2.0), (16, 1.0)):
        folder = tmp_path / f"{rank}-{alpha}"
        train(bases, tokenizer_folder, folder, rank=rank, alpha=alpha, steps=1, checkpoints=[0, 1])
        rows = (input_embedding(folder / "step1") - input_embedding(folder / "step0")).norm(dim=1)
        sizes[rank, alpha] = rows[rows > 0].mean().item()
    assert sizes[4, 2.0] == pytest.approx(2 * sizes[4, 1.0], rel=1e-3)
    assert 0.67 < sizes[16, 1.0] / sizes[4, 1.0] < 1.5  # scaled by alpha alone, it would be near 3


def test_the_base_is_evaluated_on_the_same_texts(bases, tokenizer_folder, tmp_path):
    of_base = train(bases, tokenizer_folder, tmp_path / "base", initial="base")
    of_zero = train(bases, tokenizer_folder, tmp_path / "zero", initial="zero")
    loss = values(of_base, "validation_loss")[0]
    for metrics in (of_base, of_zero):
        assert list(values(metrics, "base_validation_loss").values()) == pytest.approx(11 * [loss], rel=1e-6)


def test_tokens_that_no_training_text_holds_keep_their_row(bases, tokenizer_folder, tmp_path):
    train(bases, tokenizer_folder, tmp_path / "run")
    tokenizer = load_tokenizer(tokenizer_folder)
    seen = sorted({token for text in TRAIN for token in tokenizer(text)["input_ids"]})
    start, end = (input_embedding(tmp_path / "run" / step) for step in ("step0", "step10"))
    moved = (start != end).any(1).nonzero().flatten().tolist()
    # The last token of a text is read, and nothing follows from it.
    assert set(moved) <= set(seen) and len(moved) >= len(seen) - 1


def test_without_an_embedding_to_start_from_a_higher_rank_tells_tokens_apart(bases, tokenizer_folder, tmp_path):
    settings = {"initial": "zero", "steps": 30, "checkpoints": [30], "learning_rate": 4e-2}
    perplexity = {}
    for rank in (1, 4, WIDTH):
        metrics = train(bases, tokenizer_folder, tmp_path / f"rank{rank}", rank=rank, **settings)
        perplexity[rank] = values(metrics, "validation_perplexity")
    assert perplexity[1][0] == perplexity[4][0] == perplexity[WIDTH][0]
    assert perplexity[WIDTH][30] < perplexity[4][30] < perplexity[1][30] < perplexity[1][0]


def test_half_precision_of_the_passes_leaves_the_frozen_weights_as_they_are(bases, tokenizer_folder, tmp_path):
    train(bases, tokenizer_folder, tmp_path / "run", precision="bfloat16")
    start, end = (input_embedding(tmp_path / "run" / step) for step in ("step0", "step10"))
    assert torch.equal(start, input_embedding(bases["untied"]))
    assert rank_of(end - start) == 3


def test_the_same_seed_gives_the_same_bytes(bases, tokenizer_folder, tmp_path):
    one, two = (train(bases, tokenizer_folder, tmp_path / name, initial="random") for name in ("one", "two"))
    assert one.equals(two)
    first, second = (tmp_path / name / "step10" / "model.safetensors" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(bases, tokenizer_folder, tmp_path, monkeypatch):
    settings = {"initial": "random", "checkpoints": [0, 3, 6, 10]}
    whole = train(bases, tokenizer_folder, tmp_path / "whole", **settings)

    def stop_at_six(model, tokenizer, folder):
        if folder.name == "step6":
            raise KeyboardInterrupt
        save_checkpoint(model, tokenizer, folder)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lora_embedding, "save_checkpoint", stop_at_six)
        train(bases, tokenizer_folder, tmp_path / "stopped", **settings)
    assert not (tmp_path / "stopped").exists()
    assert train(bases, tokenizer_folder, tmp_path / "stopped", **settings).equals(whole)
    for step in settings["checkpoints"]:
        one, two = (tmp_path / name / f"step{step}" / "model.safetensors" for name in ("whole", "stopped"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": WIDTH + 1}, "rank: 17 must be from 1 to 16: the input embedding of .* is 300 x 16"),
        ({"rank": 0}, "rank: 0 must be from 1 to 16"),
        ({"alpha": 0}, "alpha: 0 must be positive"),
        ({"initial": "ones"}, "initial: 'ones' is not known; choose one of base, random, zero"),
        ({"kind": "encoder"}, "kind: 'encoder' cannot be fine-tuned"),
        ({"max_length": 1}, "max_length: 1 is too short"),
    ],
)
def test_settings_out_of_bounds_are_told_before_any_training(changes, message, bases, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(bases, tokenizer_folder, tmp_path / "run", **changes)
    assert not any(tmp_path.iterdir())
