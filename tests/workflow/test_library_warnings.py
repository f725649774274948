"""What libraries warn of in jobs is the last thing that a run says, whether it ends well or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from workflow.checkout import Project

WARNED = (
    "1 warning(s) of libraries that may concern numbers:\n  odd (transformers): The tied weights mapping and config"
)


def test_warnings_are_told_at_the_end_with_the_model_s_name(project: Project) -> None:
    assert list(project.results.rglob("*.warnings")) == []  # the miniature sweep gives no cause for any
    trained = project.results / "training/mini_neox/checkpoints/step4"
    odd, broken = (Path(shutil.copytree(trained, project.folder / name)) for name in ("odd", "broken"))
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    weights = load_file(broken / "model.safetensors") | {"gpt_neox.layers.0.gate": torch.ones(3)}
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    entries = {name: {"path": name, "kind": "causal"} for name in ("odd", "broken")}
    project.configure(
        models={name: {"layers": [0]} for name in entries},
        catalog__models=entries,
        figures={"violins": {}},
    )
    wanted, other = (f"results/mini/embeddings/{name}/final/lee_news.parquet" for name in entries)
    done = project.snakemake(wanted)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(WARNED) == 1
    failed = project.snakemake(wanted, other, "--forcerun", "extract_embeddings")
    assert failed.returncode != 0
    assert failed.stdout.count(WARNED) == 1
    assert "1 job(s) failed" in failed.stdout
    assert "gpt_neox.layers.0.gate (in model.safetensors)" in failed.stdout.split(WARNED)[1]
