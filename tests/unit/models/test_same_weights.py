"""Checkpoints that hold the weights of another, in folders and on a hub, are found by content."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import warm
from builders.hub_server import HubServer
from builders.model_folders import save_model
from builders.project import PROJECT
from idsweep.measuring.checked import check_checkpoints
from idsweep.models.same_weights import find_alike
from transformers import AutoModelForCausalLM

SIZES = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40}


def save(folder: Path, seed: int) -> Path:
    return save_model(folder, AutoModelForCausalLM, "gpt2", seed, **SIZES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four checkpoints, of which the third is the first, with another config beside it."""
    folder = tmp_path_factory.mktemp("run")
    for step, seed in ((10, 0), (20, 1), (30, 0), (40, 2)):
        save(folder / f"checkpoint-{step}", seed)
    config = folder / "checkpoint-30/config.json"
    config.write_text(config.read_text().replace("{", '{"note": "another export",', 1))
    return folder


def test_files_are_compared_by_content_whatever_their_names() -> None:
    first = {"model-1-of-2": "a", "model-2-of-2": "b"}
    found = find_alike({"s0": first, "s1": {"one": "b", "two": "a"}, "s2": {"x": "c", "y": "b"}, "s3": {"x": "d"}})
    assert [(one.name, one.other, one.whole) for one in found] == [("s1", "s0", True), ("s2", "s0", False)]
    assert found[1].files == ("y",)


def test_checkpoints_in_a_folder(run: Path) -> None:
    said = check_checkpoints(str(run), None)
    assert "checkpoint-30 has the weights of checkpoint-10, byte for byte" in said
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith("checkpoint-")}
    assert [name for name, line in rows.items() if "same as" in line] == ["checkpoint-30"]
    assert "Each of them has weights of its own" in check_checkpoints(str(run), "20,40")


def test_one_that_cannot_be_read_is_told_beside_the_others(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    weights = folder / "checkpoint-20/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match="'checkpoint-20' is no checkpoint"):  # as a trainer may be writing it
        check_checkpoints(str(folder), "checkpoint-20")
    assert "checkpoint-30" in check_checkpoints(str(folder), None)


@pytest.mark.slow
def test_checkpoints_on_a_hub_without_a_download(run: Path, tmp_path: Path) -> None:
    with HubServer() as hub:
        for step in (10, 20, 30, 40):
            hub.add("tiny/gpt2", f"step{step}", run / f"checkpoint-{step}")
        library = str(PROJECT / "workflow_scripts")
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": library}
        command = [warm.python(), "-m", "idsweep.cli", "check-checkpoints", "tiny/gpt2"]
        done = subprocess.run(
            [*command, "--checkpoints", "step10,step20,step30,step99"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "tiny/gpt2 @ step30 has the weights of step10, byte for byte" in done.stdout
        assert "1 could not be looked at" in done.stdout
        assert hub.downloads("model.safetensors") == []


def test_what_has_no_checkpoints() -> None:
    for given, said in (
        ("nowhere", "no folder 'nowhere'"),
        ("minilm", "has no checkpoints on the hub"),
        ("someone/model", "which revisions|Which revisions"),
    ):
        with pytest.raises(ValueError, match=said):
            check_checkpoints(given, None)
