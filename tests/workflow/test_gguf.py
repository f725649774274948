"""A model in GGUF, from a folder and from a hub on this machine, is measured as the model that it was made of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from builders import gguf_models
from builders.hub_server import serving
from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import read_embeddings

from workflow.checkout import MINI, Project


def test_a_model_in_gguf_from_a_folder_and_from_the_hub(fresh: Project, tmp_path: Path) -> None:
    original = gguf_models.model()
    folder = tmp_path / "repository"
    folder.mkdir()
    gguf_models.write(folder / "tiny.gguf", original)
    common = {"gguf": "tiny.gguf", "kind": "causal", "layers": 3, "width": 64}
    fresh.configure(
        models={"here": {"layers": [0, -1]}, "served": {"layers": [-1]}},
        catalog={"models": {"here": common | {"path": str(folder)}, "served": common | {"hub": "tiny/llama"}}},
        estimator_sets={"quick": MINI["estimator_sets"]["quick"]},
        nulls=[],
        figures={},
    )
    with serving(("tiny/llama", "main", folder)) as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        done = fresh.snakemake(env=environment)
        assert done.returncode == 0, done.stdout
        assert fresh.stale(env=environment) == {}
        commit = hub.repositories["tiny/llama"].branches["main"]
    results = fresh.results
    assert commit in str(provenance(results / "embeddings/served/final/lee_news.parquet"))
    assert not list((results / "checkpoints").rglob("*.safetensors"))  # deleted when nothing needs them

    tokens = read_table(results / "tokens/here/lee_news.parquet").to_pandas()
    sequences = read_table(results / "sequences/here/lee_news.parquet").to_pandas().set_index("sequence")["input_ids"]
    found = read_embeddings(results / "embeddings/here/final/lee_news.parquet", 3)
    with torch.inference_mode():
        for sequence, of_sequence in list(tokens.groupby("sequence"))[:5]:
            states = original(torch.tensor([list(sequences[sequence])]), output_hidden_states=True).hidden_states[-1]
            expected = states[0, of_sequence["position"].to_numpy()].numpy()
            np.testing.assert_allclose(found[of_sequence["point"].to_numpy()], expected, rtol=1e-4, atol=1e-5)
    local = read_table(results / "tables/local.parquet").to_pandas().query("layer == 3 and variant == 'data'")
    assert local.groupby("model")["mean"].first().nunique() == 1  # both are the same model
