"""Training on equations with metrics and checkpoints, beside a bare loop over the same batches: both in this process, in turn."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from idsweep.data.equations import equations, split, token_ids, vocabulary
from idsweep.models.equation_decoder import EquationDecoderForAnswers
from idsweep.training.architecture import model_config
from idsweep.training.grokking import train_grokking
from idsweep.training.tokenizer import word_tokenizer
from torch.nn.functional import cross_entropy

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
