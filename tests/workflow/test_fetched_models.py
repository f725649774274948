"""The real `snakemake` over checkpoints of a small model that a hub on this machine serves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders.hub_server import SIGNATURE, HubServer
from idsweep.files.parquet import provenance, read_table

from workflow.checkout import MINI, Project

TOKEN = "hf_secretOfTheUser"
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def revisions(tmp_path_factory) -> list[Path]:
    """Two checkpoints of a GPT-NeoX, each with its tokenizer."""
    import torch
    from idsweep.training.tokenizer import train_tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    folders = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp("repository") / f"seed{seed}"
        torch.manual_seed(seed)
        config = AutoConfig.for_model("gpt_neox", vocab_size=300, max_position_embeddings=64, **SIZES)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        train_tokenizer(["all the news that is fit to print"], folder, vocabulary_size=300)
        (folder / "optimizer.bin").write_bytes(b"not needed")
        folders.append(folder)
    return folders


def served(hub: HubServer, revisions: list[Path]) -> dict[str, str]:
    """The checkpoints as a private model, tiny/neox; revision -> commit."""
    hub.tokens = {TOKEN}
    commits = {name: hub.add("tiny/neox", name, revisions[i]) for name, i in (("main", 0), ("step0", 0), ("step1", 1))}
    hub.repositories["tiny/neox"].private = True
    return commits


def configure(project: Project, checkpoints: str) -> None:
    entry = {"hub": "tiny/neox", "kind": "causal", "layers": 2, "checkpoints": checkpoints}
    project.configure(
        models={"served": {"layers": [-1]}},
        catalog={"models": {"served": entry}},
        estimator_sets={"quick": MINI["estimator_sets"]["quick"]},
        nulls=[],
        figures={},
    )


def environment(hub: HubServer, project: Project) -> dict[str, str]:
    home = project.folder.parent / "home"
    return os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": TOKEN}


def test_a_missing_revision_fails_alone_and_is_measured_once_it_is_there(fresh, revisions):
    with HubServer() as hub:
        commits = served(hub, revisions)
        configure(fresh, "step{0,1,5}")
        failed = fresh.snakemake("--keep-going", env=environment(hub, fresh))
        assert failed.returncode != 0
        assert "tiny/neox at revision step5 cannot be found: the model has no such revision" in failed.stdout
        assert measured(fresh) == {"step0", "step1"}

        commits["step5"] = hub.add("tiny/neox", "step5", revisions[1])
        done = fresh.snakemake(env=environment(hub, fresh))
        assert done.returncode == 0, done.stdout
        assert "served @ step5 has the weights of step1, byte for byte" in done.stdout
        assert fresh.stale(env=environment(hub, fresh)) == {}
    assert measured(fresh) == set(commits) - {"main"}
    table = read_table(fresh.results / "tables/global.parquet")
    assert set(table["checkpoint"].to_pylist()) == measured(fresh)
    for step in measured(fresh):
        assert commits[step] in str(provenance(fresh.results / f"embeddings/served/{step}/lee_news.parquet"))
    assert len(hub.downloads("model.safetensors")) == 3
    assert hub.downloads("optimizer.bin") == []
    assert not list((fresh.results / "checkpoints").rglob("*.safetensors*"))
    no_secret_is_left(fresh, failed.stdout + done.stdout)


def measured(project: Project) -> set[str]:
    """The checkpoints of which there are estimates."""
    return {path.parents[2].name for path in (project.results / "estimates").rglob("lee_news/points/*.parquet")}


def test_a_fetch_that_failed_goes_on_in_the_next_run(fresh, revisions):
    with HubServer() as hub:
        served(hub, revisions)
        configure(fresh, "step{0,1}")
        hub.fail("model.safetensors", 403, message=f"the token {TOKEN} may not")
        target = "results/mini/checkpoints/served/step0"
        done = fresh.snakemake("--notemp", target, env=environment(hub, fresh))
        assert done.returncode != 0, done.stdout
        assert "the token [token] may not" in done.stdout
        assert not (fresh.folder / target).exists()
        assert (fresh.folder / f"{target}.partial").is_dir()
        done = fresh.snakemake("--notemp", target, env=environment(hub, fresh))
        assert done.returncode == 0, done.stdout
        assert len(hub.downloads("config.json")) == 1
    fetched = fresh.folder / target / "model.safetensors"
    assert fetched.read_bytes() == (revisions[0] / "model.safetensors").read_bytes()
    no_secret_is_left(fresh, done.stdout)


def no_secret_is_left(project: Project, said: str) -> None:
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    for secret in (TOKEN, SIGNATURE):
        assert secret not in said
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
