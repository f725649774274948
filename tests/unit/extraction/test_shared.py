"""Passes that another job made are used where they fit, and never where they do not."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest
from filelock import FileLock
from idsweep.extraction.shared import BEGUN, OUTPUTS, Pass, Plan, make_for_others, own_pass, read_plans, write_plan
from idsweep.files.parquet import read_table, write_table


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


def test_a_pass_is_made_once_and_taken(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    make_for_others(checkpoint, {"news": one_pass("a", tokens), "films": one_pass("b", tokens)}, write, None)
    signatures = []
    again = {"news": one_pass("a", tokens), "films": one_pass("c", tokens)}
    make_for_others(checkpoint, again, lambda one, files: signatures.append(one.signature), None)
    assert signatures == ["c"]  # the other is there already
    with own_pass(checkpoint / "news", final, "a") as made:
        assert made
        assert [read_table(path)["value"].to_pylist() for path in final.values()] == [[name] for name in OUTPUTS]
    with own_pass(checkpoint / "news", final, "a") as made:
        assert not made


def test_a_pass_of_another_signature_is_not_taken(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    make_for_others(checkpoint, {"news": one_pass("a", tokens)}, write, None)
    with own_pass(checkpoint / "news", final, "b") as made:
        assert not made
    assert not any(Path(path).exists() for path in final.values())
    assert not list(checkpoint.rglob("*.parquet"))  # nor does it stay in the way


@pytest.mark.parametrize("lost", OUTPUTS)
def test_a_pass_that_is_not_whole_is_not_taken(checkpoint: Path, tokens: str, final: dict[str, str], lost: str) -> None:
    make_for_others(checkpoint, {"news": one_pass("a", tokens)}, write, None)
    (checkpoint / "news" / f"{lost}.parquet").write_bytes(b"damaged")
    with own_pass(checkpoint / "news", final, "a") as made:
        assert not made


def test_a_pass_that_fails_keeps_no_other_from_being_made(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    def fail(one: Pass, outputs: dict[str, Path]) -> None:
        if one.signature == "bad":
            raise RuntimeError("no memory")
        write(one, outputs)

    make_for_others(checkpoint, {"bad": one_pass("bad", tokens), "news": one_pass("a", tokens)}, fail, None)
    with own_pass(checkpoint / "bad", final, "bad") as made:
        assert not made
    with own_pass(checkpoint / "news", final, "a") as made:
        assert made


def test_what_is_not_made_for_others(checkpoint: Path, tokens: str) -> None:
    """A pass in which a process was killed, one whose tokens are old, one that its own job is at, and more than may wait."""
    passes = {name: one_pass(name, tokens) for name in ("killed", "old", "busy", "first", "second")}
    passes["old"] = passes["old"]._replace(tokens_signature="other")
    for name in ("killed", "busy"):
        (checkpoint / name).mkdir(parents=True)
    (checkpoint / "killed" / BEGUN).touch()
    with FileLock(checkpoint / "busy/lock"):
        make_for_others(checkpoint, passes, write, 1)
    assert {path.parent.name for path in checkpoint.rglob("*.parquet")} == {"first"}


def test_the_own_job_waits_while_another_is_at_its_pass(checkpoint: Path, tokens: str, final: dict[str, str]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(one: Pass, outputs: dict[str, Path]) -> None:
        begun.set()
        assert go_on.wait(30)
        write(one, outputs)

    passes = {"news": one_pass("a", tokens)}
    other = threading.Thread(target=make_for_others, args=(checkpoint, passes, slow, None))
    other.start()
    assert begun.wait(30)
    threading.Timer(0.2, go_on.set).start()
    with own_pass(checkpoint / "news", final, "a") as made:
        assert made
    other.join()


def test_a_plan_holds_for_its_run_alone(checkpoint: Path) -> None:
    plan = Plan("one", 2, "weights", "", {"news": {"signature": "a"}}, checkpoint.name)
    assert list(read_plans(checkpoint, "one")) == []
    write_plan(checkpoint, plan)
    assert list(read_plans(checkpoint, "one")) == [(checkpoint, plan)]
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
