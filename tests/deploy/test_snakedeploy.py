"""snakedeploy deploys this workflow, and what it writes runs: with the real tools, and a clone on disk in place of GitHub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders.project import PROJECT
from builders.wheel import install
from idsweep.files.parquet import read_table
from workflow.checkout import MINI, check_out

SNAKEDEPLOY = PROJECT / ".venv-deploy/bin/snakedeploy"
ADDRESS = "https://github.com/idsweep/idsweep"
TABLE = "results/mini/tables/local.parquet"


def call(folder: Path, env: dict[str, str], *words: str | Path) -> str:
    done = subprocess.run(
        words, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which git finds a repository of this project under an address on the web, and Python its wheel."""
    repository = check_out(tmp_path / "idsweep").folder
    shutil.copy2(PROJECT / "LICENSE", repository)
    author = ["-c", "user.name=idsweep", "-c", "user.email=idsweep@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], [*author, "commit", "-q", "-m", "All of it"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    return {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
        "PYTHONPATH": str(install(tmp_path / "installed").site),
        "PYTHONSAFEPATH": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),  # where Snakemake keeps clones
    }


def test_what_snakedeploy_writes_is_planned_and_run(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "my_sweep"
    folder.mkdir()
    call(folder, env, SNAKEDEPLOY, "deploy-workflow", ADDRESS, ".", "--branch", "main")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2"]
    planned = call(folder, env, *snakemake, "--dry-run", "--quiet", "rules")
    assert "extract_embeddings" in planned and "write_report" in planned
    (folder / "config/config.yaml").write_text(yaml.safe_dump(MINI, sort_keys=False))
    call(folder, env, *snakemake, TABLE)
    assert set(read_table(folder / TABLE).to_pandas()["model"]) == set(MINI["models"])
    assert "Nothing to be done" in call(folder, env, *snakemake, TABLE, "--dry-run")
