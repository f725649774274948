"""What would make every job fail is told in one message before the first job starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.hub_server import HubServer
from workflow.checkout import PROJECT, Project
from workflow.test_fetched_models import TOKEN, configure, environment, revisions, served  # noqa: F401 - a fixture

from faults.conftest import mounted, needs_root, start

FETCHED = "results/mini/checkpoints/served/step0"


def refused(said: str, message: str) -> bool:
    """One message, and nothing has run."""
    lines = said.splitlines()
    return (
        lines.count("Nothing was started:") == 1
        and message in lines[lines.index("Nothing was started:") + 1]
        and "Traceback" not in said
        and "Finished job" not in said
        and not any(line.startswith("Job ") for line in lines if line != "Job stats:")
    )


@needs_root
def test_a_folder_of_results_that_cannot_be_written(fresh: Project) -> None:
    (fresh.folder / "results").mkdir()
    with mounted(fresh.folder / "results", "-t", "tmpfs", "-o", "ro", "none"):
        done = fresh.snakemake()
        assert done.returncode != 0
        assert refused(done.stdout, f"{fresh.folder}/results cannot be written to (a read-only file system"), (
            done.stdout
        )
        assert fresh.stale()["extract_embeddings"] == 3, "a dry run may"


@needs_root
def test_a_project_that_cannot_be_written(project: Project) -> None:
    with mounted(project.folder, "--bind", str(project.folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(project.folder)], check=True)
        for mode in ((), ("--dry-run",)):
            done = project.snakemake(*mode)
            assert done.returncode != 0
            assert refused(done.stdout, f"{project.folder}/.snakemake cannot be written to"), done.stdout


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_there(fresh: Project) -> None:
    fresh.configure(compute={"device": "cuda"})
    done = fresh.snakemake()
    assert done.returncode != 0
    assert refused(done.stdout, "compute.device is cuda, but torch sees no GPU here"), done.stdout
    assert fresh.stale()["extract_embeddings"] == 3, "a dry run may"
    done = fresh.snakemake("results/mini/tables/reference.parquet")
    assert done.returncode == 0, "what needs no GPU is made\n" + done.stdout


def test_a_sweep_without_a_gpu_imports_no_torch_to_look_for_one() -> None:
    code = "import sys; from idsweep.workflow import preflight; preflight.not_writable('.'); print(*sys.modules, sep='\\n')"
    env = os.environ | {"PYTHONPATH": str(PROJECT / "workflow_scripts")}
    loaded = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "huggingface_hub", "numpy"} & set(loaded.split())


WITHOUT_NETWORK = ("unshare", "--net")


@needs_root
def test_no_network(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(fresh, "step{0}")
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(fresh.folder / "home"))
    run = start(fresh, before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert run.returncode != 0
    assert refused(said, "https://huggingface.co cannot be reached"), said
    run = start(fresh, "--dry-run", before=WITHOUT_NETWORK)
    assert "fetch_checkpoint" in run.communicate(timeout=120)[0]
    assert run.returncode == 0
    run = start(fresh, "results/mini/tables/reference.parquet", before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0, "what is not fetched is made\n" + said


@needs_root
def test_datasets_of_the_hub_without_network(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.configure(
        models={"minilm": {"layers": [0]}},
        datasets=["far"],
        catalog__datasets={"far": {"loader": "hub", "hub": "somebody/texts"}},
    )
    home = fresh.folder / "home"
    monkeypatch.setenv("HF_HOME", str(home))
    target = "results/mini/tokens/minilm/far.parquet"
    run = start(fresh, target, before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert refused(said, "https://huggingface.co cannot be reached"), said
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run = start(fresh, target, before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert refused(said, "somebody/texts is not in the cache of datasets. HF_HUB_OFFLINE is set"), said


@needs_root
def test_a_mirror_and_a_filled_cache(fresh: Project, revisions: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A mirror counts as the hub; with HF_HUB_OFFLINE the cache does, if it holds what is asked for."""
    with HubServer() as hub:
        served(hub, revisions)
        configure(fresh, "step{0,1}")
        env = environment(hub, fresh)
        code = f"import huggingface_hub as h; h.snapshot_download('tiny/neox', revision='step0', token='{TOKEN}')"
        subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
        for name in ("HF_ENDPOINT", "HF_HOME"):
            monkeypatch.setenv(name, env[name])
        done = fresh.snakemake("--notemp", FETCHED.replace("step0", "step1"), env=env)
        assert done.returncode == 0, done.stdout
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run = start(fresh, "--notemp", FETCHED, before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0, said
    monkeypatch.setenv("HF_HOME", str(fresh.folder / "nothing"))
    (fresh.folder / FETCHED).rename(fresh.folder / "fetched")
    run = start(fresh, "--notemp", FETCHED, before=WITHOUT_NETWORK)
    said = run.communicate(timeout=120)[0]
    assert refused(said, "run once where there is a network: hf download tiny/neox --revision step0"), said
