"""What surrounds a script: its log, what the screen is told, and the last lines of a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from idsweep.machine import devices
from idsweep.workflow import script
from idsweep.workflow.run import INTERRUPTED, describe_failures, describe_results


class Named(dict):
    def __getattr__(self, name: str) -> object:
        return self[name]


@pytest.fixture
def snakemake(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(
        log=[str(tmp_path / "job.log")],
        rule="find_neighbors",
        wildcards=Named(sweep="demo", model="m", layer="3"),
        params=Named(settings=json.dumps({"k": 5}), signature="abc"),
        output=[],
        threads=1,
        resources=Named(log_level="INFO"),
    )


@pytest.fixture(autouse=True)
def restored_logging():
    root, library = logging.getLogger(), logging.getLogger("idsweep")
    before = root.handlers[:], root.level, library.handlers[:]
    yield
    root.handlers[:], library.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)


def test_the_log_holds_all_the_screen_what_matters(snakemake: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    with script.job(snakemake) as run:
        print("printed by a library")
        logging.getLogger("idsweep.neighbors.points").info("detail")
        logging.getLogger("idsweep.machine.progress").info("40 %")
        logging.getLogger("idsweep.neighbors.points").warning("few points")
        assert run.settings == {"k": 5}
    log = Path(snakemake.log[0]).read_text()
    assert all(words in log for words in ("printed by a library", "detail", "40 %", "few points"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "find_neighbors m 3: 40 %\nfind_neighbors m 3: few points\n"


def test_a_failure_is_told_once_and_in_full_in_the_log(
    snakemake: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as exit_, script.job(snakemake):
        raise ValueError("k = 9 is too large")
    assert exit_.value.code == 1
    assert capsys.readouterr().err == f"find_neighbors m 3: error: k = 9 is too large (log: {snakemake.log[0]})\n"
    log = Path(snakemake.log[0]).read_text()
    assert "Traceback" in log
    assert log.rstrip().endswith("error: k = 9 is too large")


def test_the_last_line_of_a_log_is_the_signature_of_what_was_made(snakemake: SimpleNamespace) -> None:
    with script.job(snakemake):
        print("printed by a library")
    assert Path(snakemake.log[0]).read_text().splitlines()[-1] == "made: abc"


def test_an_interrupted_job_says_so(snakemake: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), script.job(snakemake):
        raise KeyboardInterrupt
    assert Path(snakemake.log[0]).read_text() == "error: the run was interrupted\n"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", INTERRUPTED)
def test_an_interrupted_run_tells_only_of_jobs_that_gave_a_reason(tmp_path: Path, words: str) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("stopped", "silent", "failed")}
    logs["stopped"].write_text("error: the run was interrupted\n")
    logs["silent"].write_text("half of the work\n")
    said = tmp_path / "snakemake.log"

    def write(*names: str) -> None:
        errors = [
            f"Error in rule r:\n    jobid: 1\n    log: {logs[name]} (check log file(s) for error details)"
            for name in names
        ]
        said.write_text("\n".join([*errors, f"{words}."]))

    write("stopped", "silent")
    assert describe_failures([str(said)]) == (
        "The run was interrupted; what is done is kept; run the same command again to go on."
    )
    logs["failed"].write_text("error: too large\n")
    write("stopped", "silent", "failed")
    told = describe_failures([str(said)])
    assert told.startswith("The run was interrupted;")
    assert "1 job(s) failed" in told
    assert "too large" in told
    assert "memory" not in told


def test_provenance_names_rule_settings_signature_and_time(snakemake: SimpleNamespace) -> None:
    pytest.importorskip("torch")
    with script.job(snakemake) as run:
        found = run.provenance(device="cpu")
    assert found["rule"] == "find_neighbors"
    assert found["signature"] == "abc"
    assert found["device"] == "cpu"
    assert found["seconds"] >= 0
    assert {"idsweep", "python", "numpy", "torch"} <= found["versions"].keys()


def test_the_last_lines_name_logs_and_reasons(tmp_path: Path) -> None:
    told, killed, never = (tmp_path / name for name in ("told.log", "killed.log", "never.log"))
    told.write_text("Traceback …\nValueError: x\nerror: all points are equal\nmend the data\n")
    killed.write_text("INFO searching\n")
    run = tmp_path / "snakemake.log"
    lines = [f"    log: {path} (check log file(s) for error details)" for path in (told, killed, never, told)]
    run.write_text("Error in rule a:\n" + "\n".join(lines))
    said = describe_failures([str(run)])
    assert said.startswith("3 job(s) failed")
    assert "error: all points are equal\n    mend the data" in said
    assert "killed without a reason given; its last line: INFO searching" in said
    assert "never.log" in said
    assert "no log was written" in said
    assert "and 2 more" in describe_failures([str(run)], most=1)


def test_a_job_that_a_retry_has_done_did_not_fail(tmp_path: Path) -> None:
    run = tmp_path / "snakemake.log"
    error = "Error in rule {rule}:\n    jobid: {id}\n    log: {rule}.log (check log file(s) for error details)\n"
    run.write_text(
        error.format(rule="a", id=1)
        + error.format(rule="b", id=2)
        + "Trying to restart job 1.\nTrying to restart job 2.\n"
        + error.format(rule="b", id=2)
    )
    said = describe_failures([str(run)])
    assert said.startswith("1 job(s) failed")
    assert "b.log" in said and "a.log" not in said


def test_a_log_on_a_full_disk_is_no_failure() -> None:
    with script._opened("/dev/full") as log:
        print("what there is no room for", file=log)


def test_memory_that_ran_out_is_told(snakemake: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), script.job(snakemake):
        raise MemoryError
    assert "error: memory ran out in find_neighbors: MemoryError. Run fewer jobs" in capsys.readouterr().err


def test_what_was_made_is_listed_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.pdf", "a.png", "t.csv", "report.html"):
        Path(name).touch()
    said = describe_results(["a.pdf", "a.png", "a.svg", "t.csv", "report.html", "not_there.csv"])
    assert said.splitlines() == ["Figures:", "  a.{pdf,png}", "Tables:", "  t.csv", "Report:", "  report.html"]
    assert describe_results(["not_there.csv"]) == ""


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.resolve("cpu") == "cpu"
    assert devices.resolve("auto") == "cpu"
    with pytest.raises(ValueError, match=r"compute\.device is cuda, but torch sees no GPU"):
        devices.resolve("cuda")
