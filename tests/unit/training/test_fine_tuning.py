"""Fine-tuning does the updates it says it does, whole or as an adapter, and can be killed at any time."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import shutil
import sys
import time
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders.model_folders import save_model
from builders.tiny_models import tiny
from builders.trainings import FROM_BASE, SUBJECTS, VERBS, values, weights
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import adapter_files
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training import fine_tuning, kinds
from idsweep.training import unfinished as unfinished_trainings
from idsweep.training.fine_tuned_language_model import PaddedTexts, fine_tune_language_model, token_rows
from idsweep.training.fine_tuning import NOT_PREDICTED, SCHEDULES, fine_tune
from idsweep.training.metrics import METRICS
from idsweep.training.tokenizer import train_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, get_scheduler

TEXTS = [
    f"{s} {v} {o}" + f", and {o} {v} {s}." * (n % 3) for s in SUBJECTS for v in VERBS for n, o in enumerate(SUBJECTS)
]
TRAIN, VALIDATION = TEXTS[:44], TEXTS[44:]
SIZES = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    | {"max_position_embeddings": 32},
}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
SETTINGS = {
    "kind": "causal",
    "max_length": 24,
    "identity": "test",
    "checkpoints": [0, 8],
    "steps": 8,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "seed": 0,
    "base_name": "somebody/base",
}
BARE = {key: value for key, value in FROM_BASE.items() if key != "identity"}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "rank_stabilized": True, "target_modules": None}


@pytest.fixture(scope="module", autouse=True)
def processes():
    """Where processes are made that have all imports behind them and no thread of this one; it imports meanwhile."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([fine_tune_language_model.__module__, "pytest"])
    with pytest.MonkeyPatch.context() as patched:  # what it imports beforehand is looked for where tests look
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return made


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, folder, vocabulary_size=302, mask=True)
    return folder


def save_base(folder: Path, model_type: str, vocabulary: int, **settings) -> Path:
    auto = AutoModelForMaskedLM if model_type == "bert" else AutoModelForCausalLM
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    return save_model(folder, auto, model_type, vocab_size=vocabulary, **ends, **SIZES[model_type], **settings)


@pytest.fixture(scope="module")
def bases(tokenizer_folder, tmp_path_factory) -> dict[str, Path]:
    """Folders of models with random weights; `still` is a GPT-2 without dropout."""
    root, vocabulary = tmp_path_factory.mktemp("bases"), len(load_tokenizer(tokenizer_folder))
    return {
        "causal": save_base(root / "causal", "gpt2", vocabulary),
        "masked": save_base(root / "masked", "bert", vocabulary),
        "still": save_base(root / "still", "gpt2", vocabulary, **NO_DROPOUT),
    }


def tune(bases, tokenizer_folder: Path, folder: Path, base: str = "causal", **changes):
    return fine_tune_language_model(TRAIN, VALIDATION, bases[base], tokenizer_folder, folder, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def run(bases, tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return folder, tune(bases, tokenizer_folder, folder, steps=24, checkpoints=[0, 5, 24])


def summed_loss(model, row: list[int]) -> torch.Tensor:
    """Nats over the next tokens of one text, without padding."""
    scores = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
    return -scores[range(len(row) - 1), row[1:]].sum()


def test_a_model_learns_and_its_checkpoints_are_whole_models(run, bases, tokenizer_folder):
    folder, metrics = run
    assert metrics.schema.equals(METRICS)
    assert set(metrics["metric"].to_pylist()) == set(kinds.get("fine_tuned_language_model").metrics)
    assert sorted(path.name for path in folder.iterdir()) == ["step0", "step24", "step5"]
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoints"]
    for name in ("train_loss", "validation_loss"):
        loss = values(metrics, name)
        assert list(loss) == [0, 3, 5, 6, 9, 12, 15, 18, 21, 24]
        assert loss[24] < 0.8 * loss[0]
    assert metrics.num_rows == 20
    assert len({weights(folder / name) for name in ("step0", "step5", "step24")}) == 3
    base, begun = load_file(bases["causal"] / "model.safetensors"), load_file(folder / "step0" / "model.safetensors")
    assert base.keys() == begun.keys() and all(torch.equal(base[name], begun[name]) for name in base)
    text = TEXTS[5]
    assert load_tokenizer(folder / "step5")(text)["input_ids"] == load_tokenizer(tokenizer_folder)(text)["input_ids"]
    written = "".join(path.read_text() for path in folder.glob("*/*.json"))
    assert str(folder.parent) not in written and str(bases["causal"]) not in written


def test_the_losses_are_those_of_the_saved_model_text_by_text(run, tokenizer_folder):
    folder, metrics = run
    rows = load_tokenizer(tokenizer_folder)(VALIDATION)["input_ids"]
    assert len(set(map(len, rows))) > 2 and max(map(len, rows)) < 24
    model = load_model(folder / "step24", kind="causal")
    with torch.no_grad():
        expected = sum(summed_loss(model, row).item() for row in rows) / sum(len(row) - 1 for row in rows)
    assert values(metrics, "validation_loss")[24] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "corrected"), [("linear", 2, True), ("constant", 0, True), ("linear", 2, False)]
)
def test_updates_are_those_of_a_loop_over_single_texts(
    schedule, warmup_steps, corrected, bases, tokenizer_folder, tmp_path
):
    steps, rate, decay, norm = 4, 0.02, 0.3, 0.05
    tune(
        bases,
        tokenizer_folder,
        tmp_path / "run",
        base="still",
        steps=steps,
        checkpoints=[steps],
        batch_size=len(TRAIN),
        learning_rate=rate,
        schedule=schedule,
        warmup_steps=warmup_steps,
        weight_decay=decay,
        gradient_clipping=norm,
        bias_correction=corrected,
    )
    model = load_model(bases["still"], kind="causal").double()
    factors = {"linear": [0, 1 / 2, 1, 1 / 2], "constant": [1] * 4}[schedule]
    rows = load_tokenizer(tokenizer_folder)(TRAIN)["input_ids"]
    first, second, norms = {}, {}, []
    for updates, factor in enumerate(factors, start=1):
        model.zero_grad()
        (sum(summed_loss(model, row) for row in rows) / sum(len(row) - 1 for row in rows)).backward()
        norms.append(sum(parameter.grad.square().sum() for parameter in model.parameters()).sqrt().item())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad * min(1, norm / norms[-1])
                first[name] = 0.9 * first.get(name, 0) + 0.1 * gradient
                second[name] = 0.999 * second.get(name, 0) + 0.001 * gradient**2
                decays = name.endswith("weight") and "ln_" not in name
                if decays and corrected:
                    parameter *= 1 - rate * factor * decay
                mean, square = first[name], second[name]
                if corrected:
                    mean, square = mean / (1 - 0.9**updates), square / (1 - 0.999**updates)
                parameter -= rate * factor * mean / (square.sqrt() + 1e-8)
                if decays and not corrected:
                    parameter *= 1 - rate * factor * decay
    assert min(norms) > norm
    trained = dict(load_model(tmp_path / "run" / f"step{steps}", kind="causal").named_parameters())
    # Rounding turns gradients that vanish into steps of any sign.
    for name, parameter in model.named_parameters():
        certain = second[name].sqrt() > 1e-6
        assert certain.any(), name
        assert torch.allclose(trained[name].double()[certain], parameter[certain], rtol=0, atol=2e-3 * rate), name


def every_third(rows) -> dict[str, torch.Tensor]:
    """Texts of unlike lengths of which every third token is to be predicted where it stands."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    chosen = (torch.arange(width) % 3 == 0) & (mask == 1)
    labels = torch.where(chosen, ids, torch.tensor(NOT_PREDICTED))
    return {"input_ids": torch.where(chosen, 3, ids), "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("model_type", ["gpt2", "bert"])
def test_accumulated_gradients_are_those_of_one_batch(model_type, tokenizer_folder, tmp_path):
    random = np.random.default_rng(0)
    rows = [random.integers(4, 99, length).tolist() for length in random.integers(4, 20, 20)]
    found = {}
    for batch_size, accumulation in ((8, 1), (2, 4)):
        model = tiny(model_type)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        if model_type == "gpt2":
            for block in model.transformer.h:
                block.attn.attn_dropout.p = 0.0
        settings = {"identity": "x", "checkpoints": [2], "epochs": 2, "learning_rate": 1e-3, "schedule": "linear"}
        fine_tune(
            model,
            load_tokenizer(tokenizer_folder),
            rows,
            every_third,
            lambda model: {},
            tmp_path / f"{model_type}{batch_size}",
            batch_size=batch_size,
            gradient_accumulation=accumulation,
            warmup_steps=0,
            weight_decay=0.01,
            precision="float32",
            gradient_clipping=1.0,
            seed=3,
            device="cpu",
            base_name="x",
            **settings,
        )
        found[batch_size] = {name: tensor.detach() for name, tensor in model.named_parameters()}
    before = dict(tiny(model_type).named_parameters())
    for name, expected in found[8].items():
        if name.endswith(("key.bias", "c_attn.bias")):  # attention does not depend on the keys' biases
            continue
        assert torch.allclose(found[2][name], expected, rtol=0, atol=1e-4), name
    moved = torch.cat([(found[8][name] - before[name]).abs().flatten() for name in before])
    assert moved.quantile(0.5) > 1e-3


def test_with_epochs_checkpoints_and_metrics_count_epochs(bases, tokenizer_folder, tmp_path):
    # 44 texts make 15 batches and so 8 updates, the last of one batch.
    sizes = {"batch_size": 3, "gradient_accumulation": 2}
    epochs = tune(bases, tokenizer_folder, tmp_path / "a", steps=None, epochs=2, checkpoints=[1, 2], **sizes)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["epoch1", "epoch2"]
    steps = tune(bases, tokenizer_folder, tmp_path / "b", steps=16, checkpoints=[8, 16], **sizes)
    for name in ("train_loss", "validation_loss"):
        assert list(values(epochs, name)) == [0, 1, 2]
        by_step = values(steps, name)
        assert values(epochs, name)[1] == by_step[8] and values(epochs, name)[2] == by_step[16]
    for epoch, step in ((1, 8), (2, 16)):
        assert weights(tmp_path / "a" / f"epoch{epoch}") == weights(tmp_path / "b" / f"step{step}")


def epochs_of(folder: Path, tokenizer_folder: Path, **changes) -> list[list[int]]:
    """The examples of three epochs of ten, in the order in which they come."""
    came = []

    def collate(rows: list[int]) -> dict[str, torch.Tensor]:
        came.extend(rows)
        return {"labels": torch.tensor([0])}

    fine_tune(
        Guess(),
        load_tokenizer(tokenizer_folder),
        list(range(10)),
        collate,
        lambda model: {},
        folder,
        identity="x",
        checkpoints=[3],
        epochs=3,
        save=lambda model, folder: folder.mkdir(),
        **BARE | changes,
    )
    assert len(came) == 30
    return [came[first : first + 10] for first in (0, 10, 20)]


def test_epochs_have_one_order_or_each_its_own(tokenizer_folder, tmp_path):
    anew = epochs_of(tmp_path / "anew", tokenizer_folder)
    same = epochs_of(tmp_path / "same", tokenizer_folder, order="same", batch_size=4, gradient_accumulation=2)
    for epochs, number in ((anew, 3), (same, 1)):
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == number
    assert same[0] != list(range(10))
    assert epochs_of(tmp_path / "again", tokenizer_folder, order="same") == same  # whatever the batches are
    assert epochs_of(tmp_path / "other", tokenizer_folder, order="same", seed=1)[0] != same[0]


def test_the_seed_decides_the_weights(run, bases, tokenizer_folder, tmp_path):
    folder, metrics = run
    torch.manual_seed(99)
    assert tune(bases, tokenizer_folder, tmp_path / "again", steps=24, checkpoints=[0, 5, 24]).equals(metrics)
    assert weights(tmp_path / "again" / "step24") == weights(folder / "step24")
    tune(bases, tokenizer_folder, tmp_path / "other", steps=24, checkpoints=[24], seed=1)
    assert weights(tmp_path / "other" / "step24") != weights(folder / "step24")


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_an_adapter_loaded_on_its_base_is_the_trained_model(kind, bases, tokenizer_folder, tmp_path):
    tokenizer = load_tokenizer(tokenizer_folder)
    model = load_model(bases[kind], kind=kind, dtype="float32")
    rows = token_rows(TRAIN, tokenizer, 24, "training")
    fine_tune(
        model,
        tokenizer,
        rows,
        PaddedTexts(tokenizer, 0.15 if kind == "masked" else None),
        lambda model: {"none": 0.0},
        tmp_path / "run",
        **{key: SETTINGS[key] for key in ("identity", "checkpoints", "steps", "batch_size", "learning_rate", "seed")},
        gradient_accumulation=1,
        schedule="cosine",
        warmup_steps=1,
        weight_decay=0.01,
        precision="float32",
        gradient_clipping=1.0,
        lora=LORA,
        device="cpu",
        base_name="somebody/base",
    )
    folder, ids = tmp_path / "run" / "step8", torch.tensor([rows[1]])
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert adapter_files(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == ("somebody/base", 4, 8)
    assert config["use_rslora"] and config["lora_dropout"] == 0.1
    logits = {
        name: load_model(bases[kind], kind=kind, adapter=adapter)(ids).logits
        for name, adapter in (("base", None), ("begin", tmp_path / "run" / "step0"), ("end", folder))
    }
    torch.testing.assert_close(logits["end"], model.eval()(ids).logits)
    torch.testing.assert_close(logits["begin"], logits["base"], rtol=0, atol=0)
    assert (logits["end"] - logits["base"]).abs().max() > 1e-3
    # The definition: W + (alpha / sqrt(rank)) B A, and nothing else changed.
    base = load_model(bases[kind], kind=kind)
    merged = load_model(bases[kind], kind=kind, adapter=folder).state_dict()
    lora = load_file(folder / "adapter_model.safetensors")
    changed = {name for name, tensor in base.state_dict().items() if not torch.equal(tensor, merged[name])}
    assert len(changed) == (2 if kind == "causal" else 4) == len(lora) / 2
    for name in changed:
        a, b = (lora[f"base_model.model.{name.removesuffix('weight')}lora_{x}.weight"] for x in "AB")
        update = 8 / math.sqrt(4) * b @ a
        expected = base.state_dict()[name] + (
            update.T if kind == "causal" else update
        )  # GPT-2's matrices are transposed
        torch.testing.assert_close(merged[name], expected)


def test_frozen_parameters_stay_bit_by_bit_and_the_others_change(bases, tokenizer_folder, tmp_path):
    patterns = ["*embeddings*", "bert.encoder.layer.[0]*", "cls.*LayerNorm.bias"]
    tune(
        bases,
        tokenizer_folder,
        tmp_path / "run",
        base="masked",
        kind="masked",
        freeze=patterns,
        checkpoints=[8],
        masking=0.3,
    )
    before = load_file(bases["masked"] / "model.safetensors")
    after = load_file(tmp_path / "run" / "step8" / "model.safetensors")
    assert before.keys() == after.keys()
    frozen = {name for name in before if torch.equal(before[name], after[name])}
    assert frozen == {
        name
        for name in before
        if "embeddings" in name or ".layer.0." in name or name == "cls.predictions.transform.LayerNorm.bias"
    }


def test_freezing_one_name_of_tied_weights_freezes_them(bases, tokenizer_folder, tmp_path):
    tune(bases, tokenizer_folder, tmp_path / "run", freeze=["lm_head.weight"], checkpoints=[8])
    trained, base = (load_model(f, kind="causal") for f in (tmp_path / "run" / "step8", bases["causal"]))
    assert torch.equal(trained.transformer.wte.weight, base.transformer.wte.weight)
    assert not torch.equal(trained.transformer.wpe.weight, base.transformer.wpe.weight)


def test_masked_models_learn_and_are_evaluated_at_one_draw_of_masks(bases, tokenizer_folder, tmp_path):
    settings = {"base": "masked", "kind": "masked"}
    still = tune(bases, tokenizer_folder, tmp_path / "still", learning_rate=0.0, **settings)
    assert {len(set(values(still, name).values())) for name in ("train_loss", "validation_loss")} == {1}
    metrics = tune(
        bases, tokenizer_folder, tmp_path / "run", steps=24, checkpoints=[24], learning_rate=1e-2, **settings
    )
    assert values(metrics, "train_loss")[24] < 0.85 * values(metrics, "train_loss")[0]


def test_bfloat16_learns_and_saves_float32(bases, tokenizer_folder, tmp_path):
    metrics = tune(bases, tokenizer_folder, tmp_path / "run", precision="bfloat16", lora=None)
    exact = tune(bases, tokenizer_folder, tmp_path / "exact")
    loss = values(metrics, "train_loss")
    assert loss != values(exact, "train_loss")
    assert loss[8] == pytest.approx(values(exact, "train_loss")[8], rel=0.02)
    dtypes = {tensor.dtype for tensor in load_file(tmp_path / "run" / "step8" / "model.safetensors").values()}
    assert dtypes == {torch.float32}


def test_texts_are_cut_and_padded_and_padding_is_not_predicted(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    rows = token_rows(["", "x", "the dog sees", "the cat likes a bird and my friend"], tokenizer, 5, "training")
    assert [len(row) for row in rows] == [len(tokenizer("the dog sees")["input_ids"]), 5]
    batch = PaddedTexts(tokenizer, None)([[7, 8, 9], [4, 5, 6, 7, 8]])
    assert batch["input_ids"].tolist() == [[7, 8, 9, 1, 1], [4, 5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[8, 9, -100, -100, -100], [5, 6, 7, 8, -100]]
    tokenizer.pad_token = None
    assert PaddedTexts(tokenizer, None)([[7, 0], [4, 5, 6]])["input_ids"].tolist() == [[7, 0, 0], [4, 5, 6]]
    assert PaddedTexts(tokenizer, None)([[7, 0], [4, 5, 6]])["labels"].tolist() == [[0, -100, -100], [5, 6, -100]]


def test_masks_are_drawn_anew_and_spare_padding_and_special_tokens(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    rows = [[0, *range(10, 10 + length), 2] for length in (5, 60, 90)] * 30
    torch.manual_seed(0)
    collate = PaddedTexts(tokenizer, 0.3)
    first, second = collate(rows), collate(rows)
    assert not torch.equal(first["labels"], second["labels"])
    chosen = first["labels"] != NOT_PREDICTED
    original = PaddedTexts(tokenizer, None)(rows)["input_ids"]
    ordinary = original >= 10
    assert not chosen[~ordinary].any()
    assert torch.equal(first["input_ids"][~chosen], original[~chosen])
    assert torch.equal(first["labels"][chosen], original[chosen])
    share, number = chosen[ordinary].double().mean(), int(ordinary.sum())
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / number)
    assert (first["input_ids"][chosen] == tokenizer.mask_token_id).double().mean() > 0.7


def train_here(threads: int, seconds: float, arguments: list, settings: dict) -> None:
    torch.set_num_threads(threads)
    unfinished_trainings.SECONDS_BETWEEN_STATES = seconds
    fine_tune_language_model(*arguments, **settings)


def kill_in_training(processes, arguments: tuple, unfinished: Path, after: int) -> int:
    """Train in a process of its own and kill it once a state of more than `after` steps is there; the state's step."""

    def steps() -> list[int]:
        return [int(path.name.removeprefix("state-")) for path in unfinished.glob("state-*")]

    process = processes.Process(target=train_here, args=arguments)
    process.start()
    try:
        deadline = time.monotonic() + 120
        while max(steps(), default=0) <= after:
            assert process.is_alive(), "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
    process.join()
    assert process.exitcode == -9
    return max(steps())


CASES = {
    # Masks and dropout; 44 texts make 11 batches, 6 updates in an epoch. Killed between checkpoints.
    "masked": (
        {"kind": "masked", "steps": 40, "checkpoints": [0, 40], "batch_size": 4, "gradient_accumulation": 2},
        0.0,
        9,
    ),
    # An adapter with dropout; killed after an epoch that is a checkpoint.
    "causal": (
        {"lora": LORA, "steps": None, "epochs": 8, "checkpoints": [0, 1, 2, 8], "batch_size": 6, "order": "same"},
        60.0,
        8,
    ),
    # One order for all epochs, accumulated, without bias correction; killed in the midst of an epoch of 6 updates.
    "still": (
        {"steps": 40, "checkpoints": [40], "batch_size": 4, "gradient_accumulation": 2, "order": "same"}
        | {"bias_correction": False},
        0.0,
        9,
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been_killed(
    kind, processes, bases, tokenizer_folder, tmp_path, caplog, capfd
):
    changes, seconds, after = CASES[kind]
    expected = tune(bases, tokenizer_folder, tmp_path / "whole" / "run", base=kind, **changes)

    unfinished = tmp_path / "killed" / ".run.unfinished"
    arguments = [TRAIN, VALIDATION, *map(str, (bases[kind], tokenizer_folder, tmp_path / "killed" / "run"))]
    given = (torch.get_num_threads(), seconds, arguments, SETTINGS | changes)
    step = kill_in_training(processes, given, unfinished, after)
    assert after < step < (changes["steps"] or 64)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [".run.unfinished"]
    (unfinished / ".scratch.unfinished" / "checkpoint-99").mkdir(parents=True)
    (unfinished / "checkpoints" / ".step9.unfinished").mkdir()
    shutil.copytree(tmp_path / "killed", tmp_path / "other")

    capfd.readouterr()
    with caplog.at_level(logging.INFO):
        found = tune(bases, tokenizer_folder, tmp_path / "killed" / "run", base=kind, **changes)
    assert capfd.readouterr() == ("", "")
    assert found.equals(expected)
    assert any(f"Going on from step {step}." in message for message in caplog.messages)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["run"]
    names = {path.name for path in (tmp_path / "whole" / "run").iterdir()}
    assert {path.name for path in (tmp_path / "killed" / "run").iterdir()} == names
    for name in names:
        assert weights(tmp_path / "killed" / "run" / name) == weights(tmp_path / "whole" / "run" / name)

    caplog.clear()
    short = changes | {"steps": 2, "epochs": None, "checkpoints": [2]}
    fresh = tune(bases, tokenizer_folder, tmp_path / "fresh" / "run", base=kind, **short)
    again = tune(bases, tokenizer_folder, tmp_path / "other" / "run", base=kind, identity="other", **short)
    assert again.equals(fresh)
    assert [path.name for path in (tmp_path / "other" / "run").iterdir()] == ["step2"]
    assert not any("Going on" in message for message in caplog.messages)


def test_fine_tuning_is_quiet_but_for_its_log(bases, tokenizer_folder, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        tune(bases, tokenizer_folder, tmp_path / "run", steps=2, checkpoints=[0, 2])
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "are trained on 44 examples, 2 updates of 8." in caplog.messages[0]
    assert caplog.messages[-1].startswith("fine-tuning: 100 % (2 of 2 steps), validation loss")


class Guess(torch.nn.Module):
    """One score for each of four classes, whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(torch.zeros(4))

    def forward(self) -> SimpleNamespace:
        return SimpleNamespace(logits=self.scores[None])


def test_every_schedule_runs_as_transformers_has_it(tokenizer_folder, tmp_path, monkeypatch):
    rates = []

    class Recorded(fine_tuning._Recorder):
        def on_step_begin(self, args, state, control, **kwargs):
            rates.append(kwargs["optimizer"].param_groups[0]["lr"])
            super().on_step_begin(args, state, control, **kwargs)

    monkeypatch.setattr(fine_tuning, "_Recorder", Recorded)
    for schedule in SCHEDULES:
        rates.clear()
        warmup = 0 if schedule == "constant" else 1
        fine_tune(
            Guess(),
            load_tokenizer(tokenizer_folder),
            [[1, 2], [3], [2]],
            lambda rows: {"labels": torch.tensor(rows[0][:1])},
            lambda model: {},
            tmp_path / schedule,
            identity="x",
            checkpoints=[4],
            steps=4,
            save=lambda model, folder: folder.mkdir(),
            **BARE | {"batch_size": 2, "learning_rate": 5e-3, "schedule": schedule, "warmup_steps": warmup},
        )
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=5e-3)
        expected = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=4)
        for rate in rates:
            assert rate == pytest.approx(expected.get_last_lr()[0])
            optimizer.step()
            expected.step()
        assert len(rates) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "steps: None, epochs: None. Give exactly one of the two"),
        ({"epochs": 2}, "steps: 8, epochs: 2. Give exactly one"),
        ({"checkpoints": [0, 9]}, r"checkpoints: \[0, 9\] must be steps from 0 to 8"),
        ({"checkpoints": []}, "at least one"),
        ({"steps": None, "epochs": 2, "checkpoints": [3]}, r"checkpoints: \[3\] must be epochs from 0 to 2"),
        (
            {"precision": "float16"},
            "precision: float16 needs a CUDA device, and this training runs on cpu. Set precision",
        ),
        ({"order": "shuffled"}, "order: 'shuffled' is not known; choose one of anew, same"),
        ({"precision": "half"}, "precision: 'half' is not known; choose one of float32, bfloat16"),
        ({"schedule": "reduce_lr_on_plateau"}, "schedule: 'reduce_lr_on_plateau' is not known; choose one of linear"),
        ({"schedule": "constant", "warmup_steps": 2}, "warmup_steps: 2, but the schedule 'constant' has no warm-up"),
        (
            {"freeze": ["*embedings*"]},
            r"freeze: '\*embedings\*' matches no parameter; their names are like transformer\.wte",
        ),
        ({"freeze": ["*"]}, r"freeze: \['\*'\] leaves nothing to train"),
        ({"freeze": ["*wte*"], "lora": LORA}, "freeze: with lora all of the base is frozen"),
        ({"lora": LORA | {"ranks": 4}}, "lora: 'ranks' is not known; it has rank, alpha"),
        ({"lora": {"rank": 4}}, "lora: alpha is missing"),
        ({"lora": {"rank": 4, "alpha": 8, "dropout": 0.0}}, "lora: rank_stabilized is missing"),
        ({"lora": LORA | {"rank": 0}}, "lora: PEFT cannot adapt GPT2LMHeadModel: .*0"),
        (
            {"lora": LORA | {"target_modules": ["query"]}},
            "PEFT cannot adapt GPT2LMHeadModel: .* names .*: c_attn, c_fc",
        ),
        ({"learning_rate": 1e38}, r"learning_rate: 1e\+38 is too high: at step [12] the .*loss is (nan|inf)"),
        ({"kind": "encoder"}, "kind: 'encoder' cannot be fine-tuned on texts alone; choose one of causal, masked"),
        ({"kind": "masked"}, "has no model of kind masked"),
        ({"kind": "masked", "base": "masked", "masking": 1.5}, "masking: 1.5 must lie between 0 and 1"),
        ({"max_length": 1}, "max_length: 1 is too short; this tokenizer needs 2"),
    ],
)
def test_what_cannot_be_trained_is_told(changes, message, bases, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        tune(bases, tokenizer_folder, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_texts_that_do_not_fit_the_model_are_told(bases, tokenizer_folder, tmp_path):
    def tune_on(texts, base, folder=tokenizer_folder, **changes):
        fine_tune_language_model(texts, VALIDATION, base, folder, tmp_path / "run", **(SETTINGS | changes))

    for texts in ([], ["", "x"]):
        with pytest.raises(ValueError, match=f"The training texts are {len(texts)}, and none has two tokens"):
            tune_on(texts, bases["causal"])
    with pytest.raises(ValueError, match=r"max_length: the model .*causal does not take a text of 4\d tokens"):
        tune_on([" ".join(TEXTS[:9])], bases["causal"], max_length=45)
    small = save_base(tmp_path / "small", "gpt2", 100)
    with pytest.raises(
        ValueError, match=r"gives token \d+, but the model .*small has 100. Give the model's own tokenizer"
    ):
        tune_on(TRAIN, small)
    plain = tmp_path / "plain"
    train_tokenizer(TEXTS, plain, vocabulary_size=300)
    with pytest.raises(ValueError, match=r"masking: the tokenizer .*plain has no mask token"):
        tune_on(TRAIN, bases["masked"], plain, kind="masked")


def test_a_prefix_space_makes_the_first_word_as_any_other(bases, tokenizer_folder, tmp_path):
    tune(bases, tokenizer_folder, tmp_path / "run", steps=1, checkpoints=[1], tokenizer_options={"prefix_space": True})
    saved = load_tokenizer(tmp_path / "run" / "step1")
    assert saved("dog")["input_ids"] == load_tokenizer(tokenizer_folder)(" dog")["input_ids"]
