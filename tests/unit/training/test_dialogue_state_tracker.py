"""A tracker is trained as a plain loop would, its metrics are those of its states, and its checkpoints are measured as encoders."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from builders.tokenizers import roberta
from builders.trainings import FROM_BASE, values, weights
from builders.trippy_r import write_base, write_run
from idsweep.models.checkpoints import load_model
from idsweep.tracking.examples import collate, descriptions, example
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import label
from idsweep.tracking.model import Targets, Tracker, class_weights, losses
from idsweep.tracking.slots import SLOTS
from idsweep.tracking.turns import Turn
from idsweep.training import kinds
from idsweep.training.dialogue_state_tracker import train_tracker
from idsweep.training.fine_tuning import _places_in_order
from safetensors.torch import load_file
from transformers import RobertaConfig, RobertaModel

AREAS = ("north", "south", "east", "west")
PRICES = ("cheap", "moderate")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SETTINGS = FROM_BASE | {
    "max_length": 60,
    "checkpoints": [0, 3],
    "steps": 3,
    "batch_size": 4,
    "weight_decay": 0.01,
    "learning_rate": 1e-3,
    "heads": "attention",
    "refer_logits": "weights",
    "head_dropout": 0.0,
    "class_loss_share": 0.8,
    "none_weight": 0.1,
    "history_dropout": 0.0,
    "evaluated_dialogues": None,
    "adam_epsilon": 1e-6,
    "order": "same",
}


def dialogue(name: str, area: str, price: str) -> list[Turn]:
    """An area, then a price; the second turn has a history."""
    said = ["in", "the", area], ["which", "price"], ["a", price, "one"]
    first = Turn(name, 0, [said[0], []], {}, {"hotel-area": area}, {}, frozenset())
    both = {"hotel-area": area, "hotel-price range": price}
    return [first, Turn(name, 1, [said[2], said[1], said[0]], first.state, both, {}, frozenset())]


TRAIN = [dialogue(f"{area}{price}", area, price) for area in AREAS for price in PRICES]
VALIDATION = TRAIN[1::3]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(3)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(
        vocab_size=60, max_position_embeddings=70, pad_token_id=1, initializer_range=0.2, **shape, **NO_DROPOUT
    )  # as wide as what a training makes of it
    RobertaModel(config).save_pretrained(folder)
    roberta().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("heads", ["attention", "linear"])
def test_training_equals_a_plain_loop(base: Path, tmp_path: Path, heads: str) -> None:
    train_tracker(TRAIN, VALIDATION, None, base, base, tmp_path / "run", **SETTINGS | {"heads": heads})

    torch.manual_seed(SETTINGS["seed"])
    tracker = Tracker(load_model(base, kind="encoder", dtype="float32"), heads, 0.0).train()
    tokenizer = roberta()
    composer, slots = Composer(tokenizer, 60), descriptions(tokenizer, 1)
    turns = list(chain.from_iterable(TRAIN))
    places = _places_in_order(len(turns), SETTINGS["seed"])
    plain = [p for n, p in tracker.named_parameters() if "bias" in n or "norm" in n.lower()]
    decayed = [p for n, p in tracker.named_parameters() if not ("bias" in n or "norm" in n.lower())]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0}], eps=1e-6
    )
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (3 - step) / 3
        some = [turns[place] for place in places[4 * step : 4 * step + 4]]
        given, targets = collate([example(turn, label(turn), composer) for turn in some], 1)
        loss = losses(tracker(**given, **slots), targets, 0.8, class_weights(0.1)).total.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tracker.parameters(), 1.0)
        optimizer.step()
    found = load_file(tmp_path / "run/step3/model.safetensors")
    assert found.keys() == tracker.state_dict().keys()
    for name, expected in tracker.state_dict().items():
        # A hundredth of a step: where a gradient is all rounding, AdamW takes steps of some size from it.
        torch.testing.assert_close(
            found[name], expected, rtol=1e-4, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}"
        )


def test_the_epsilon_holds_without_bias_correction_too(base: Path, tmp_path: Path) -> None:
    """An epsilon beside which all gradients are nothing leaves the weights where they were, but for what decays."""
    still = SETTINGS | {"adam_epsilon": 1e12, "bias_correction": False, "weight_decay": 0.0}
    train_tracker(TRAIN, VALIDATION, None, base, base, tmp_path / "run", **still)
    before, after = (load_file(tmp_path / f"run/step{step}/model.safetensors") for step in (0, 3))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-9)


def test_metrics_are_those_of_the_states_and_losses_of_all_turns(base: Path, tmp_path: Path) -> None:
    metrics = train_tracker(TRAIN, VALIDATION, VALIDATION[:1], base, base, tmp_path / "run", **SETTINGS)
    names = {*metrics["metric"].to_pylist()}
    training = kinds.get("dialogue_state_tracker")
    listed = {*training.metrics_of({"test": "x"})}
    kinds_of_accuracy = ("accuracy", "class_accuracy")
    by_slot = {
        f"{split}_{kind}/{slot}"
        for split in ("train", "validation", "test")
        for kind in kinds_of_accuracy
        for slot in SLOTS
    }
    assert names == listed | by_slot

    tokenizer = roberta()
    composer, slots = Composer(tokenizer, 60), descriptions(tokenizer, 1)
    tracker = Tracker(load_model(base, kind="encoder", dtype="float32"), "attention", 0.0)
    tracker.load_state_dict(load_file(tmp_path / "run/step3/model.safetensors"))
    turns = list(chain.from_iterable(VALIDATION))
    total, right = 0.0, np.zeros(len(SLOTS))
    with torch.no_grad():
        for turn in turns:
            given, targets = collate([example(turn, label(turn), composer)], 1)
            predicted = tracker.eval()(**given, **slots)
            total += losses(predicted, Targets(*targets), 0.8, class_weights(0.1)).total.item()
            right += (predicted.classes.argmax(-1) == targets.classes)[0].numpy()
    for slot, share in zip(SLOTS, right / len(turns), strict=True):
        assert values(metrics, f"validation_class_accuracy/{slot}")[3] == pytest.approx(share)
    assert values(metrics, "validation_loss")[3] == pytest.approx(total / len(turns), rel=1e-5)
    slot_accuracy = np.mean([values(metrics, f"validation_accuracy/{slot}")[3] for slot in SLOTS])
    assert values(metrics, "validation_slot_accuracy")[3] == pytest.approx(slot_accuracy)
    assert values(metrics, "validation_slot_accuracy")[3] >= 26 / 30, (
        "of most slots nothing is said, and nothing must be"
    )


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["attention", "linear"])
def test_a_tracker_learns_the_dialogues(base: Path, tmp_path: Path, heads: str) -> None:
    more = {"steps": 250, "checkpoints": [250], "learning_rate": 5e-3, "batch_size": 16, "none_weight": 1.0}
    more |= {"heads": heads, "order": "anew"}
    metrics = train_tracker(TRAIN, VALIDATION, None, base, base, tmp_path / "run", **SETTINGS | more)
    reached = values(metrics, "train_joint_goal_accuracy")
    assert reached[0] == 0 and reached[250] > 0.9
    assert values(metrics, "train_loss")[250] < 0.3 * values(metrics, "train_loss")[0]


# Killed

KILLED = """
import os, pickle, signal, sys
import torch
from idsweep.training import unfinished
from idsweep.training.dialogue_state_tracker import train_tracker
from torch.optim.optimizer import register_optimizer_step_post_hook

steps_done = 0

def kill(*_):
    global steps_done
    steps_done += 1
    if steps_done == 8:
        os.kill(os.getpid(), signal.SIGKILL)

register_optimizer_step_post_hook(kill)
torch.set_num_threads(1)
unfinished.SECONDS_BETWEEN_STATES = -1.0
with open(sys.argv[1], "rb") as opened:
    arguments, settings = pickle.load(opened)
train_tracker(*arguments, **settings)
"""
RANDOM = {
    "history_dropout": 0.5,
    "head_dropout": 0.3,
    "order": "anew",
    "steps": None,
    "epochs": 3,
    "checkpoints": [0, 1, 2, 3],
    "evaluated_dialogues": 2,
}


@pytest.fixture
def base_with_dropout(base: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(base, tmp_path / "with_dropout"))
    config = json.loads((folder / "config.json").read_text())
    config |= dict.fromkeys(NO_DROPOUT, 0.1)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("heads", ["attention", "linear"])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been_killed(
    base_with_dropout: Path, tmp_path: Path, heads: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed in the last but one of four updates of its second epoch, with all that is drawn at random: histories, dropout, order."""
    given = (TRAIN, VALIDATION, None, base_with_dropout, base_with_dropout)
    settings = SETTINGS | RANDOM | {"heads": heads}
    expected = train_tracker(*given, tmp_path / "whole", **settings)
    other = train_tracker(*given, tmp_path / "uncut", **settings | {"history_dropout": 0.0})
    assert not other.equals(expected), "no history was cut"

    (tmp_path / "killed").mkdir()
    (tmp_path / "arguments").write_bytes(pickle.dumps(((*given, tmp_path / "killed/run"), settings)))
    process = subprocess.run(
        [warm.python(), "-c", KILLED, str(tmp_path / "arguments")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [".run.unfinished"]

    with caplog.at_level(logging.INFO):
        found = train_tracker(*given, tmp_path / "killed/run", **settings)
    assert any("Going on from step 7." in message for message in caplog.messages)
    assert found.equals(expected)
    for epoch in range(4):
        assert weights(tmp_path / f"killed/run/epoch{epoch}") == weights(tmp_path / f"whole/epoch{epoch}")
    assert len({weights(tmp_path / f"whole/epoch{epoch}") for epoch in range(4)}) == 4


def test_a_checkpoint_is_measured_as_its_encoder(base: Path, tmp_path: Path) -> None:
    train_tracker(TRAIN, VALIDATION, None, base, base, tmp_path / "run", **SETTINGS)
    measured = load_model(tmp_path / "run/step3", kind="encoder", dtype="float32")
    stored = load_file(tmp_path / "run/step3/model.safetensors")
    for name, tensor in measured.state_dict().items():
        torch.testing.assert_close(tensor, stored[f"roberta.{name}"])
    before = load_model(tmp_path / "run/step0", kind="encoder", dtype="float32")
    original = load_model(base, kind="encoder", dtype="float32")
    for (_, one), (_, other) in zip(before.named_parameters(), original.named_parameters(), strict=True):
        assert (one == other).all()


def test_checkpoints_of_trippy_r_are_measured_as_their_encoders(tmp_path: Path) -> None:
    """Their config has an architecture that transformers does not know, and keys of its own; their heads lie beside `roberta.`."""
    encoders = write_run(tmp_path, write_base(tmp_path / "base"), [1775, 3550], seed=40)
    ids = torch.arange(5, 20)[None]
    for step, file in ((1775, "pytorch_model.bin"), (3550, "model.safetensors")):
        folder = tmp_path / f"results.40/checkpoint-{step}"
        assert (folder / file).is_file()
        measured = load_model(folder, kind="encoder", dtype="float32", prefix="roberta")
        with torch.no_grad():
            found, expected = (model(ids).last_hidden_state for model in (measured, encoders[step]))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_base_with_fewer_tokens_than_its_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    small = RobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    RobertaModel(small).save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match=r"has \d+ tokens, and .*small embeds 40; take the tokenizer"):
        train_tracker(TRAIN, VALIDATION, None, tmp_path / "small", base, tmp_path / "run", **SETTINGS)
