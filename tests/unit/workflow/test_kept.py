"""What a job does not make anew is put back with its record, whatever became of the job."""

from __future__ import annotations

import os
import types
from pathlib import Path

import pytest
from idsweep.workflow import kept
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

FILE, FOLDER, OTHER = "results/mini/a/one.parquet", "results/mini/b/checkpoints", "results/mini/a/two.parquet"
RESULTS = Path("results/mini")


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilePersistence:
    """Finished results with their records, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write()
    records = FilePersistence(nolock=True)
    for path in (FILE, FOLDER, OTHER):
        records._write_record(path, MetadataRecord(params=["old"]))
    return records


def write() -> None:
    for path in (FILE, OTHER, f"{FOLDER}/step0/weights", f"{FOLDER}/.snakemake_timestamp"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("old")


def job(*output: str, rule: str = "sample_tokens") -> types.SimpleNamespace:
    return types.SimpleNamespace(rule=types.SimpleNamespace(name=rule), output=output)


def begin(records: FilePersistence, *paths: str) -> None:
    """What Snakemake does before a job runs."""
    for path in paths:
        kept.delete(Path(path))
        records._mark_incomplete(path, None)


def fail(records: FilePersistence, *paths: str) -> None:
    """What Snakemake does after one has failed: it records the new parameters and deletes what is there."""
    for path in paths:
        records._write_record(path, MetadataRecord(params=["new"]))
        records._unmark_incomplete(path)
        kept.delete(Path(path))
    records._clear_cache()


def left() -> list[str]:
    return [path.name for path in RESULTS.rglob(".*kept*")]


def test_a_failed_job_gets_its_old_results_and_records_back(records: FilePersistence) -> None:
    written = Path(FILE).stat().st_mtime_ns
    kept.keep([job(FILE, FOLDER), job(OTHER)], records, RESULTS)
    begin(records, FILE, FOLDER)
    Path(FILE).write_text("half")
    fail(records, FILE, FOLDER)
    assert kept.put_back(records, RESULTS) == [FILE, FOLDER]
    assert Path(FILE).read_text() == Path(f"{FOLDER}/step0/weights").read_text() == "old"
    assert Path(FILE).stat().st_mtime_ns == written
    assert [records._read_record(path).params for path in (FILE, FOLDER, OTHER)] == [["old"]] * 3
    assert left() == []


def test_what_is_made_anew_is_not_replaced(records: FilePersistence) -> None:
    kept.keep([job(FILE, FOLDER)], records, RESULTS)
    begin(records, FILE, FOLDER)
    for path in (FILE, f"{FOLDER}/step0/weights"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("new")
    kept.let_go([FILE, FOLDER])
    assert kept.put_back(records, RESULTS) == []
    assert Path(FILE).read_text() == Path(f"{FOLDER}/step0/weights").read_text() == "new"
    assert left() == []


def test_after_a_run_that_was_killed(records: FilePersistence) -> None:
    """Nothing is touched while a run holds the lock; half a folder that was being deleted is whole again."""
    kept.keep([job(FILE, FOLDER)], records, RESULTS)
    begin(records, FILE)
    Path(f"{FOLDER}/step0/weights").unlink()
    records._mark_incomplete(FOLDER, None)
    records._write_locks("output", [FILE])
    assert kept.put_back_of_killed(RESULTS) == []
    assert not Path(FILE).exists()
    records._delete_locks()
    assert kept.put_back_of_killed(RESULTS) == [FILE, FOLDER]
    assert Path(FILE).read_text() == Path(f"{FOLDER}/step0/weights").read_text() == "old"
    assert records._filter_incomplete_keys([FILE, FOLDER]) == set()
    assert left() == []


def test_a_run_that_is_at_work_is_left_alone(records: FilePersistence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "this_process", lambda: f"{os.uname().nodename}-{os.getppid()}")
    kept.keep([job(FILE)], records, RESULTS)
    begin(records, FILE)
    assert kept.put_back_of_killed(RESULTS) == []


def test_what_is_kept_and_what_is_not(records: FilePersistence, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.keep([job(FOLDER, rule="fetch_checkpoint"), job("results/mini/none")], records, RESULTS)
    assert left() == []
    kept.keep([job(FILE)], records, RESULTS)
    assert Path(FILE).stat().st_nlink == 2, "no second copy"
    kept.forget(RESULTS)
    assert Path(FILE).stat().st_nlink == 1

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("a disk without hard links")

    monkeypatch.setattr(os, "link", no_links)
    kept.keep([job(FILE, FOLDER)], records, RESULTS)
    assert left() == []
    begin(records, FILE)
    assert kept.put_back(records, RESULTS) == []
    assert left() == []


def test_results_without_a_record_are_put_back_without(records: FilePersistence) -> None:
    records._delete_record(FILE)
    records._clear_cache()
    kept.keep([job(FILE)], records, RESULTS)
    begin(records, FILE)
    fail(records, FILE)
    assert kept.put_back(records, RESULTS) == [FILE]
    assert records._read_record(FILE) is None
