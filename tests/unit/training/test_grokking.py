"""Training on equations is what was published, written out again, and ends the same after it was killed."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
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
from idsweep.models import families
from idsweep.models.checkpoints import load_model
from idsweep.models.equation_decoder import EquationDecoder, EquationDecoderConfig, EquationDecoderForAnswers
from idsweep.models.folders import read_architecture
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training import grokking, kinds
from idsweep.training.architecture import model_config
from idsweep.training.grokking import train_grokking
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task
from idsweep.training.tokenizer import word_tokenizer
from idsweep.training.unfinished import Unfinished
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode

EQUATIONS = equations("addition", modulus=7)
TRAIN, VALIDATION = split(49, 0.6, 46)
ARCHITECTURE = {
    "model_type": "equation_decoder",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
NO_DROPOUT = ARCHITECTURE | {"dropout": 0}
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
    "model_seed": 5,
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
        assert not load_model(step, kind="encoder").training


def test_hidden_states_of_a_checkpoint_are_those_of_its_sequences(run):
    step = run[0] / "step30"
    model = load_model(step, kind="encoder")
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


def decoder(weights: Mapping[str, torch.Tensor], ids: torch.Tensor, heads: int = 2) -> list[torch.Tensor]:
    """The logits at "=" and, before them, the hidden states of the published model without dropout, in plain arithmetic."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        centered = x - x.mean(-1, keepdim=True)
        return (
            centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weights[f"{name}.weight"]
            + weights[f"{name}.bias"]
        )

    width = weights["decoder.tokens.weight"].shape[1]
    states = [weights["decoder.tokens.weight"][ids] * width**0.5 + weights["decoder.positions.weight"][: ids.shape[1]]]
    while f"decoder.blocks.{len(states) - 1}.inner.weight" in weights:
        x, block = states[-1], f"decoder.blocks.{len(states) - 1}."
        normed = norm(f"{block}attention_norm", x)
        query, key, value = (linear(f"{block}attention.{part}", normed) for part in ("query", "key", "value"))
        mixed = torch.zeros_like(x)
        for head in range(heads):
            of_head = slice(head * width // heads, (head + 1) * width // heads)
            for t in range(ids.shape[1]):
                scores = (
                    torch.einsum("ni,nki->nk", query[:, t, of_head], key[:, : t + 1, of_head]) / (width / heads) ** 0.5
                )
                mixed[:, t, of_head] = torch.einsum("nk,nki->ni", scores.softmax(-1), value[:, : t + 1, of_head])
        x = x + linear(f"{block}attention.output", mixed)
        inner = linear(f"{block}inner", norm(f"{block}perceptron_norm", x))
        states.append(x + linear(f"{block}outer", inner * (1 + torch.erf(inner / 2**0.5)) / 2))
    return [*states, linear("head.output", norm("head.norm", states[-1][:, -1]))]


def test_the_model_is_the_published_one_written_out(run):
    folder = run[0] / "step30"
    weights, ids = load_file(folder / "model.safetensors"), torch.from_numpy(token_ids(EQUATIONS))
    assert weights["decoder.positions.weight"].shape == (5, 16) and weights["head.output.weight"].shape == (7, 16)
    *states, logits = decoder({name: tensor.double() for name, tensor in weights.items()}, ids)
    model = EquationDecoderForAnswers.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(ids), logits.float(), atol=1e-5, rtol=1e-5)
        measured = load_model(folder, kind="encoder")(ids, output_hidden_states=True)
    assert len(measured.hidden_states) == len(states) == 3
    for found, expected in zip(measured.hidden_states, states, strict=True):
        torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)
    assert torch.equal(measured.last_hidden_state, measured.hidden_states[-1])


def test_its_family_is_known_before_anything_is_imported():
    assert {EquationDecoderConfig.model_type} == set(grokking.MODEL_TYPES) == families.OWN
    properties = kinds.get("grokking").schemas()["architecture"]["properties"]
    defaults = {key: part["default"] for key, part in properties.items() if "default" in part}
    config = EquationDecoderConfig()
    assert properties.keys() == {"model_type", *defaults}
    assert defaults == {key: getattr(config, key) for key in defaults}


def test_the_model_starts_as_published(tokenizer_folder, tmp_path):
    wide = ARCHITECTURE | {"hidden_size": 64, "intermediate_size": 256, "max_position_embeddings": 64}
    train(tokenizer_folder, tmp_path / "run", architecture=wide, steps=1, checkpoints=[0])
    weights = load_file(tmp_path / "run" / "step0" / "model.safetensors")
    for name in ("tokens", "positions"):
        assert weights[f"decoder.{name}.weight"].std().item() == pytest.approx(1, abs=0.1)
    block = "decoder.blocks.1."
    inputs = {f"{block}attention.{part}": 64 for part in ("query", "key", "value", "output")}
    inputs |= {f"{block}inner": 64, f"{block}outer": 256, "head.output": 64}
    for name, bound in [(f"{module}.{kind}", n**-0.5) for module, n in inputs.items() for kind in ("weight", "bias")]:
        tensor = weights[name]
        assert (0.9 if tensor.numel() > 10 else 0.4) * bound < tensor.abs().max() <= bound
        assert tensor.numel() < 60 or tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
    assert (weights[f"{block}attention_norm.weight"] == 1).all() and (weights["head.norm.bias"] == 0).all()


def test_dropout_is_at_its_five_places():
    """A part that alone has dropout changes its own output: embeddings, attention's matrix, behind attention, inside and behind the MLP."""
    torch.manual_seed(0)
    model = EquationDecoder(EquationDecoderConfig(vocab_size=9, dropout=0.5, num_hidden_layers=1)).train()
    ids, block = torch.from_numpy(token_ids(EQUATIONS)), model.blocks[0]
    seen: dict[str, torch.Tensor] = {}
    block.outer.register_forward_pre_hook(lambda _, given: seen.update(inner=given[0]))
    block.attention.output.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0]))
    block.attention_norm.register_forward_pre_hook(lambda _, given: seen.update(embedded=given[0]))
    behind: list[torch.Tensor] = []
    block.dropout.register_forward_hook(lambda _, given, made: behind.append(made))
    model(ids)
    attended, inner, outer = behind
    for dropped in (seen["embedded"], attended, inner, outer):
        assert (dropped == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(inner, seen["inner"])
    # The first token sees itself alone: half of its heads see nothing.
    of_heads = seen["mixed"][:, 0].unflatten(-1, (4, -1))
    assert (of_heads == 0).all(-1).double().mean().item() == pytest.approx(0.5, abs=0.15)
    model.eval()
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)


def drawn(places: np.ndarray, number: int, step: int, stream: int, seed: int = 5) -> np.ndarray:
    return places[np.random.Generator(np.random.PCG64([seed, step, stream])).integers(len(places), size=number)]


def optimised(weights: Mapping[str, torch.Tensor], steps: int) -> tuple[dict[str, np.ndarray], list[float]]:
    """The weights after AdamW (Loshchilov & Hutter 2019, algorithm 2) written out, in float64, and the loss of each batch."""
    parameters = {name: tensor.double().requires_grad_() for name, tensor in weights.items()}
    sequences, answers = torch.from_numpy(token_ids(EQUATIONS)), torch.from_numpy(EQUATIONS.answer)
    mean = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    square = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    losses = []
    for t in range(1, steps + 1):
        batch = drawn(TRAIN, 12, t, 0)
        scores = decoder(parameters, sequences[batch])[-1].log_softmax(-1)
        loss = -scores[torch.arange(12), answers[batch]].mean()
        losses.append(loss.item())
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))
        rate = 0.01 * ((1 / 3 + 2 / 3 * (t - 1) / 4) if t <= 4 else (41 - t) / 36)
        with torch.no_grad():
            for name, tensor in parameters.items():
                gradient = gradients[name] * min(1, 1.0 / norm)
                mean[name] = 0.9 * mean[name] + 0.1 * gradient
                square[name] = 0.98 * square[name] + 0.02 * gradient**2
                direction = (mean[name] / (1 - 0.9**t)) / ((square[name] / (1 - 0.98**t)).sqrt() + 1e-6)
                tensor.mul_(1 - rate * 0.1).sub_(rate * direction)
    return {name: tensor.detach().numpy() for name, tensor in parameters.items()}, losses


def test_the_weights_are_those_of_adamw_written_out(tokenizer_folder, tmp_path):
    metrics = train(
        tokenizer_folder, tmp_path / "run", architecture=NO_DROPOUT, checkpoints=[0, 8], steps=8, metrics_every=1
    )
    start, found = (load_file(tmp_path / "run" / step / "model.safetensors") for step in ("step0", "step8"))
    expected, losses = optimised(start, 8)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], atol=2e-4)
        assert name.endswith(("positions.weight", "key.bias")) or (tensor - start[name]).abs().max() > 5e-3
    assert list(values(metrics, "train_loss").values()) == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(("warmup_steps", "decay_steps"), [(10, 400), (0, 30)])
def test_the_learning_rate_is_that_of_torchs_schedulers(warmup_steps, decay_steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    parts = [torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=decay_steps - warmup_steps)]
    if warmup_steps:
        parts.insert(0, torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 3, total_iters=warmup_steps))
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[warmup_steps] * (len(parts) - 1))
    for updates in range(30):
        assert grokking._rate_factor(updates, warmup_steps, decay_steps) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_batches_are_drawn_with_replacement_from_the_training_equations_alone():
    batches = np.stack([grokking._drawn(TRAIN, 512, 5, step, grokking.TRAINED_ON).numpy() for step in range(1, 41)])
    assert set(batches.ravel()) == set(TRAIN)
    counts = np.array([(batches == place).sum(axis=1) for place in TRAIN])
    # Of 512 draws among 29 each comes 17.7 times, with the variance of a binomial; of permuted epochs 17 or 18 times.
    assert counts.var() == pytest.approx(512 * (1 / 29) * (28 / 29), rel=0.15)
    validation = grokking._drawn(VALIDATION, 512, 5, 1, grokking.EVALUATED_ON).numpy()
    assert set(validation) == set(VALIDATION)


def test_a_small_model_learns_its_equations(tokenizer_folder, tmp_path):
    metrics = train(
        tokenizer_folder,
        tmp_path / "run",
        architecture=NO_DROPOUT,
        steps=150,
        decay_steps=400,
        batch_size=32,
        checkpoints=[150],
        metrics_every=1,
        evaluated=1,
    )
    accuracy, loss = values(metrics, "train_accuracy"), values(metrics, "train_loss")
    assert np.mean([accuracy[step] for step in range(1, 6)]) < 0.5
    assert np.mean([accuracy[step] for step in range(141, 151)]) > 0.98
    assert loss[150] < 0.2 < loss[1]


def test_the_seed_decides_the_weights_and_torch_keeps_its_own(run, tokenizer_folder, tmp_path):
    folder, metrics = run
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = train(tokenizer_folder, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.equals(metrics)
    for step in ("step0", "step7", "step30"):
        assert weights(tmp_path / "again" / step) == weights(folder / step)
    train(tokenizer_folder, tmp_path / "other", model_seed=6, steps=1, checkpoints=[0])
    assert weights(tmp_path / "other" / "step0") != weights(folder / "step0")


def test_the_seed_of_the_split_leaves_the_initial_weights_alone(tokenizer_folder, tmp_path):
    keys = kinds.get("grokking").keys
    given = {key: keys[key]["default"] for key in keys if "default" in keys[key]}
    given |= {"fraction": 0.5, "steps": 1, "batch_size": 4, "evaluated": 4}

    def trained(name: str, **seeds: int | None) -> tuple[bytes, bytes]:
        settings = {"training": given | seeds, "architecture": ARCHITECTURE, "checkpoints": [0, 1]}
        settings["texts"] = {"dataset": {"entry": {"task": "addition", "modulus": 7}}}
        grokking.train(Task(settings, {}, str(tokenizer_folder), "", str(tmp_path / name), name, "cpu"))
        return tuple(weights(tmp_path / name / step) for step in ("step0", "step1"))

    first, other = trained("first", seed=46), trained("other", seed=47)
    assert first[0] == other[0] and first[1] != other[1]
    assert keys["model_seed"]["default"] == 1234
    assert trained("same", seed=46, model_seed=1234) == first
    assert trained("own", seed=46, model_seed=None) == trained("given", seed=46, model_seed=46) != first


def test_what_is_evaluated_and_saved_does_not_shape_the_weights(run, tokenizer_folder, tmp_path):
    train(tokenizer_folder, tmp_path / "run", checkpoints=[3, 30], metrics_every=1, evaluated=None)
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


# The metrics


def test_validation_is_that_of_the_saved_models_on_equations_drawn_anew(run, tokenizer_folder, tmp_path):
    folder, metrics = run
    assert metrics.schema.equals(METRICS)
    sequences, answers = torch.from_numpy(token_ids(EQUATIONS)), torch.from_numpy(EQUATIONS.answer)

    def expected(folder: Path, places: np.ndarray) -> tuple[float, float]:
        with torch.no_grad():
            scores = EquationDecoderForAnswers.from_pretrained(folder).eval()(sequences[places]).log_softmax(-1)
        right = scores.argmax(-1) == answers[places]
        return -scores[torch.arange(len(places)), answers[places]].mean().item(), right.double().mean().item()

    for step in (7, 30):
        loss, accuracy = expected(folder / f"step{step}", drawn(VALIDATION, 4096, step, 1))
        assert values(metrics, "validation_loss")[step] == pytest.approx(loss, rel=1e-5)
        assert values(metrics, "validation_accuracy")[step] == pytest.approx(accuracy, abs=1e-12)
    metrics = train(tokenizer_folder, tmp_path / "run", evaluated=None)
    loss, accuracy = expected(tmp_path / "run" / "step30", VALIDATION)
    assert values(metrics, "validation_loss")[30] == pytest.approx(loss, rel=1e-5)
    assert values(metrics, "validation_accuracy")[30] == pytest.approx(accuracy, abs=1e-12)


def test_the_training_accuracy_is_that_of_the_batch_with_dropout(tokenizer_folder, tmp_path):
    metrics = train(tokenizer_folder, tmp_path / "run", steps=1, checkpoints=[0, 1])
    model = EquationDecoderForAnswers.from_pretrained(tmp_path / "run" / "step0").train()
    batch, found = drawn(TRAIN, 12, 1, 0), values(metrics, "train_loss")[1]
    torch.manual_seed(3)
    sequences, answers = torch.from_numpy(token_ids(EQUATIONS))[batch], torch.from_numpy(EQUATIONS.answer)[batch]

    def loss() -> float:
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(model(sequences), answers).item()

    with_dropout = [loss() for _ in range(50)]
    assert min(with_dropout) - 0.2 < found < max(with_dropout) + 0.2
    model.eval()
    assert abs(found - loss()) > 1e-4
    assert values(metrics, "train_accuracy")[1] * 12 == pytest.approx(round(values(metrics, "train_accuracy")[1] * 12))


def test_metrics_come_at_regular_steps_the_last_and_checkpoints(tokenizer_folder, tmp_path):
    metrics = train(tokenizer_folder, tmp_path / "run", steps=27, checkpoints=[0, 13])
    for name in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        assert list(values(metrics, name)) == [10, 13, 20, 27]


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
    model = EquationDecoderForAnswers(model_config(ARCHITECTURE, vocab_size=9, sequence_length=4))
    # Stands for sequences on a GPU, of which the state's restoring asks this alone.
    on_gpu = SimpleNamespace(is_cuda=True)
    training = grokking._Training(model, on_gpu, torch.tensor([]), torch.optim.AdamW(model.parameters()), 1.0)
    training.restore(state)
    assert all(torch.equal(held, state["model"][name]) for name, held in model.state_dict().items())


def test_another_identity_starts_anew(tokenizer_folder, tmp_path):
    interrupted(tokenizer_folder, tmp_path / "run")
    changed = {"model_seed": 8, "checkpoints": [30], "identity": "second"}
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
        ({"learning_rate": -1.0}, "learning_rate: -1.0 is not more than zero"),
        ({"gradient_clipping": 0}, "gradient_clipping: 0 is not more than zero"),
        ({"evaluated": 0}, "evaluated: 0 is not more than zero"),
        ({"metrics_every": 0}, "metrics_every: 0 is not more than zero"),
        ({"weight_decay": -0.1}, "weight_decay: -0.1 is negative"),
        ({"betas": [0.9, 1.0]}, r"betas: \[0.9, 1.0\] must be two numbers"),
        ({"decay_steps": 29}, "4 and 29 do not fit 30 steps"),
        ({"warmup_steps": 40}, "40 and 40 do not fit 30 steps"),
        ({"warmup_steps": -1}, "-1 and 40 do not fit 30 steps"),
        ({"architecture": ARCHITECTURE | {"max_position_embeddings": 3}}, "4 tokens are longer .* is 3"),
        ({"architecture": ARCHITECTURE | {"model_type": "equations"}}, "'equations' is not known"),
        ({"architecture": {"model_type": "gpt2"}}, "'gpt2' is not trained on equations; write equation_decoder"),
        ({"architecture": ARCHITECTURE | {"hidden_sise": 16}}, "equation_decoder takes no setting 'hidden_sise'"),
        ({"architecture": ARCHITECTURE | {"hidden_size": "wide"}}, "(?s)does not take these settings: .*hidden_size"),
        ({"architecture": ARCHITECTURE | {"num_attention_heads": 3}}, "16 is no multiple of num_attention_heads = 3"),
        ({"architecture": ARCHITECTURE | {"dropout": 1}}, "dropout: 1 is no number from 0 to below 1"),
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
