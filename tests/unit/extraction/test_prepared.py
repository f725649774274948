"""Passes that are made ahead are used where they fit, and never where they do not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from idsweep.extraction.prepared import BEGUN, OUTPUTS, Pass, files_in, make_ahead, missing, take
from idsweep.files.parquet import read_table, write_table


def one_pass(signature: str) -> Pass:
    return Pass({}, signature, "tokens.parquet", "sequences.parquet", lambda: None)


def write(one: Pass, outputs: dict[str, Path]) -> None:
    for name, path in outputs.items():
        write_table(path, pa.table({"value": [name]}), {"signature": one.signature})


def finals(folder: Path) -> dict[str, str]:
    return {name: str(folder / name / "news.parquet") for name in OUTPUTS}


def test_a_pass_is_made_once_and_taken(tmp_path: Path) -> None:
    make_ahead(tmp_path, {"news": one_pass("a"), "films": one_pass("b")}, write)
    made = []
    make_ahead(tmp_path, {"news": one_pass("a"), "films": one_pass("c")}, lambda one, files: made.append(one.signature))
    assert made == ["c"]  # the other is there already
    assert take(tmp_path / "news", finals(tmp_path), "a")
    assert [read_table(path)["value"].to_pylist() for path in finals(tmp_path).values()] == [[n] for n in OUTPUTS]
    assert not (tmp_path / "news").exists()
    assert not take(tmp_path / "news", finals(tmp_path), "a")


def test_a_pass_of_another_signature_is_not_taken(tmp_path: Path) -> None:
    make_ahead(tmp_path, {"news": one_pass("a")}, write)
    assert not take(tmp_path / "news", finals(tmp_path), "b")
    assert not any(Path(path).exists() for path in finals(tmp_path).values())


@pytest.mark.parametrize("lost", OUTPUTS)
def test_a_pass_that_is_not_whole_is_not_taken(tmp_path: Path, lost: str) -> None:
    make_ahead(tmp_path, {"news": one_pass("a")}, write)
    files_in(tmp_path / "news")[lost].write_bytes(b"damaged")
    assert not take(tmp_path / "news", finals(tmp_path), "a")


def test_a_pass_that_fails_keeps_no_other_from_being_made(tmp_path: Path) -> None:
    def fail(one: Pass, outputs: dict[str, Path]) -> None:
        if one.signature == "bad":
            raise RuntimeError("no memory")
        write(one, outputs)

    make_ahead(tmp_path, {"bad": one_pass("bad"), "news": one_pass("a")}, fail)
    assert not take(tmp_path / "bad", finals(tmp_path), "bad")
    assert take(tmp_path / "news", finals(tmp_path), "a")


def test_a_pass_in_which_the_process_was_killed_is_left_to_its_own_job(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / BEGUN).touch()
    make_ahead(tmp_path, {"large": one_pass("a"), "news": one_pass("b")}, write)
    assert not take(tmp_path / "large", finals(tmp_path), "a")
    assert take(tmp_path / "news", finals(tmp_path), "b")


def test_what_is_missing_is_what_is_not_there_or_not_current(tmp_path: Path) -> None:
    passes = {"news": one_pass("a"), "films": one_pass("b")}
    written = {name: {"losses": str(tmp_path / f"{name}.parquet")} for name in passes}
    assert missing(passes, written) == passes
    for name, one in passes.items():
        write_table(written[name]["losses"], pa.table({"value": [0]}), {"signature": one.signature})
    assert missing(passes, written) == {}
    assert list(missing(passes | {"films": one_pass("c")}, written)) == ["films"]
