"""`idsweep run` and `idsweep init`: the words of the call of Snakemake, and what a new folder holds."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest
import yaml
from builders.project import CONFIG, PROJECT
from idsweep import cli
from idsweep.config.load import load
from idsweep.sweep.expand import expand
from idsweep.workflow import new_folder, start
from snakemake.cli import parse_config


@pytest.fixture(autouse=True)
def no_profile_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text("sweep: mine\n")
    return "mine.yaml"


def test_the_call_has_the_snakefile_the_profile_and_the_sweep(sweep: str) -> None:
    words = start.command(sweep, ["all", "--cores", "4"])
    snakefile, profile = str(PROJECT / "Snakefile"), str(PROJECT / "profiles/local")
    expected = ["-m", "snakemake", "--snakefile", snakefile, "all", "--cores", "4", "--profile", profile]
    assert words == [sys.executable, *expected, "--configfile", sweep]


def test_a_profile_of_the_working_folder_goes_first(sweep: str, tmp_path: Path) -> None:
    (tmp_path / "profiles/local").mkdir(parents=True)
    assert "profiles/local" in start.command(sweep)


@pytest.mark.parametrize("words", [["--profile", "mine"], ["--profile=mine"]])
def test_a_profile_that_is_given_is_taken(sweep: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert start.command(sweep, words)[5:-2] == words


@pytest.mark.parametrize("name", ["slurm", "profiles/slurm"])
def test_profiles_of_the_package_have_names(sweep: str, name: str) -> None:
    assert start.command(sweep, ["--profile", name])[5:-2] == ["--profile", str(PROJECT / "profiles/slurm")]
    assert start.command(sweep, [f"--profile={name}"])[5:-2] == [f"--profile={PROJECT / 'profiles/slurm'}"]


def test_a_profile_of_the_environment_is_taken(sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    assert "--profile" not in start.command(sweep)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("tokens.number=50", {"tokens": {"number": "50"}}),
        ("points.number=[100, 200]", {"points": {"number": ["100", "200"]}}),
        ("top.b.c=text", {"top": {"b": {"c": "text"}}}),
        ("top.b=x, y: z}", {"top": {"b": "x, y: z}"}}),
        ("top.b=", {"top": {"b": ""}}),
        ("top.b='5'", {"top": {"b": "5"}}),
        ("title=a.b=c", {"title": "a.b=c"}),
        ("partial=True", {"partial": True}),
        ("tokens={number: 50}", {"tokens": {"number": "50"}}),
    ],
)
def test_dotted_keys_are_written_as_snakemake_reads_them(given: str, meant: dict) -> None:
    assert parse_config([start.nested(given)]) == meant


def test_dotted_keys_are_those_after_config_alone(sweep: str) -> None:
    words = start.command(sweep, ["a.b=c", "--config", "x.y=1", "z=2", "--cores", "1", "--config=x.y=1"])[5:]
    assert words[:7] == ["a.b=c", "--config", "x={y: 1}", "z=2", "--cores", "1", "--config=x={y: 1}"]


@pytest.mark.parametrize("argument", ["--configfile", "--configfile=x.yaml", "--snakefile", "-s"])
def test_what_the_command_says_itself_is_refused(sweep: str, argument: str) -> None:
    with pytest.raises(ValueError, match="idsweep run sets this itself"):
        start.command(sweep, [argument])


def test_a_sweep_that_is_not_there_is_told(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["run", "nowhere.yaml", "-n"]) == 1
    assert "There is no file 'nowhere.yaml', and no experiment of that name" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["run"], ["run", "-n", "mine.yaml"]])
def test_the_sweep_comes_first(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        cli.main(words)
    assert "the sweep comes first, as in: idsweep run sweep.yaml" in capsys.readouterr().err


def test_a_new_folder_holds_a_sweep_that_can_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["init", "some where/my_run"]) == 0
    assert "cd 'some where/my_run' && idsweep run sweep.yaml" in capsys.readouterr().out
    folder = tmp_path / "some where/my_run"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".gitignore",
        *new_folder.COPIES,
    }
    given = yaml.safe_load((folder / "sweep.yaml").read_text())
    assert expand(load(given, CONFIG)).name == "my_run"
    assert (folder / ".gitignore").read_text().split() == ["results/", ".snakemake/"]


def test_a_name_that_no_sweep_has_is_left_out(tmp_path: Path) -> None:
    new_folder.make_folder(tmp_path / "7 of.them")
    assert "sweep: my_sweep" in (tmp_path / "7 of.them/sweep.yaml").read_text()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "sweep.yaml").write_text("sweep: mine\n")
    assert cli.main(["init", "."]) == 1
    assert "sweep.yaml is there already; nothing was written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.yaml"]
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        new_folder.make_folder(tmp_path / "file")


@pytest.mark.parametrize("module", [start, new_folder])
def test_examples_run(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
