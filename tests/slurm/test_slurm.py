"""The miniature sweep on a real SLURM: what was asked for, what became of failed jobs, and that the numbers are the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from idsweep.training import kinds
from snakemake.profiles import ProfileConfigFileParser
from workflow.checkout import PROJECT, check_out

from slurm.cluster import Cluster, wait_until
from slurm.submitted import CANCELLED, SHORT_OF_MEMORY, SubmittedProject, rule_of

ON_A_GPU = {"extract_embeddings", "find_neighbors", "train_language_model"}
LOCAL = {"collect_estimates", "collect_reference", "collect_training", "describe_sweep", "write_csv", "write_report"}


def estimates_in(cluster: Cluster, job: dict[str, str]) -> list[str]:
    """The estimates that one submission makes, as its script names them."""
    return re.findall(r"'(estimate_dimensions:[^']+)'", cluster.script(int(job["JobId"])))


def test_what_takes_time_was_submitted_and_the_rest_stayed(finished: SubmittedProject) -> None:
    rules = {rule_of(job) for job in finished.submitted}
    assert rules > ON_A_GPU | {"sample_tokens", "train_tokenizer", "estimate_dimensions", "draw_figure"}
    assert not rules & LOCAL
    assert (finished.results / "report.html").is_file()


def test_gpus_were_asked_for_and_given(finished: SubmittedProject) -> None:
    """`compute: {device: auto}`, and a partition of their own in config/cluster.yaml."""
    given = dict(line.split() for line in finished.notes.read_text().splitlines())
    for job in finished.submitted:
        gpu = rule_of(job) in ON_A_GPU
        assert job.get("TresPerJob") == ("gres:gpu:1" if gpu else None), job
        assert job["Partition"] == ("gpus" if gpu else "main")
        if job["JobState"] == "COMPLETED":
            assert given[job["JobId"]] == ("0" if gpu else "none"), job


def test_a_training_has_a_core_for_each_of_its_threads(finished: SubmittedProject) -> None:
    threads = {job["NumCPUs"] for job in finished.submitted if rule_of(job) == "train_language_model"}
    assert threads == {str(kinds.get("language_model").threads)}


def test_light_jobs_share_a_submission(finished: SubmittedProject) -> None:
    grouped = [job for job in finished.submitted if rule_of(job) == "estimate_dimensions"]
    assert len(grouped) == 1
    made = estimates_in(finished.cluster, grouped[0])
    assert len(made) == len(set(made)) > 1
    # One after the other: the memory and the core of one, and the time of all.
    assert (grouped[0]["MinMemoryNode"], grouped[0]["NumCPUs"]) == ("1000M", "1")
    hours, minutes, _ = map(int, grouped[0]["TimeLimit"].split(":"))
    assert 60 * hours + minutes == 10 * len(made)


def test_a_cancelled_job_is_done_again(finished: SubmittedProject) -> None:
    first, second = [job for job in finished.submitted if rule_of(job) == CANCELLED]
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")


def test_a_job_beyond_its_memory_is_done_again_with_more(finished: SubmittedProject) -> None:
    jobs = [job for job in finished.submitted if rule_of(job) == SHORT_OF_MEMORY[0]]
    assert jobs[0]["JobState"] in ("FAILED", "OUT_OF_MEMORY")
    assert jobs[-1]["JobState"] == "COMPLETED"
    assert [job["MinMemoryNode"] for job in jobs] == [f"{300 * attempt}M" for attempt in range(1, len(jobs) + 1)]
    assert [job["TimeLimit"] for job in jobs][:2] == ["00:30:00", "01:00:00"]
    log = finished.cluster.folder / "slurmd.log"
    assert "exceeded memory limit" in log.read_text(errors="replace")


def test_tables_are_those_of_a_local_run(finished: SubmittedProject, tmp_path: Path) -> None:
    local = check_out(tmp_path / "idsweep")
    local.configure()
    tables = sorted((finished.results / "tables").iterdir())
    done = local.snakemake(*(f"results/mini/tables/{table.name}" for table in tables))
    assert done.returncode == 0, done.stdout
    assert {table.suffix for table in tables} == {".csv", ".parquet"}
    for table in tables:
        other = local.results / "tables" / table.name
        if table.suffix == ".csv":
            assert table.read_bytes() == other.read_bytes(), table.name
        else:  # all but the provenance, which tells times
            one, other = pq.read_table(table), pq.read_table(other)
            assert one.schema.equals(other.schema)
            for name in one.column_names:
                here, there = (part[name].combine_chunks().buffers() for part in (one, other))
                assert here == there, (table.name, name)


def test_a_second_run_does_nothing(project: SubmittedProject) -> None:
    assert not project.submit()
    assert "Nothing to be done" in project.screen.read_text()


def test_gres_instead_of_gpus(project: SubmittedProject) -> None:
    """Where a cluster takes --gres alone; the GPU reaches the script all the same."""
    project.tell(gres="gpu:1")
    project.notes.unlink()
    jobs = project.submit("--forcerun", "find_neighbors", "--until", "find_neighbors")
    assert [rule_of(job) for job in jobs] == ["find_neighbors"] * 3
    for job in jobs:
        assert (job.get("TresPerJob"), job["TresPerNode"], job["Partition"]) == (None, "gres:gpu:1", "main")
    assert Counter(line.split()[1] for line in project.notes.read_text().splitlines()) == {"0": 3}


def test_a_thousand_estimates_are_at_most_fifty_submissions(project: SubmittedProject) -> None:
    """In partitions that start nothing, so that all of them can be counted."""
    item = {"estimator": "mle", "scope": "global", "n_neighbors": 12}
    sets = {f"set{n}": [item | {"name": f"mle{n}"}] for n in range(125)}
    single = {"compute__layers_per_job": 1} if "layers_per_job" in (PROJECT / "config/schema.yaml").read_text() else {}
    project.configure(estimator_sets=sets, figures={}, **single)
    cluster, before = project.cluster, project.cluster.jobs().keys()
    set_partitions(cluster, "DOWN")
    try:
        with project.submitting("--until", "estimate_dimensions") as process:
            wait_until(
                lambda: process.poll() is not None or len(waiting(cluster, before)) == 1000, "submissions", seconds=120
            )
            assert process.poll() is None, project.screen.read_text()
        estimates = waiting(cluster, before)
        assert len(set(estimates)) == 1000
        assert len(cluster.jobs().keys() - before) <= 50
    finally:
        cluster.cancel_all()
        set_partitions(cluster, "UP")


def waiting(cluster: Cluster, before: set[int]) -> list[str]:
    return [
        name for number, job in cluster.jobs().items() if number not in before for name in estimates_in(cluster, job)
    ]


def set_partitions(cluster: Cluster, state: str) -> None:
    for partition in ("main", "gpus"):
        cluster.call("scontrol", "update", f"PartitionName={partition}", f"State={state}")


def install_profiles(project: SubmittedProject, folder: Path) -> subprocess.CompletedProcess:
    """`make install-profiles` of the checkout with `folder` for the user's configuration, and the Python that tests use."""
    shutil.copy2(PROJECT / "Makefile", project.folder)
    command = ["make", "--assume-old", ".venv/installed", "install-profiles", f"BIN={Path(sys.executable).parent}"]
    env = project.environment | {"XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True, check=False)


def test_the_profile_by_its_name(project: SubmittedProject, tmp_path: Path) -> None:
    for _ in range(2):  # again is no error
        done = install_profiles(project, tmp_path)
        assert done.returncode == 0, done.stderr
    figure = project.results / "figures/violins.pdf"
    figure.unlink()
    jobs = project.submit(str(figure.relative_to(project.folder)), profile="slurm", XDG_CONFIG_HOME=str(tmp_path))
    assert [rule_of(job) for job in jobs] == ["draw_figure"]


def test_what_else_is_there_is_not_overwritten(project: SubmittedProject, tmp_path: Path) -> None:
    other = tmp_path / "snakemake/slurm/config.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("executor: slurm\n")
    done = install_profiles(project, tmp_path)
    assert done.returncode != 0
    assert f"{other.parent} is there already" in done.stderr
    assert other.read_text() == "executor: slurm\n"


def parsed(profile: Path) -> dict[str, list[str] | str]:
    with profile.open() as file:
        return ProfileConfigFileParser().parse(file)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IDSWEEP_CLUSTER", str(tmp_path / "cluster.yaml"))
    return PROJECT / "profiles/slurm/config.yaml"


def test_all_of_a_cluster_is_in_one_file(profile: Path, tmp_path: Path) -> None:
    """Names stay names, whatever they mean to Python: `all`, 12345, one with a dash."""
    (tmp_path / "cluster.yaml").write_text(
        "partition: all\ngpu_partition: gpu-long\naccount: 12345\nqos: low\ngpu_model: a100\ngres:\n"
    )
    found = parsed(profile)
    assert {"slurm_partition='all'", "slurm_account='12345'", "qos='low'"} < set(found["default-resources"])
    of_gpus = [entry.split(":", 1) for entry in found["set-resources"]]
    assert {what for _, what in of_gpus} == {"slurm_partition='gpu-long'", "gpu_model='a100'"}
    blocks = re.split(
        r"^rule (\w+):", "".join(path.read_text() for path in (PROJECT / "rules").glob("*.smk")), flags=re.M
    )
    asking = {rule for rule, block in zip(blocks[1::2], blocks[2::2], strict=True) if "gpu=gpus_of" in block}
    assert asking == {"extract_embeddings", "find_neighbors"}
    assert {rule for rule, _ in of_gpus} == asking | set(kinds.with_gpu())


def test_an_unknown_key_is_named(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("partitions: main\n")
    with pytest.raises(SystemExit, match=r"cluster\.yaml: unknown partitions; known are partition, gpu_partition"):
        parsed(profile)


@pytest.mark.parametrize(("answer", "command"), [("exit 0", "sacct"), ("exit 1", "squeue")])
def test_jobs_are_followed_by_what_the_cluster_keeps(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, command: str
) -> None:
    """sacct is there on clusters without accounting too, and says that it is disabled."""
    (tmp_path / "cluster.yaml").touch()
    sacct = tmp_path / "sacct"
    sacct.write_text(f"#!/bin/sh\n{answer}\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = parsed(profile)
    assert found["slurm-status-command"] == command
    assert ("slurm-efficiency-report" in found) == (command == "sacct")
