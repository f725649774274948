"""Training leaves whole model folders at the asked steps, the same ones for the same seed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from idsweep.checkpoints import load_model, read_architecture, weight_files
from idsweep.tokenizers import load_tokenizer
from idsweep.training.language_model import METRICS, train_language_model
from idsweep.training.tokenizer import END_OF_TEXT, train_tokenizer
from safetensors.torch import load_file

SUBJECTS = ("the dog", "the cat", "a bird", "my friend")
VERBS = ("sees", "likes", "hears", "follows")
TEXTS = [f"{s} {v} {o}, and {o} {v} {s}." for s in SUBJECTS for v in VERBS for o in SUBJECTS]
ARCHITECTURE = {
    "model_type": "gpt_neox",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout": 0.1,
    "max_position_embeddings": 32,
}
SETTINGS = {
    "architecture": ARCHITECTURE,
    "steps": 20,
    "batch_size": 4,
    "sequence_length": 16,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "seed": 0,
    "checkpoints": [0, 1, 20],
}


def weights(folder: Path) -> bytes:
    """The bytes of a checkpoint's weights."""
    return b"".join(path.read_bytes() for path in weight_files(folder))


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, folder, vocabulary_size=300)
    return folder


def train(tokenizer_folder: Path, folder: Path, **changes):
    return train_language_model(TEXTS[:48], TEXTS[48:], tokenizer_folder, folder, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def run(tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return folder, train(tokenizer_folder, folder)


def values(metrics, name: str) -> dict[int, float]:
    return {row["step"]: row["value"] for row in metrics.to_pylist() if row["metric"] == name}


def test_a_tokenizer_gives_back_every_text_and_is_the_same_each_time(tokenizer_folder, tmp_path):
    tokenizer = load_tokenizer(tokenizer_folder)
    assert 257 < len(tokenizer) <= 300
    assert tokenizer.eos_token == tokenizer.pad_token == END_OF_TEXT
    for text in (*TEXTS[:5], "unseen: Zürich \u4e16\u754c\n\t!"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(TEXTS[0])["input_ids"]) < len(TEXTS[0]) / 2
    train_tokenizer(TEXTS, tmp_path, vocabulary_size=300)
    for path in tokenizer_folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_tokenizer_needs_room_and_text(tmp_path):
    with pytest.raises(ValueError, match="vocabulary_size: 256 is too small; the bytes alone need 257"):
        train_tokenizer(TEXTS, tmp_path, vocabulary_size=256)
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", ""], tmp_path, vocabulary_size=300)


def test_exactly_the_asked_steps_are_saved_each_a_whole_model(run, tokenizer_folder):
    folder, _ = run
    assert sorted(path.name for path in folder.iterdir()) == ["step0", "step1", "step20"]
    text = TEXTS[3]
    for step in folder.iterdir():
        assert read_architecture(step)[:2] == (2, 16)
        assert not list(step.glob("*.bin")) and not list(step.glob("optimizer*"))
        ids = load_tokenizer(step)(text)["input_ids"]
        assert ids == load_tokenizer(tokenizer_folder)(text)["input_ids"]
        assert load_model(step, kind="causal")(torch.tensor([ids])).logits.isfinite().all()


def test_every_saved_step_differs(run):
    folder, _ = run
    assert len({weights(folder / step) for step in ("step0", "step1", "step20")}) == 3


def test_metrics_are_evaluated_at_checkpoints_and_fall(run):
    _, metrics = run
    assert metrics.schema.equals(METRICS)
    for name in ("train_loss", "validation_loss"):
        loss = values(metrics, name)
        assert {0, 1, 20} < set(loss)
        assert loss[20] < 0.8 * loss[0]


def test_the_validation_loss_is_that_of_the_saved_model(run, tokenizer_folder):
    folder, metrics = run
    tokenizer = load_tokenizer(tokenizer_folder)
    stream = [i for text in TEXTS[48:] for i in [*tokenizer.encode(text), tokenizer.eos_token_id]]
    blocks = torch.tensor(stream[: len(stream) // 16 * 16]).reshape(-1, 16)
    with torch.no_grad():
        scores = load_model(folder / "step20", kind="causal")(blocks).logits.log_softmax(-1)
    expected = -scores[:, :-1].gather(2, blocks[:, 1:, None]).mean().item()
    assert values(metrics, "validation_loss")[20] == pytest.approx(expected, rel=1e-5)


def test_the_seed_decides_the_weights(run, tokenizer_folder, tmp_path):
    folder, metrics = run
    again = train(tokenizer_folder, tmp_path / "again")
    assert again.equals(metrics)
    for step in ("step0", "step20"):
        assert weights(tmp_path / "again" / step) == weights(folder / step)
    train(tokenizer_folder, tmp_path / "other", seed=1, steps=1, checkpoints=[0])
    first, other = (load_file(f / "step0" / "model.safetensors") for f in (folder, tmp_path / "other"))
    assert not torch.equal(first["embed_out.weight"], other["embed_out.weight"])


def test_another_causal_architecture_trains_too(tokenizer_folder, tmp_path):
    gpt2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16}
    train(tokenizer_folder, tmp_path, architecture=gpt2, steps=2, checkpoints=[2])
    assert read_architecture(tmp_path / "step2")[:2] == (1, 16)


def test_training_is_quiet_but_for_its_log(tokenizer_folder, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, logger="idsweep.progress"):
        train(tokenizer_folder, tmp_path / "run", steps=2, checkpoints=[0, 2])
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert caplog.messages[-1].startswith("training: 100 % (2 of 2 steps), validation loss")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoints": [0, 21]}, "must be steps from 0 to 20"),
        ({"checkpoints": []}, "at least one"),
        ({"architecture": ARCHITECTURE | {"model_type": "gpt_nox"}}, "'gpt_nox' is not known"),
        ({"architecture": ARCHITECTURE | {"hidden_sise": 16}}, "gpt_neox takes no setting 'hidden_sise'"),
        ({"architecture": ARCHITECTURE | {"vocab_size": 9}}, "takes no setting 'vocab_size'"),
        ({"sequence_length": 64}, "max_position_embeddings is 32"),
        ({"batch_size": 4000}, "fill only"),
    ],
)
def test_what_cannot_be_trained_is_told_before(tokenizer_folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tokenizer_folder, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_too_little_text_is_told(tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=r"validation texts have .* too few for one block of 16"):
        train_language_model(TEXTS, ["a"], tokenizer_folder, tmp_path, **SETTINGS)
