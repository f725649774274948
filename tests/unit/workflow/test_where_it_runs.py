"""Commands from any folder, and what is said where a file, a plugin or a cluster is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from builders.project import PROJECT
from idsweep.cli import main
from idsweep.workflow import preflight


@pytest.mark.parametrize("arguments", [["plan", "grokking_laptop"], ["keys"]])
def test_commands_work_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0, capsys.readouterr().err
    assert main([*arguments, "--profile" if arguments[0] == "plan" else "--schema", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch" in preflight.no_cluster(SimpleNamespace(executor_plugin=SimpleNamespace(name="slurm")))
    assert preflight.no_cluster(SimpleNamespace(executor_plugin=SimpleNamespace(name="local"))) is None
    assert preflight.no_cluster(SimpleNamespace(executor_plugin=None)) is None
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert preflight.no_cluster(SimpleNamespace(executor_plugin=SimpleNamespace(name="slurm"))) is None


def definitions(profile: str) -> str:
    """The code of a profile, which runs before Snakemake reads anything else."""
    text = (PROJECT / f"profiles/{profile}/config.yaml").read_text()
    head = text.partition("__definitions__:\n")[2].partition("\n\n")[0]
    return yaml.safe_load(head)[0]


@pytest.mark.parametrize(
    "words",
    [["--configfile", "nope.yaml"], ["-n", "--configfiles", "a.yaml", "nope.yaml", "-q"], ["--configfile=nope.yaml"]],
)
def test_a_config_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Of the profile that is loaded by itself, so that it is told whatever profile is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").touch()
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    with pytest.raises(SystemExit, match=r"there is no file 'nope\.yaml'"):
        exec(definitions("default"), {})
    (tmp_path / "nope.yaml").write_bytes(b"\xff")
    with pytest.raises(SystemExit, match=r"nope\.yaml cannot be read: .* Save it as text in UTF-8"):
        exec(definitions("default"), {})
    (tmp_path / "nope.yaml").write_text("sweep: ä", encoding="utf-8")
    exec(definitions("default"), {})


def test_a_plugin_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install 'idsweep\[slurm\]'"):
        exec(definitions("slurm"), {})
