"""Measurements inside a training loop, and their estimates alone."""

from __future__ import annotations

import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from idsweep.live import LiveDimension
from idsweep.live.estimates import Estimator
from idsweep.live.states import States, as_tokens
from idsweep.training.tokenizer import train_tokenizer
from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

PACKAGES = ("idsweep", "numpy", "torch", "transformers")
VOCABULARY, LENGTH = 2048, 128
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def estimate(X, n_neighbors):
    """The local TwoNN of states, as a measurement estimates it."""
    ids = np.arange(len(X), dtype=np.int32)
    cloud = {"tokens": "all", "sequences": None, "number": len(X), "seed": 778, "deduplicate": False}
    _, table = Estimator("twonn", n_neighbors, cloud, {})("layer_04", States(ids, X, as_tokens(ids)))
    return {"value": table["value"].to_numpy()[:-1]}


def training(steps, every, points, n_neighbors, device):
    """Seconds of each `every` steps of the demo's NeoX, and of the measurement of its last layer behind them."""
    file = Path(find_spec("gensim").submodule_search_locations[0], "test/test_data/lee_background.cor")
    texts = file.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(texts, folder, vocabulary_size=VOCABULARY)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    config = GPTNeoXConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape)
    model = GPTNeoXForCausalLM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, fused=True)
    ids = torch.tensor(np.concatenate(tokenizer(texts)["input_ids"]), device=device)
    ids = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    live = LiveDimension(
        model, tokenizer, texts, layers=[-1], n_neighbors=n_neighbors, points=points, max_length=LENGTH
    )
    live.measure(-1)
    found = {"training": [], "measurement": []}
    generator = np.random.default_rng(0)
    for step in range(0, steps, every):
        begin = time.perf_counter()
        for _ in range(every):
            batch = ids[torch.from_numpy(generator.choice(len(ids), 8))]
            model(batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        between = time.perf_counter()
        if not live.measure(step):
            raise RuntimeError("the measurement failed")
        found["training"].append(between - begin)
        found["measurement"].append(time.perf_counter() - between)
    return {name: np.array(seconds) for name, seconds in found.items()}
