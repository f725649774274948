"""Processes that are killed without warning (SIGKILL): nothing half looks whole, and the same command completes the run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from idsweep.files.parquet import read_table
from idsweep.files.vectors import representations
from workflow.checkout import Project, check_out
from workflow.test_trainings import EQUATIONS, REFERENCE, SUMS, configure

from faults.conftest import kill, processes_of, start, wait_until

TRAINED = Path("training/sums-fraction0.6-seed0")
METRICS = f"results/mini/{TRAINED}/metrics.parquet"
EMBEDDINGS = "results/mini/embeddings/mini_neox/step4/lee_news.parquet"
WRITTEN = "results/mini/passes/mini_neox/step4/lee_news"  # where its files are until its job is done


def long_training(folder: Path) -> Project:
    project = check_out(folder)
    long = SUMS | {"training": SUMS["training"] | {"steps": 2000}, "checkpoints": "step{0..2000/50}"}
    chosen = {"seeds": [0], "vary": {"training.fraction": [0.6]}}
    configure(project, models={"sums": chosen}, catalog={"models": {"sums": long}, "datasets": {"sums": EQUATIONS}})
    (project.folder / "reference.csv").write_text(REFERENCE)
    return project


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = long_training(tmp_path_factory.mktemp("whole") / "idsweep")
    done = project.snakemake(METRICS)
    assert done.returncode == 0, done.stdout
    return project


@pytest.mark.parametrize("alone", [False, True], ids=["with its jobs", "alone"])
def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path, whole: Project, alone: bool) -> None:
    """Killed in the middle of a training; the next run takes up where it was. Jobs end with a snakemake killed alone."""
    killed = long_training(tmp_path / "idsweep")
    run = start(killed, METRICS)
    wait_until((killed.results / TRAINED / ".checkpoints.unfinished/checkpoints/step500").exists, run)
    kill(run, alone=alone)
    assert not (killed.results / TRAINED / "checkpoints").exists()

    refused = killed.snakemake(METRICS)
    assert refused.returncode != 0
    assert "Directory cannot be locked" in refused.stdout
    assert "It can be removed with the --unlock argument" in refused.stdout
    assert killed.snakemake("--unlock").returncode == 0

    done = killed.snakemake(METRICS)
    assert done.returncode == 0, done.stdout
    for project in (killed, whole):
        log = (project.results / f"logs/train_grokking/{TRAINED.name}.log").read_text()
        assert ("Going on from step" in log) == (project is killed)
        assert not list((project.results / TRAINED).glob(".*unfinished"))
    last = TRAINED / "checkpoints/step2000/model.safetensors"
    assert (killed.results / last).read_bytes() == (whole.results / last).read_bytes()
    assert read_table(killed.results / TRAINED / "metrics.parquet").equals(
        read_table(whole.results / TRAINED / "metrics.parquet")
    )


@pytest.mark.parametrize("killed", ["snakemake with its jobs", "snakemake alone", "the script"])
def test_killed_while_a_file_is_written(finished: Project, project: Project, killed: str) -> None:
    """The output is not there under its name; the next run makes it, and deletes what the killed one left."""
    (project.folder / EMBEDDINGS).unlink()
    script = "workflow_scripts/idsweep/extraction/passes.py"
    project.edit(script, "            file.write,\n", "            lambda *of: (file.write(*of), sleep(60)),\n")
    project.edit(script, "from idsweep.models.checkpoints", "from time import sleep\n\nfrom idsweep.models.checkpoints")
    run = start(project, EMBEDDINGS)
    folder = project.folder / WRITTEN
    wait_until(lambda: list(folder.glob(".embeddings.parquet.*.unfinished")), run)
    if killed == "the script":
        (job,) = [process for process in processes_of(run.pid) if process != run.pid]
        os.kill(job, signal.SIGKILL)
        said = run.communicate(timeout=60)[0]
        assert run.returncode != 0
        assert "killed without a reason given" in said
        assert "--set-resources extract_embeddings:mem_mb=MB" in said
    else:
        kill(run, alone=killed == "snakemake alone")
        assert project.snakemake("--unlock").returncode == 0
    assert not (project.folder / EMBEDDINGS).exists()
    assert list(folder.glob(".*")), "nothing was being written when it was killed"

    project.edit(script, "            lambda *of: (file.write(*of), sleep(60)),\n", "            file.write,\n")
    done = project.snakemake(EMBEDDINGS)
    assert done.returncode == 0, done.stdout
    assert not folder.exists()
    assert [path.name for path in (project.folder / EMBEDDINGS).parent.iterdir()] == ["lee_news.parquet"]
    made, expected = (place.folder / EMBEDDINGS for place in (project, finished))
    assert representations(made) == representations(expected)


def test_what_was_to_be_made_anew_is_there_after_a_kill(project: Project) -> None:
    """Finished tokens are deleted before their job begins; with the earlier code they are current again."""
    script, line = "workflow_scripts/idsweep/data/tokens.py", "def sample_tokens("
    project.edit(script, line, f"__import__('time').sleep(60)\n\n\n{line}")
    tokens = project.results / "tokens/minilm/lee_news.parquet"
    run = start(project, str(tokens.relative_to(project.folder)))  # no other job, which could end before
    wait_until(lambda: not tokens.exists(), run)
    kill(run, alone=False)
    assert not tokens.exists()
    assert project.snakemake("--unlock").returncode == 0
    project.edit(script, f"__import__('time').sleep(60)\n\n\n{line}", line)
    assert project.stale() == {}
    assert tokens.exists()
    assert not list(project.results.rglob(".*kept*"))


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(project: Project, signal_: signal.Signals) -> None:
    (project.folder / EMBEDDINGS).unlink()
    script = "workflow_scripts/idsweep/extraction/passes.py"
    project.edit(script, "            file.write,\n", "            lambda *of: (file.write(*of), sleep(5)),\n")
    project.edit(script, "from idsweep.models.checkpoints", "from time import sleep\n\nfrom idsweep.models.checkpoints")
    run = start(project, EMBEDDINGS, before=("env", "--default-signal=INT"))  # which what starts the tests may ignore
    wait_until(lambda: list((project.folder / WRITTEN).glob(".embeddings.parquet.*.unfinished")), run)
    if signal_ == signal.SIGINT:
        os.killpg(run.pid, signal_)  # as Ctrl-C does
    else:
        run.send_signal(signal_)
    said = run.communicate(timeout=120)[0]
    assert "The run was interrupted; what is done is kept; run the same command again to go on." in said
    assert "job(s) failed" not in said
    assert "memory ran out" not in said
    assert "Traceback" not in said
