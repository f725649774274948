"""Passes that another job made are used where they fit, and never where they do not."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from filelock import FileLock
from idsweep.extraction.shared import (
    BEGUN,
    OUTPUTS,
    Pass,
    Plan,
    discard,
    make_for_others,
    own_pass,
    read_plans,
    write_plan,
)
from idsweep.files.parquet import provenance, read_table, write_table


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    write_table(tmp_path / "tokens.parquet", pa.table({"token": ["a"]}), {"signature": "sampled"})
    return str(tmp_path / "tokens.parquet")


def one_pass(signature: str, tokens: str) -> Pass:
    return Pass({}, signature, tokens, "sampled", "sequences.parquet", lambda: None)


def write(one: Pass, outputs: dict[str, Path]) -> None:
    for name, path in outputs.items():
        write_table(path, pa.table({"value": [name]}), {"signature": one.signature})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "passes/model/step1"


@pytest.fixture
def final(tmp_path: Path) -> dict[str, str]:
    return {name: str(tmp_path / name / "news.parquet") for name in OUTPUTS}


def plan(most: int | None = None) -> Plan:
    return Plan("run", most, "weights", "", {}, "step1")


def offer(checkpoint: Path, passes: dict[str, Pass], make: Callable = write, most: int | None = None) -> None:
    make_for_others(checkpoint, passes, make, plan(most), until=inf)


@contextmanager
def own(checkpoint: Path, final: dict[str, str], signature: str = "a", inputs: Sequence[str] = ()) -> Iterator[Any]:
    """The job of the pass over `news`, which writes what no other job has made."""
    with own_pass(checkpoint / "news", final, signature, inputs, "run") as files:
        if files is not None:
            write(one_pass(signature, ""), files)
        yield files


def test_a_pass_is_made_once_and_taken(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    offer(checkpoint, {"news": one_pass("a", tokens), "films": one_pass("b", tokens)})
    signatures = []
    again = {"news": one_pass("a", tokens), "films": one_pass("c", tokens)}
    offer(checkpoint, again, lambda one, files: signatures.append(one.signature))
    assert signatures == ["c"]  # the other is there already
    with own(checkpoint, final, inputs=[tokens]) as files:
        assert files is None
    assert [read_table(path)["value"].to_pylist() for path in final.values()] == [[name] for name in OUTPUTS]
    offer(checkpoint, {"news": one_pass("a", tokens)}, lambda one, files: signatures.append("again"))
    assert signatures == ["c"]  # its job has run
    with own(checkpoint, final) as files:
        assert files is not None


@pytest.mark.parametrize("file", ["a file", "a folder of Snakemake's"])
def test_a_pass_older_than_what_its_job_reads_is_not_taken(
    checkpoint: Path, tokens: str, final: dict[str, str], tmp_path: Path, file: str
) -> None:
    """Tokens drawn once more, weights trained once more: their signatures need not differ."""
    offer(checkpoint, {"news": one_pass("a", tokens)})
    if file == "a file":
        read, written = tokens, Path(tokens)
    else:
        read, written = str(tmp_path / "weights"), tmp_path / "weights/.snakemake_timestamp"
        written.parent.mkdir()
        written.touch()
    later = time.time() + 5
    os.utime(written, (later, later))
    with own(checkpoint, final, inputs=[read]) as files:
        assert files is not None


def test_a_pass_of_another_signature_is_not_taken(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    offer(checkpoint, {"news": one_pass("a", tokens)})
    with own(checkpoint, final, "b") as files:
        assert files is not None
    assert {provenance(path)["signature"] for path in final.values()} == {"b"}
    assert not list(checkpoint.rglob("*.parquet"))  # nor does it stay in the way


@pytest.mark.parametrize("lost", OUTPUTS)
def test_a_pass_that_is_not_whole_is_not_taken(checkpoint: Path, tokens: str, final: dict[str, str], lost: str) -> None:
    offer(checkpoint, {"news": one_pass("a", tokens)})
    (checkpoint / "news" / f"{lost}.parquet").write_bytes(b"damaged")
    with own(checkpoint, final) as files:
        assert files is not None


def test_the_own_pass_of_a_job_that_was_killed_afterwards_is_found(checkpoint: Path, final: dict[str, str]) -> None:
    with pytest.raises(KeyboardInterrupt), own(checkpoint, final):
        raise KeyboardInterrupt  # while it made passes for others
    with own(checkpoint, final) as files:
        assert files is None


def test_a_pass_that_fails_keeps_no_other_from_being_made(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    def fail(one: Pass, outputs: dict[str, Path]) -> None:
        if one.signature == "bad":
            raise RuntimeError("no memory")
        write(one, outputs)

    offer(checkpoint, {"bad": one_pass("bad", tokens), "news": one_pass("a", tokens)}, fail)
    assert not list((checkpoint / "bad").glob("*.parquet"))
    with own(checkpoint, final) as files:
        assert files is None


def test_what_is_not_made_for_others(checkpoint: Path, tokens: str) -> None:
    """A pass in which a process was killed, one whose tokens are old, one that its own job is at, and more than may wait."""
    passes = {name: one_pass(name, tokens) for name in ("killed", "old", "busy", "first", "second")}
    passes["old"] = passes["old"]._replace(tokens_signature="other")
    for name in ("killed", "busy"):
        (checkpoint / name).mkdir(parents=True)
    (checkpoint / "killed" / BEGUN).touch()
    with FileLock(checkpoint / "busy/lock"):
        offer(checkpoint, passes, most=1)
    assert {path.parent.name for path in checkpoint.rglob("*.parquet")} == {"first"}
    make_for_others(checkpoint, passes, write, plan(), until=time.monotonic() - 1)  # too late
    assert {path.parent.name for path in checkpoint.rglob("*.parquet")} == {"first"}


def test_the_own_job_waits_while_another_is_at_its_pass(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(one: Pass, outputs: dict[str, Path]) -> None:
        begun.set()
        assert go_on.wait(30)
        write(one, outputs)

    other = threading.Thread(target=offer, args=(checkpoint, {"news": one_pass("a", tokens)}, slow))
    other.start()
    assert begun.wait(30)
    threading.Timer(0.2, go_on.set).start()
    with own(checkpoint, final) as files:
        assert files is None
    other.join()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks(
    checkpoint: Path, tokens: str, final: dict[str, str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    offer(checkpoint, {"news": one_pass("a", tokens)})
    with own(checkpoint, final) as files:
        assert files is None


def test_what_waits_is_discarded_unless_a_job_is_at_it(checkpoint: Path, tokens: str) -> None:
    offer(checkpoint, {"news": one_pass("a", tokens)})
    with FileLock(checkpoint / "news/lock"):
        discard(checkpoint / "news")
    assert len(list(checkpoint.rglob("*.parquet"))) == len(OUTPUTS)
    discard(checkpoint / "news")
    assert {path.name for path in (checkpoint / "news").iterdir()} <= {"lock"}


def test_a_plan_holds_for_its_run_alone(checkpoint: Path) -> None:
    own_plan = Plan("one", 2, "weights", "", {"news": {"signature": "a"}}, checkpoint.name)
    assert list(read_plans(checkpoint, "one")) == []
    write_plan(checkpoint, own_plan)
    assert list(read_plans(checkpoint, "one")) == [(checkpoint, own_plan)]
    assert list(read_plans(checkpoint, "two")) == []


def test_plans_of_a_model_begin_with_the_own_checkpoint(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("step0", "step1", "step2")]
    for folder, following in zip(folders, ("step1", "step2", "step0"), strict=True):
        write_plan(folder, Plan("one", None, f"weights/{folder.name}", "", {}, following))
    for first in range(3):
        found = [folder.name for folder, _ in read_plans(folders[first], "one")]
        assert found == [f"step{(first + i) % 3}" for i in range(3)]
    write_plan(folders[2], Plan("earlier", None, "", "", {}, "step0"))
    assert [folder.name for folder, _ in read_plans(folders[1], "one")] == ["step1"]
