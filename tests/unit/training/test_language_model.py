"""Training leaves whole model folders at the asked steps, the same ones for the same seed, killed meanwhile or not."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.trainings import SENTENCES, values, weights
from idsweep.data.corpora import Corpus
from idsweep.data.tokens import sample_tokens
from idsweep.extraction.forward import extract_hidden_states
from idsweep.models.checkpoints import load_model, read_architecture
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.architecture import model_config
from idsweep.training.language_model import MaskedTokens, batches, next_tokens, schedule, train_language_model
from idsweep.training.metrics import METRICS
from idsweep.training.tokenizer import END_OF_TEXT, MASK, PADDING, train_tokenizer
from idsweep.training.unfinished import Unfinished
from safetensors.torch import load_file

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 32}
ARCHITECTURE = SHAPE | {"model_type": "gpt_neox", "intermediate_size": 32, "hidden_dropout": 0.1}
BERT = SHAPE | {"model_type": "bert", "intermediate_size": 32}
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
    "identity": "test",
}
CAUSAL_FAMILIES = {
    "gpt_neox": {"intermediate_size": 32},
    "llama": {"intermediate_size": 32},
    "gpt2": {"n_inner": 32},
}
MASKED_FAMILIES = {
    "bert": {"intermediate_size": 32},
    "roberta": {"intermediate_size": 32, "max_position_embeddings": 18},
    "modernbert": {"intermediate_size": 32},
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(SENTENCES, folder, vocabulary_size=300)
    return folder


@pytest.fixture(scope="module")
def masking_tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("masking_tokenizer")
    train_tokenizer(SENTENCES, folder, vocabulary_size=302, mask=True)
    return folder


def train(tokenizer_folder: Path, folder: Path, **changes):
    return train_language_model(SENTENCES[:48], SENTENCES[48:], tokenizer_folder, folder, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def run(tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return folder, train(tokenizer_folder, folder)


def blocks_of(texts: list[str], folder: Path, length: int = 16) -> torch.Tensor:
    """Token ids (number, length) of texts one after the other, each ended by the end-of-text token."""
    tokenizer = load_tokenizer(folder)
    stream = [i for text in texts for i in [*tokenizer.encode(text), tokenizer.eos_token_id]]
    return torch.tensor(stream[: len(stream) // length * length]).reshape(-1, length)


def test_a_tokenizer_gives_back_every_text_and_is_the_same_each_time(tokenizer_folder, tmp_path):
    tokenizer = load_tokenizer(tokenizer_folder)
    assert 257 < len(tokenizer) <= 300
    assert tokenizer.eos_token == tokenizer.pad_token == END_OF_TEXT
    for text in (*SENTENCES[:5], "unseen: Zürich \u4e16\u754c\n\t!"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(SENTENCES[0])["input_ids"]) < len(SENTENCES[0]) / 2
    train_tokenizer(SENTENCES, tmp_path, vocabulary_size=300)
    for path in tokenizer_folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_tokenizer_for_masked_models_masks_and_pads_with_tokens_of_their_own(
    tokenizer_folder, masking_tokenizer_folder
):
    tokenizer = load_tokenizer(masking_tokenizer_folder)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.mask_token) == (END_OF_TEXT, PADDING, MASK)
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2]
    plain = load_tokenizer(tokenizer_folder)
    assert plain.mask_token is None
    assert tokenizer.tokenize(SENTENCES[7]) == plain.tokenize(SENTENCES[7])


def test_a_tokenizer_with_the_special_tokens_of_roberta_composes_as_roberta_does(tmp_path):
    train_tokenizer(SENTENCES, tmp_path / "tokenizer", vocabulary_size=300, special_tokens="roberta")
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<mask>"]
    assert (tokenizer.bos_token, tokenizer.cls_token, tokenizer.eos_token, tokenizer.sep_token) == ("<s>", "<s>") + (
        "</s>",
    ) * 2
    a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (" one", " two"))
    assert tokenizer(" one", " two")["input_ids"] == [0, *a, 2, 2, *b, 2]


def test_a_config_names_no_token_beyond_the_vocabulary():
    config = model_config({"model_type": "modernbert", "num_hidden_layers": 1}, vocab_size=300, sequence_length=8)
    ids = {name: value for name, value in config.to_dict().items() if name.endswith("_token_id")}
    assert "cls_token_id" in ids
    assert all(value is None or value < 300 for value in ids.values())


def test_a_tokenizer_needs_room_and_text(tmp_path):
    with pytest.raises(ValueError, match="256 is too small; the bytes and special tokens alone need 257"):
        train_tokenizer(SENTENCES, tmp_path, vocabulary_size=256)
    with pytest.raises(ValueError, match="258 is too small; the bytes and special tokens alone need 259"):
        train_tokenizer(SENTENCES, tmp_path, vocabulary_size=258, mask=True)
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", ""], tmp_path, vocabulary_size=300)


def test_exactly_the_asked_steps_are_saved_each_a_whole_model(run, tokenizer_folder):
    folder, _ = run
    assert sorted(path.name for path in folder.iterdir()) == ["step0", "step1", "step20"]
    text = SENTENCES[3]
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
    blocks = blocks_of(SENTENCES[48:], tokenizer_folder)
    with torch.no_grad():
        scores = load_model(folder / "step20", kind="causal")(blocks).logits.log_softmax(-1)
    expected = -scores[:, :-1].gather(2, blocks[:, 1:, None]).mean().item()
    assert values(metrics, "validation_loss")[20] == pytest.approx(expected, rel=1e-5)


def test_the_first_updates_are_those_of_adamw_on_clipped_gradients(tokenizer_folder, tmp_path):
    blocks = blocks_of(SENTENCES[:48], tokenizer_folder)
    steps, rate, decay = 3, 0.05, 0.1
    train(
        tokenizer_folder,
        tmp_path / "run",
        architecture=ARCHITECTURE | {"hidden_dropout": 0.0},
        batch_size=len(blocks),
        steps=steps,
        learning_rate=rate,
        warmup_steps=2,
        weight_decay=decay,
        checkpoints=[0, steps],
    )
    model = load_model(tmp_path / "run" / "step0", kind="causal").double()
    first, second, norms = {}, {}, []
    for step, factor in enumerate((1 / 3, 2 / 3, 1), start=1):
        model.zero_grad()
        scores = model(blocks).logits.log_softmax(-1)
        (-scores[:, :-1].gather(2, blocks[:, 1:, None])).mean().backward()
        norms.append(sum(parameter.grad.square().sum() for parameter in model.parameters()).sqrt().item())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad * min(1, 1 / norms[-1])
                first[name] = 0.9 * first.get(name, 0) + 0.1 * gradient
                second[name] = 0.999 * second.get(name, 0) + 0.001 * gradient**2
                if name.endswith("weight") and "norm" not in name:
                    parameter *= 1 - rate * factor * decay
                mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
                parameter -= rate * factor * mean / (square.sqrt() + 1e-8)
    assert max(norms) > 1.2 * min(norms) and max(norms) > 1
    trained = dict(load_model(tmp_path / "run" / f"step{steps}", kind="causal").named_parameters())
    # Rounding turns gradients that vanish into steps of any sign; on others it costs up to 0.0011 of the rate.
    for name, parameter in model.named_parameters():
        certain = second[name].sqrt() > 1e-5
        assert torch.allclose(trained[name].double()[certain], parameter[certain], rtol=0, atol=5e-3 * rate), name


def test_the_learning_rate_warms_up_from_above_zero_and_falls_as_a_cosine_to_zero():
    rates = [schedule(step, 4, 14) for step in range(15)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[9] == pytest.approx(0.5) and rates[14] == pytest.approx(0, abs=1e-12)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_an_epoch_takes_whole_batches_of_different_blocks_and_can_be_entered_anywhere():
    blocks = torch.arange(11)[:, None]
    taken = torch.stack(list(islice(batches(blocks, 3, seed=5, first=0), 7)))
    epochs = taken[:6].reshape(2, 9)
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert not torch.equal(*epochs)
    for first in range(7):
        assert torch.equal(torch.stack(list(islice(batches(blocks, 3, seed=5, first=first), 7 - first))), taken[first:])


def test_a_causal_model_is_to_predict_the_next_token():
    inputs, labels = next_tokens(torch.tensor([[5, 6, 7], [8, 9, 5]]))
    assert inputs.tolist() == [[5, 6, 7], [8, 9, 5]]
    assert labels.tolist() == [[6, 7, -100], [9, 5, -100]]


def test_masks_are_drawn_as_in_bert(masking_tokenizer_folder):
    tokenizer = load_tokenizer(masking_tokenizer_folder)
    torch.manual_seed(0)
    blocks = torch.randint(3, len(tokenizer), (2000, 100))
    blocks[:, ::10] = tokenizer.eos_token_id
    inputs, labels = MaskedTokens(tokenizer, 0.3)(blocks)
    chosen = labels != -100
    assert not chosen[:, ::10].any()
    assert torch.equal(inputs[~chosen], blocks[~chosen]) and torch.equal(labels[chosen], blocks[chosen])

    def assert_share(found: torch.Tensor, expected: float) -> None:
        assert abs(found.double().mean() - expected) < 4 * (expected * (1 - expected) / len(found)) ** 0.5

    assert_share(chosen[blocks != tokenizer.eos_token_id], 0.3)
    masked, kept = inputs[chosen] == tokenizer.mask_token_id, inputs[chosen] == blocks[chosen]
    # A random token is the mask, or the token itself, once in as many draws as there are tokens.
    assert_share(masked, 0.8 + 0.1 / len(tokenizer))
    assert_share(kept, 0.1 + 0.1 / len(tokenizer))


def test_masked_losses_are_those_of_the_saved_model_at_one_draw_of_masks(masking_tokenizer_folder, tmp_path):
    still = train(masking_tokenizer_folder, tmp_path / "still", architecture=BERT, masking=0.15, learning_rate=0.0)
    assert {len(set(values(still, name).values())) for name in ("train_loss", "validation_loss")} == {1}
    settings = {"architecture": BERT, "masking": 0.15, "steps": 60, "checkpoints": [60]}
    metrics = train(masking_tokenizer_folder, tmp_path / "run", **settings)
    loss = values(metrics, "train_loss")
    assert loss[60] < 0.8 * loss[0]

    model = load_model(tmp_path / "run" / "step60", kind="masked")
    blocks = blocks_of(SENTENCES[48:], masking_tokenizer_folder)
    rng, means = np.random.default_rng(0), []
    for _ in range(40):
        chosen = (rng.random(blocks.shape) < 0.15) & (blocks.numpy() != 0)
        how = rng.random(blocks.shape)
        read = np.where(chosen & (how < 0.8), 2, blocks)
        read = np.where(chosen & (how >= 0.9), rng.integers(0, model.config.vocab_size, blocks.shape), read)
        with torch.no_grad():
            scores = model(torch.tensor(read)).logits.log_softmax(-1).gather(2, blocks[..., None])[..., 0]
        means.append(-scores[torch.tensor(chosen)].mean().item())
    assert abs(values(metrics, "validation_loss")[60] - np.mean(means)) < 4 * np.std(means)
    assert np.std(means) < 0.1 * np.mean(means)


def test_the_seed_decides_the_weights(run, tokenizer_folder, tmp_path):
    folder, metrics = run
    again = train(tokenizer_folder, tmp_path / "again")
    assert again.equals(metrics)
    for step in ("step0", "step20"):
        assert weights(tmp_path / "again" / step) == weights(folder / step)
    train(tokenizer_folder, tmp_path / "other", seed=1, steps=1, checkpoints=[0])
    first, other = (load_file(f / "step0" / "model.safetensors") for f in (folder, tmp_path / "other"))
    assert not torch.equal(first["embed_out.weight"], other["embed_out.weight"])


@pytest.mark.parametrize("model_type", [*CAUSAL_FAMILIES, *MASKED_FAMILIES])
def test_a_family_is_trained_saved_and_measured(model_type, tokenizer_folder, masking_tokenizer_folder, tmp_path):
    masked = model_type in MASKED_FAMILIES
    folder = masking_tokenizer_folder if masked else tokenizer_folder
    own = (CAUSAL_FAMILIES | MASKED_FAMILIES)[model_type]
    metrics = train(
        folder,
        tmp_path / "run",
        architecture=SHAPE | own | {"model_type": model_type},
        masking=0.15 if masked else None,
        checkpoints=[0, 20],
    )
    loss = values(metrics, "train_loss")
    assert loss[20] < 0.9 * loss[0]
    step = tmp_path / "run" / "step20"
    assert read_architecture(step)[:2] == (2, 16)
    kind = "masked" if masked else "causal"
    models = [load_model(tmp_path / "run" / name, kind=kind) for name in ("step0", "step20")]
    tokenizer = load_tokenizer(step)
    # Texts end with this token inside blocks, so it must be learnt even where it pads elsewhere.
    ends = [model.get_input_embeddings().weight[tokenizer.eos_token_id] for model in models]
    assert not torch.equal(*ends)

    corpus = Corpus(np.arange(8), SENTENCES[:8], None)
    sampled = sample_tokens(corpus, tokenizer, number=40, max_length=16, seed=0)
    found: dict[int, list[np.ndarray]] = {}
    losses = extract_hidden_states(
        models[1],
        sampled.points,
        sampled.sequences,
        lambda points, states: [found.setdefault(layer, []).append(state) for layer, state in states.items()],
        masked=masked,
        mask_token=tokenizer.mask_token_id,
        losses=True,
    )
    assert {layer: np.concatenate(states).shape for layer, states in found.items()} == dict.fromkeys(range(3), (40, 16))
    scores = losses.tokens["log_probability"].drop_null().to_numpy()
    assert len(scores) > 20 and np.isfinite(scores).all()


INTERRUPTED = """
import json, sys, torch
from idsweep.training import language_model, unfinished
texts, validation_texts, tokenizer, folder, threads, seconds, settings = json.loads(sys.argv[1])
torch.set_num_threads(threads)
unfinished.SECONDS_BETWEEN_STATES = seconds
language_model.train_language_model(texts, validation_texts, tokenizer, folder, **settings)
"""


def kill_in_training(arguments: list, is_time: Callable[[], bool]) -> None:
    """Train in a process of its own and kill it, without warning, as soon as it is time."""
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, json.dumps(arguments)])
    try:
        deadline = time.monotonic() + 120
        while not is_time():
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
    assert process.wait() == -9


@pytest.mark.parametrize("masking", [None, 0.15])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been_killed(
    masking, tokenizer_folder, masking_tokenizer_folder, tmp_path, caplog
):
    tokenizer = tokenizer_folder if masking is None else masking_tokenizer_folder
    # One is killed after a checkpoint, the other between checkpoints.
    saved = [0, 20, 40, 120] if masking is None else [120]
    changes = {
        "architecture": BERT if masking else ARCHITECTURE,
        "masking": masking,
        "steps": 120,
        "checkpoints": saved,
    }
    expected = train(tokenizer, tmp_path / "whole" / "run", **changes)

    unfinished = tmp_path / "killed" / ".run.unfinished"
    state_file = unfinished / "state.pt"

    def is_time() -> bool:
        if masking is None:
            return (unfinished / "checkpoints/step40").exists()
        return state_file.exists() and torch.load(state_file, weights_only=True)["step"] >= 1

    arguments = [
        SENTENCES[:48],
        SENTENCES[48:],
        str(tokenizer),
        str(tmp_path / "killed" / "run"),
        torch.get_num_threads(),
    ]
    kill_in_training([*arguments, 60.0 if masking is None else 0.2, SETTINGS | changes], is_time)
    state = torch.load(state_file, weights_only=True)
    assert (20 if masking is None else 1) <= state["step"] < 120
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [".run.unfinished"]
    (unfinished / "checkpoints" / ".step9.1.unfinished").mkdir()
    (unfinished / ".state.pt.1.unfinished").touch()
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    shutil.copytree(tmp_path / "killed", tmp_path / "finishing")

    with caplog.at_level(logging.INFO):
        assert train(tokenizer, tmp_path / "killed" / "run", **changes).equals(expected)
    assert f"Going on from step {state['step']}." in caplog.messages
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["run"]
    assert {path.name for path in (tmp_path / "killed" / "run").iterdir()} == {f"step{step}" for step in saved}
    for step in saved:
        assert weights(tmp_path / "killed" / "run" / f"step{step}") == weights(
            tmp_path / "whole" / "run" / f"step{step}"
        )

    caplog.clear()
    short = changes | {"steps": 2, "checkpoints": [2]}
    fresh = train(tokenizer, tmp_path / "fresh" / "run", **short)
    assert train(tokenizer, tmp_path / "other" / "run", **short, identity="other").equals(fresh)
    shutil.rmtree(tmp_path / "finishing" / ".run.unfinished" / "checkpoints")
    assert train(tokenizer, tmp_path / "finishing" / "run", **short).equals(fresh)
    for name in ("other", "finishing"):
        assert weights(tmp_path / name / "run" / "step2") == weights(tmp_path / "fresh" / "run" / "step2")
        assert [path.name for path in (tmp_path / name / "run").iterdir()] == ["step2"]
    assert not any("Going on" in message for message in caplog.messages)


def test_training_is_quiet_but_for_its_log(tokenizer_folder, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, logger="idsweep.machine.progress"):
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
        ({"sequence_length": 1}, "nothing is to be predicted"),
        ({"batch_size": 4000}, "fill only"),
        ({"masking": 0.15, "architecture": BERT}, "masking: the tokenizer .* has no mask token"),
        ({"masking": 1.5, "architecture": BERT}, "masking: 1.5 must lie between 0 and 1"),
        ({"architecture": BERT}, "bert sees later tokens, so it cannot learn to predict the next. Give masking"),
        (
            {"architecture": SHAPE | {"model_type": "mistral"}},
            "mistral with these settings cannot run .* key-value heads",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_before(tokenizer_folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tokenizer_folder, tmp_path / "run", **changes)
    assert not list(tmp_path.iterdir())


def test_too_little_text_is_told(tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=r"validation texts have .* too few for one block of 16"):
        train_language_model(SENTENCES, ["a"], tokenizer_folder, tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": ARCHITECTURE}, "there is no masked model of model_type 'gpt_neox'"),
        ({"architecture": BERT | {"model_type": "roberta", "max_position_embeddings": 17}}, "of at least 18"),
        ({"architecture": BERT, "masking": 1e-9}, "train_loss: nothing is to be predicted"),
    ],
)
def test_what_cannot_be_trained_with_masks_is_told_before(masking_tokenizer_folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(masking_tokenizer_folder, tmp_path / "run", **({"masking": 0.15} | changes))
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_is_told(tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=r"learning_rate: 1e.35 is too high: at step .* is (nan|inf)"):
        train(tokenizer_folder, tmp_path / "run", learning_rate=1e35)
    assert not (tmp_path / "run").exists()


def test_a_training_that_failed_can_be_tried_again_in_one_process(tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match="too high") as held:
        train(tokenizer_folder, tmp_path / "run", learning_rate=1e35)
    with Unfinished(tmp_path / "run", "another", patience=0):
        assert held.tb  # whoever holds the error holds all that its training held


def test_two_trainings_of_one_model_do_not_spoil_each_other(tmp_path: Path) -> None:
    """The second waits for the first, and takes over when that is killed; while it lives, it is refused."""
    code = (
        "import sys, time; from idsweep.training.unfinished import Unfinished; "
        "first = Unfinished(sys.argv[1], 'same'); (first.checkpoints / 'step1').mkdir(); print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"process {first.pid} on .* trains this model already"):
            Unfinished(tmp_path / "run", "same", patience=0.1)
        assert (tmp_path / ".run.unfinished/checkpoints/step1").exists()
    finally:
        first.kill()
        first.communicate()
    with Unfinished(tmp_path / "run", "same", patience=5) as second:
        assert (second.checkpoints / "step1").exists()
        second.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
