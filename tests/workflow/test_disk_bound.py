"""Checkpoints of a hub are fetched, measured and deleted within the disk that `checkpoint_disk_gb` grants."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import torch
from builders.hub_server import HubServer
from idsweep.training.tokenizer import train_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from workflow.checkout import MINI, Project

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
STEPS = 5
DIVERGED = 2


@pytest.fixture
def hub(tmp_path: Path) -> HubServer:
    """A model with five checkpoints, one of which diverged in training."""
    with HubServer() as server:
        for step in range(STEPS):
            torch.manual_seed(step)
            config = AutoConfig.for_model("gpt_neox", vocab_size=300, max_position_embeddings=64, **SIZES)
            model = AutoModelForCausalLM.from_config(config)
            if step == DIVERGED:
                torch.nn.init.constant_(model.gpt_neox.layers[0].mlp.dense_h_to_4h.weight, float("nan"))
            model.save_pretrained(folder := tmp_path / f"step{step}")
            train_tokenizer(["all the news that is fit to print"], folder, vocabulary_size=300)
            server.add("tiny/neox", f"step{step}", folder)
        server.add("tiny/neox", "main", folder)
        yield server


class Watch(threading.Thread):
    """Looks how many checkpoints are on the disk for as long as it runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.most, self.running, self._folder = 0, True, folder

    def run(self) -> None:
        while self.running:
            self.most = max(self.most, len([path for path in self._folder.glob("step*") if path.is_dir()]))
            time.sleep(0.01)


def test_never_more_checkpoints_than_the_disk_may_hold(fresh: Project, hub: HubServer) -> None:
    fresh.configure(
        models={"served": {"layers": [-1]}},
        catalog={
            "models": {
                "served": {
                    "hub": "tiny/neox",
                    "kind": "causal",
                    "layers": 1,
                    "checkpoints": "step{0..4/1}",
                    "size_gb": 0.9,
                }
            }
        },
        estimator_sets={"quick": MINI["estimator_sets"]["quick"][1:]},
        scales={"halvings": 0},
        nulls=[],
        figures={},
    )
    watch = Watch(fresh.results / "checkpoints/served")
    watch.start()
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(fresh.folder / "home")}
    bound = ("--resources", "checkpoint_disk_gb=2", "downloads=2", "--cores", "1")
    done = fresh.snakemake(*bound, env=environment)
    watch.running = False
    watch.join()
    assert done.returncode != 0
    assert "layer 1, sequence" in done.stdout and "is NaN or infinite" in done.stdout
    measured = {path.parents[2].name for path in (fresh.results / "estimates").rglob("*.parquet")}
    assert measured == {f"step{step}" for step in range(STEPS) if step != DIVERGED}
    # Two that are fetched or measured, and the one that failed, which stays.
    assert 2 <= watch.most <= 3
