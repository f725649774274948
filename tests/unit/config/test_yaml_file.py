"""Nothing in a YAML file is lost silently; values of the command line have the types that they would have in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders.project import PROJECT
from idsweep.cli import main
from idsweep.config.load import ConfigError, load
from idsweep.config.yaml_file import read_yaml, repeated_keys


def written(folder: Path, text: str, name: str = "sweep.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sweep: a\ntokens: {}\nsweep: b\n", ["lines 1 and 3: sweep"]),
        ("sweep: a\n'sweep': b\n", ["lines 1 and 2: sweep"]),
        ("tokens:\n  number: 1\n  seed: 2\n  number: 3\n", ["lines 2 and 4: tokens.number"]),
        ("tokens: {number: 1, number: 1}\n", ["line 1: tokens.number"]),
        ("a:\n- x: 1\n  x: 2\n", ["lines 2 and 3: a[0].x"]),
        ("a: 1\na: 2\na: 3\n", ["lines 1 and 2: a", "lines 2 and 3: a"]),
        ("x: &x {a: 1, a: 2}\ny: *x\nz: *x\n", ["line 1: x.a"]),
        ("yes: 1\ntrue: 2\n", ["lines 1 and 2: true"]),
        ('{"a": 1,\n\t"b": {"c": 1,\n\t"c": 2}}', ["lines 2 and 3: b.c"]),
        ("x: &x {a: 1}\ny: {<<: *x, a: 2}\nz: {a: 1}\n", []),
        ("a: &a\n  b: *a\n", []),
        ("", []),
    ],
)
def test_a_key_that_stands_twice_is_told_with_its_lines(tmp_path: Path, text: str, told: list[str]) -> None:
    file = written(tmp_path, text)
    assert [complaint.split(" stands there twice")[0] for complaint in repeated_keys(file)] == [
        f"{file}, {one}" for one in told
    ]
    if told:
        with pytest.raises(ValueError, match="only the last would count; remove one of them"):
            read_yaml(file)


def test_templates_and_pipes_are_left_to_snakemake(tmp_path: Path) -> None:
    assert repeated_keys(written(tmp_path, "__use_yte__: true\n?if True:\n  a: 1\n?if True:\n  b: 2\n")) == []
    os.mkfifo(tmp_path / "pipe")
    assert repeated_keys(tmp_path / "pipe") == []


def test_a_configuration_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "sweep: a\nsweep: b\n")
    with pytest.raises(ConfigError, match=r"sweep\.yaml, lines 1 and 2: sweep stands there twice"):
        load({"sweep": "b"}, PROJECT / "config", [file])


def test_no_file_of_the_project_holds_a_key_twice() -> None:
    files = [*(PROJECT / "config").rglob("*.yaml"), *(PROJECT / "profiles").rglob("*.yaml")]
    assert len(files) > 5
    assert [complaint for file in files for complaint in repeated_keys(file)] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sweep: caf\xe9\n".encode("latin-1"), "is not UTF-8 (byte 0xe9 in line 1)"),
        (b"sweep: [a\n", "is not valid YAML"),
        (b"sweep: a\n1999-99-99: b\n", "is not valid YAML"),
        (b"sweep: a\nsweep: b\n", "lines 1 and 2: sweep stands there twice"),
        (b"- a\n", "holds no mapping"),
    ],
)
def test_the_plan_of_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "sweep.yaml").write_bytes(content)
    assert main(["plan", str(tmp_path / "sweep.yaml"), "--profile", str(PROJECT / "profiles/local")]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert f"{tmp_path}/sweep.yaml" in said


def test_the_plan_of_a_file_that_is_not_there_names_the_experiments(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["plan", str(tmp_path / "none.yaml"), "--profile", str(PROJECT / "profiles/local")]) == 1
    names = sorted(path.stem for path in (PROJECT / "config/experiments").glob("*.yaml"))
    assert f"the experiments are {', '.join(names)}" in capsys.readouterr().err
