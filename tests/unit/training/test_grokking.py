"""Training on equations does what its definition says, and ends the same after it was killed."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import warm
from builders.trainings import values, weights
from idsweep.data.corpora import Corpus
from idsweep.data.equations import equations, split, texts, token_ids, vocabulary
from idsweep.data.tokens import sample_tokens
from idsweep.extraction.forward import extract_hidden_states
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import read_architecture
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training import grokking
from idsweep.training.architecture import model_config
from idsweep.training.grokking import train_grokking
from idsweep.training.metrics import METRICS
from idsweep.training.tokenizer import word_tokenizer
from idsweep.training.unfinished import Unfinished
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

EQUATIONS = equations("addition", modulus=7)
TRAIN, VALIDATION = split(49, 0.6, 46)
NO_DROPOUT = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
ARCHITECTURE = {
    "model_type": "gpt2",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "n_inner": 32,
    "max_position_embeddings": 8,
    "tie_word_embeddings": False,
}
SETTINGS = {
    "architecture": ARCHITECTURE,
    "steps": 30,
    "batch_size": 12,
    "learning_rate": 1e-2,
    "betas": [0.9, 0.98],
    "epsilon": 1e-6,
    "weight_decay": 0.1,
    "gradient_clipping": 1.0,
    "warmup_steps": 4,
    "decay_steps": 40,
    "seed": 5,
    "checkpoints": [0, 7, 30],
    "identity": "first",
    "metrics_every": 10,
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    word_tokenizer(vocabulary(EQUATIONS), folder)
    return folder


def train(tokenizer_folder: Path, folder: Path, **changes):
    return train_grokking(EQUATIONS, TRAIN, VALIDATION, tokenizer_folder, folder, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def run(tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return folder, train(tokenizer_folder, folder)


# The tokenizer


def test_the_tokens_are_the_words_in_their_order(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    assert len(tokenizer) == 9
    assert tokenizer("6 o 0 =")["input_ids"] == [6, 7, 0, 8]
    assert tokenizer.decode([6, 7, 0, 8]) == "6 o 0 ="


def test_a_word_that_is_not_in_the_vocabulary_is_never_a_token(tokenizer_folder):
    with pytest.raises(Exception, match="WordLevel error"):
        load_tokenizer(tokenizer_folder)("6 o 10 =")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no word"),
        (["a", "b", "a"], "'a' comes twice"),
        (["a", "b c"], "'b c' is empty or holds white space"),
        (["a", ""], "'' is empty or holds white space"),
    ],
)
def test_words_that_cannot_be_tokens_are_told(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        word_tokenizer(words, tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()


def test_tokens_are_sampled_by_class_and_place(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    corpus = Corpus(VALIDATION, *texts(EQUATIONS, VALIDATION))

    def sampled(**options):
        return sample_tokens(corpus, tokenizer, number=None, max_length=8, seed=0, **options).points.to_pydict()

    everything = sampled(select="all")
    assert everything["token_id"] == token_ids(EQUATIONS)[VALIDATION].ravel().tolist()
    assert not any(everything["special"])
    operands = sampled(select="classes", classes=["operand"])
    assert operands["position"] == [0, 2] * len(VALIDATION)
    assert set(operands["token_class"]) == {"operand"}
    assert sampled(select="classes", classes=["operator"])["token"] == ["o"] * len(VALIDATION)
    last = sampled(select="last")
    assert last["token"] == ["="] * len(VALIDATION)
    assert last["sequence"] == VALIDATION.tolist()


# The checkpoints


def test_exactly_the_asked_steps_are_saved_each_a_whole_model(run, tokenizer_folder):
    folder, _ = run
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoints"]
    assert sorted(path.name for path in folder.iterdir()) == ["step0", "step30", "step7"]
    assert len({weights(step) for step in folder.iterdir()}) == 3
    for step in folder.iterdir():
        assert read_architecture(step)[:2] == (2, 16)
        assert load_tokenizer(step).get_vocab() == load_tokenizer(tokenizer_folder).get_vocab()
        assert not load_model(step, kind="causal").training


def test_hidden_states_of_a_checkpoint_are_those_of_its_sequences(run):
    step = run[0] / "step30"
    model = load_model(step, kind="causal")
    corpus = Corpus(np.arange(49), *texts(EQUATIONS, np.arange(49)))
    tokens = sample_tokens(corpus, load_tokenizer(step), number=None, max_length=8, seed=0, select="all")
    found = {layer: np.zeros((196, 16), dtype=np.float32) for layer in range(3)}

    def write(points, states):
        for layer, vectors in states.items():
            found[layer][points] = vectors

    extract_hidden_states(model, tokens.points, tokens.sequences, write)
    with torch.no_grad():
        expected = model(torch.from_numpy(token_ids(EQUATIONS)), output_hidden_states=True).hidden_states
    for layer, vectors in found.items():
        np.testing.assert_allclose(vectors, expected[layer].reshape(196, 16).numpy(), atol=1e-5)


# The optimisation


def reference(model: torch.nn.Module, steps: int) -> dict[str, np.ndarray]:
    """The weights after AdamW (Loshchilov & Hutter 2019, algorithm 2) written out, in float64."""
    model = model.double().train()
    sequences, answers = torch.from_numpy(token_ids(EQUATIONS)), torch.from_numpy(EQUATIONS.answer)
    order = np.concatenate([np.random.Generator(np.random.PCG64([5, e])).permutation(TRAIN) for e in range(9)])
    parameters = dict(model.named_parameters())
    mean = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    square = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    for t in range(1, steps + 1):
        batch = order[12 * (t - 1) : 12 * t]
        scores = model(sequences[batch]).logits[:, 3].log_softmax(-1)
        loss = -scores[torch.arange(12), answers[batch]].mean()
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))
        rate = 0.01 * (t / 4 if t <= 4 else (41 - t) / 36)
        with torch.no_grad():
            for name, tensor in parameters.items():
                gradient = gradients[name] * min(1, 1.0 / norm)
                mean[name] = 0.9 * mean[name] + 0.1 * gradient
                square[name] = 0.98 * square[name] + 0.02 * gradient**2
                direction = (mean[name] / (1 - 0.9**t)) / ((square[name] / (1 - 0.98**t)).sqrt() + 1e-6)
                tensor.mul_(1 - rate * 0.1).sub_(rate * direction)
    return {name: tensor.detach().numpy() for name, tensor in parameters.items()}


def test_the_weights_are_those_of_adamw_written_out(tokenizer_folder, tmp_path):
    """29 equations in batches of 12: from the third on, batches reach into the next epoch."""
    without = {"architecture": ARCHITECTURE | NO_DROPOUT, "checkpoints": [0, 8], "steps": 8}
    train(tokenizer_folder, tmp_path / "run", **without)
    expected = reference(load_model(tmp_path / "run" / "step0", kind="causal"), 8)
    found = dict(load_model(tmp_path / "run" / "step8", kind="causal").named_parameters())
    start = dict(load_model(tmp_path / "run" / "step0", kind="causal").named_parameters())
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor.detach().numpy(), expected[name], atol=2e-4)
        assert name.endswith("wpe.weight") or (tensor - start[name]).abs().max() > 5e-3


def test_a_small_model_learns_its_equations(tokenizer_folder, tmp_path):
    metrics = train(
        tokenizer_folder,
        tmp_path / "run",
        architecture=ARCHITECTURE | NO_DROPOUT,
        steps=200,
        decay_steps=400,
        batch_size=29,
        checkpoints=[200],
        metrics_every=100,
    )
    assert values(metrics, "train_accuracy")[0] < 0.5
    assert values(metrics, "train_accuracy")[200] == 1
    assert values(metrics, "train_loss")[200] < 0.1 < values(metrics, "train_loss")[0]


def test_the_seed_decides_the_weights_and_torch_keeps_its_own(run, tokenizer_folder, tmp_path):
    folder, metrics = run
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = train(tokenizer_folder, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.equals(metrics)
    for step in ("step0", "step7", "step30"):
        assert weights(tmp_path / "again" / step) == weights(folder / step)
    train(tokenizer_folder, tmp_path / "other", seed=6, steps=1, checkpoints=[0])
    assert weights(tmp_path / "other" / "step0") != weights(folder / "step0")


def test_what_is_evaluated_and_saved_does_not_shape_the_weights(run, tokenizer_folder, tmp_path):
    train(tokenizer_folder, tmp_path / "run", checkpoints=[3, 30], metrics_every=1, evaluated=5)
    assert weights(tmp_path / "run" / "step30") == weights(run[0] / "step30")


class CountReads(TorchDispatchMode):
    """Counts how often a tensor's value is read, which on a GPU waits for all that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device_but_those_with_metrics(tokenizer_folder, tmp_path):
    def reads(steps: int, metrics_every: int) -> int:
        with CountReads() as count:
            name = f"{steps}_{metrics_every}"
            changes = {"steps": steps, "metrics_every": metrics_every, "checkpoints": [0]}
            train(tokenizer_folder, tmp_path / name, **changes)
        return count.number

    assert 0 < reads(10, 100) == reads(20, 100) < reads(20, 10)


# The weights at the start


def test_initialization_by_torch_is_that_of_its_layers(tokenizer_folder, tmp_path):
    wide = ARCHITECTURE | {"hidden_size": 64, "n_inner": 256}
    train(tokenizer_folder, tmp_path / "run", architecture=wide, steps=1, checkpoints=[0])
    tensors = dict(load_model(tmp_path / "run" / "step0", kind="causal").named_parameters())
    assert tensors["transformer.wte.weight"].std().item() == pytest.approx(1, abs=0.1)
    assert tensors["transformer.wpe.weight"].std().item() == pytest.approx(1, abs=0.1)
    block = "transformer.h.1."
    inputs = {"attn.c_attn": 64, "attn.c_proj": 64, "mlp.c_fc": 64, "mlp.c_proj": 256}
    for name, bound in [
        (f"{block}{module}.{kind}", n**-0.5) for module, n in inputs.items() for kind in ("weight", "bias")
    ]:
        tensor = tensors[name]
        assert 0.9 * bound < tensor.abs().max() <= bound
        assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
    assert 0.97 / 8 < tensors["lm_head.weight"].abs().max() <= 1 / 8
    assert (tensors[f"{block}ln_1.weight"] == 1).all() and (tensors[f"{block}ln_1.bias"] == 0).all()


def test_tied_embeddings_start_as_embeddings(tokenizer_folder, tmp_path):
    tied = ARCHITECTURE | {"hidden_size": 64, "tie_word_embeddings": True}
    train(tokenizer_folder, tmp_path / "run", architecture=tied, steps=1, checkpoints=[0])
    model = load_model(tmp_path / "run" / "step0", kind="causal")
    assert model.lm_head.weight is model.transformer.wte.weight
    assert model.lm_head.weight.std().item() == pytest.approx(1, abs=0.1)


def test_initialization_by_transformers_is_that_of_the_config(tokenizer_folder, tmp_path):
    own = ARCHITECTURE | {"hidden_size": 64, "initializer_range": 0.05}
    train(tokenizer_folder, tmp_path / "run", architecture=own, initialization="transformers", steps=1, checkpoints=[0])
    tensors = dict(load_model(tmp_path / "run" / "step0", kind="causal").named_parameters())
    assert tensors["transformer.wte.weight"].std().item() == pytest.approx(0.05, rel=0.1)
    assert tensors["transformer.h.0.mlp.c_fc.weight"].std().item() == pytest.approx(0.05, rel=0.1)
    assert (tensors["transformer.h.0.mlp.c_fc.bias"] == 0).all()


@pytest.mark.parametrize("model_type", ["gpt_neox", "llama"])
def test_other_architectures_train_too(tokenizer_folder, tmp_path, model_type):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    architecture = {"model_type": model_type, **shape, "max_position_embeddings": 4}
    metrics = train(tokenizer_folder, tmp_path / "run", architecture=architecture, checkpoints=[0, 30])
    assert read_architecture(tmp_path / "run" / "step30")[:2] == (1, 16)
    loss = values(metrics, "train_loss")
    assert loss[30] < loss[0]


# The metrics


def test_metrics_are_those_of_the_saved_models(run):
    folder, metrics = run
    assert metrics.schema.equals(METRICS)
    sequences, answers = torch.from_numpy(token_ids(EQUATIONS)), torch.from_numpy(EQUATIONS.answer)
    for step in (0, 7, 30):
        with torch.no_grad():
            scores = load_model(folder / f"step{step}", kind="causal")(sequences).logits[:, 3].log_softmax(-1)
        for part, places in (("train", TRAIN), ("validation", VALIDATION)):
            loss = -scores[places, answers[places]].mean().item()
            accuracy = (scores[places].argmax(-1) == answers[places]).double().mean().item()
            assert values(metrics, f"{part}_loss")[step] == pytest.approx(loss, rel=1e-5)
            assert values(metrics, f"{part}_accuracy")[step] == pytest.approx(accuracy, abs=1e-12)


def test_metrics_come_at_regular_steps_the_first_the_last_and_checkpoints(tokenizer_folder, tmp_path):
    metrics = train(tokenizer_folder, tmp_path / "run", steps=27, checkpoints=[13])
    for name in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        assert list(values(metrics, name)) == [0, 10, 13, 20, 27]


def test_fewer_equations_are_evaluated_if_asked(tokenizer_folder, tmp_path):
    metrics = train(tokenizer_folder, tmp_path / "run", evaluated=4, metrics_every=1)
    shares = {*values(metrics, "train_accuracy").values(), *values(metrics, "validation_accuracy").values()}
    assert shares <= {0, 0.25, 0.5, 0.75, 1} and len(shares) > 1


def test_training_is_quiet_but_for_its_log(tokenizer_folder, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, logger="idsweep.machine.progress"):
        metrics = train(tokenizer_folder, tmp_path / "run", steps=2, checkpoints=[0, 2])
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    accuracies = [values(metrics, f"{part}_accuracy")[2] for part in ("train", "validation")]
    assert caplog.messages[-1] == (
        "training: 100 % (2 of 2 steps), training accuracy {:.2f}, validation accuracy {:.2f}".format(*accuracies)
    )


# Killed

KILLED = """
import json, os, signal, sys
import torch
from idsweep.data.equations import equations, split
from idsweep.training import grokking
from idsweep.training.grokking import train_grokking
from torch.optim.optimizer import register_optimizer_step_post_hook

steps_done = 0

def kill(*_):
    global steps_done
    steps_done += 1
    if steps_done == 23:
        os.kill(os.getpid(), signal.SIGKILL)

register_optimizer_step_post_hook(kill)
torch.set_num_threads(1)
settings, tokenizer_folder, folder = json.loads(sys.argv[1]), *sys.argv[2:]
train_grokking(equations("addition", modulus=7), *split(49, 0.6, 46), tokenizer_folder, folder, **settings)
"""


def assert_goes_on(run, resumed_at: int, tokenizer_folder: Path, folder: Path, caplog) -> None:
    """A training of 30 steps goes on from a step, and leaves what one leaves that was never stopped."""
    with caplog.at_level(logging.INFO, logger="idsweep.training.grokking"):
        metrics = train(tokenizer_folder, folder)
    assert caplog.messages[-1] == f"Going on from step {resumed_at}."
    assert metrics.equals(run[1])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["step0", "step30", "step7"]
    for step in ("step0", "step7", "step30"):
        assert weights(folder / step) == weights(run[0] / step)


def test_a_killed_training_ends_with_the_same_weights(run, tokenizer_folder, tmp_path, caplog):
    process = subprocess.run(
        [warm.python(), "-c", KILLED, json.dumps(SETTINGS), str(tokenizer_folder), str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (tmp_path / "run").exists()
    assert_goes_on(run, 7, tokenizer_folder, tmp_path / "run", caplog)


def interrupted(tokenizer_folder: Path, folder: Path) -> None:
    """A training of which 22 steps are left."""
    done = iter(range(1, 31))

    def interrupt(*_) -> None:
        if next(done) == 23:
            raise KeyboardInterrupt

    hook = register_optimizer_step_post_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tokenizer_folder, folder)
    finally:
        hook.remove()
    assert not folder.exists()


def test_states_are_kept_between_checkpoints_too(run, tokenizer_folder, tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("idsweep.training.unfinished.SECONDS_BETWEEN_STATES", 0)
        interrupted(tokenizer_folder, tmp_path / "run")
    assert_goes_on(run, 22, tokenizer_folder, tmp_path / "run", caplog)


def test_a_training_goes_on_from_a_state_without_random_numbers_of_a_gpu(tokenizer_folder, tmp_path):
    interrupted(tokenizer_folder, tmp_path / "run")
    with Unfinished(tmp_path / "run", SETTINGS["identity"]) as unfinished:
        state = unfinished.state()
    assert "random_cuda" not in state
    model = AutoModelForCausalLM.from_config(model_config(ARCHITECTURE, vocab_size=9, sequence_length=4))
    # Stands for sequences on a GPU, of which the state's restoring asks this alone.
    on_gpu = SimpleNamespace(is_cuda=True)
    training = grokking._Training(model, on_gpu, torch.tensor([]), torch.optim.AdamW(model.parameters()), 1.0)
    training.restore(state)
    assert all(torch.equal(held, state["model"][name]) for name, held in model.state_dict().items())


def test_another_identity_starts_anew(tokenizer_folder, tmp_path):
    interrupted(tokenizer_folder, tmp_path / "run")
    changed = {"seed": 8, "checkpoints": [30], "identity": "second"}
    metrics = train(tokenizer_folder, tmp_path / "run", **changed)
    assert train(tokenizer_folder, tmp_path / "fresh", **changed).equals(metrics)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["step30"]
    assert weights(tmp_path / "run" / "step30") == weights(tmp_path / "fresh" / "step30")


# What cannot be trained


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoints": [0, 31]}, r"checkpoints: \[0, 31\] must be steps from 0 to 30"),
        ({"checkpoints": []}, "at least one"),
        ({"steps": 0, "checkpoints": [0]}, "steps: 0 is not more than zero"),
        ({"batch_size": 0}, "batch_size: 0 is not more than zero"),
        ({"batch_size": 30}, "batch_size: 30, but there are only 29 equations to train on"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0 is not more than zero"),
        ({"gradient_clipping": 0}, "gradient_clipping: 0 is not more than zero"),
        ({"evaluated": 0}, "evaluated: 0 is not more than zero"),
        ({"metrics_every": 0}, "metrics_every: 0 is not more than zero"),
        ({"weight_decay": -0.1}, "weight_decay: -0.1 is negative"),
        ({"betas": [0.9, 1.0]}, r"betas: \[0.9, 1.0\] must be two numbers"),
        ({"decay_steps": 29}, "4 and 29 do not fit 30 steps"),
        ({"warmup_steps": 40}, "40 and 40 do not fit 30 steps"),
        ({"warmup_steps": -1}, "-1 and 40 do not fit 30 steps"),
        ({"initialization": "xavier"}, "initialization: 'xavier' is not known; choose one of torch, transformers"),
        ({"architecture": ARCHITECTURE | {"max_position_embeddings": 3}}, "4 tokens are longer .* is 3"),
        ({"architecture": ARCHITECTURE | {"model_type": "gtp2"}}, "'gtp2' is not known"),
        ({"architecture": ARCHITECTURE | {"hidden_sise": 16}}, "gpt2 takes no setting 'hidden_sise'"),
        ({"architecture": ARCHITECTURE | {"n_embd": 32}}, "'hidden_size' and 'n_embd' are one setting of gpt2"),
        ({"architecture": ARCHITECTURE | {"hidden_size": "wide"}}, "gpt2 does not take these settings: .*n_embd"),
        ({"architecture": ARCHITECTURE | {"num_attention_heads": 3}}, "architecture: it does not make a causal model"),
    ],
)
def test_what_cannot_be_trained_is_told_before(tokenizer_folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tokenizer_folder, tmp_path / "run", **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("train_places", "validation_places", "message"),
    [
        (TRAIN, np.append(VALIDATION, TRAIN[3]), f"both hold equation {TRAIN[3]}"),
        (
            TRAIN,
            np.array([], dtype=np.int64),
            "validation: it must hold places of equations from 0 to 48, at least one",
        ),
        (np.append(TRAIN, 49), VALIDATION, "train: it must hold places of equations from 0 to 48"),
    ],
)
def test_parts_that_are_none_are_told(tokenizer_folder, tmp_path, train_places, validation_places, message):
    with pytest.raises(ValueError, match=message):
        train_grokking(EQUATIONS, train_places, validation_places, tokenizer_folder, tmp_path / "run", **SETTINGS)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_other_words_is_told(tmp_path):
    word_tokenizer([*EQUATIONS.words[::-1], "o", "="], tmp_path / "tokenizer")
    with pytest.raises(ValueError, match="9 tokens are not the 9 words of these equations in their order"):
        train(tmp_path / "tokenizer", tmp_path / "run")


def test_a_training_that_diverges_stops(tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=r"train_loss is .* at step 10: .* learning_rate 1e\+30"):
        train(tokenizer_folder, tmp_path / "run", learning_rate=1e30, checkpoints=[30])
    assert not (tmp_path / "run").exists()
