"""A configuration that cannot be run is refused by the real `snakemake` before anything starts.

What the messages say in each case: tests/unit/config/test_config_errors.py.
"""

from __future__ import annotations

from workflow.checkout import Project


def test_one_message_without_a_traceback(fresh: Project) -> None:
    fresh.configure(tokns={"number": 3})
    done = fresh.snakemake()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    said = done.stdout.split("The configuration cannot be run:")[1].strip().splitlines()
    assert len(said) == 1
    assert "tokns: unknown key; did you mean 'tokens'?" in said[0]
    assert not (fresh.folder / "results").exists()


def test_everything_wrong_is_said_at_once(fresh: Project) -> None:
    fresh.configure(points__number="many", tokens__number=-5)
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "points.number" in done.stdout
    assert "tokens.number" in done.stdout


def test_yaml_that_cannot_be_read(fresh: Project) -> None:
    (fresh.folder / "mini.yaml").write_text("sweep: [mini\n")
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "not valid JSON or YAML" in done.stdout


def test_a_catalog_entry_of_the_project_is_checked_too(fresh: Project) -> None:
    fresh.edit("config/catalog/models.yaml", "kind: encoder", "knid: encoder")
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "models.yaml: minilm.knid: unknown key; did you mean 'kind'?" in done.stdout


def test_a_key_that_stands_twice_is_told_with_its_lines(fresh: Project) -> None:
    text = fresh.configfile.read_text()
    fresh.configfile.write_text(f"{text}sweep: mini\n")
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("sweep:"))
    assert f"mini.yaml, lines {first} and {len(lines) + 1}: sweep stands there twice" in done.stdout


def test_a_number_in_braces_on_the_command_line_is_a_number(fresh: Project) -> None:
    done = fresh.snakemake("--dry-run", "--config", "tokens={number: -5}")
    assert done.returncode != 0
    assert "tokens.number: -5 is out of range" in done.stdout


def test_a_key_with_dots_on_the_command_line_is_told_how_to_write(fresh: Project) -> None:
    done = fresh.snakemake("--dry-run", "--config", "partial=False", "catalog.models.mini_neox.train=None")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "Write --config 'catalog={models: {mini_neox: {train: None}}}'" in done.stdout
