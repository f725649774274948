"""A loader of somebody else's: one file in the folder of loaders, and nothing is edited anywhere."""

from __future__ import annotations

import pytest
from idsweep.files.parquet import read_table

from workflow.checkout import Project, check_out

FILE = "workflow_scripts/idsweep/data/loaders/paragraphs.py"
TEXT = '''
"""The paragraphs of every *.md below a folder, with the heading above each."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idsweep.data.entries import files_below
from idsweep.data.loaders.registry import Loader, Rows

KEYS = {"level": {"description": "Hashes before a heading.", "type": "integer", "minimum": 1}}


def check(entry: Mapping[str, Any]) -> None:
    if entry.get("level", 1) > 6:
        raise ValueError(f"level: {entry['level']} is more than Markdown has; give 1 to 6.")


@contextmanager
def rows(entry: Mapping[str, Any], path: Path, source: str) -> Iterator[Rows]:
    yield Rows(_batches(path, "#" * entry.get("level", 1) + " "))


def _batches(folder: Path, mark: str) -> Iterator[Mapping[str, list]]:
    for file in files_below(folder, "*.md"):
        heading = ""
        for part in file.read_text(encoding="utf-8").split("\\n\\n"):
            if part.startswith(mark):
                heading = part.removeprefix(mark)
            else:
                yield {"text": [part], "heading": [heading], "file": [file.name]}


LOADER = Loader(rows=rows, check=check, places=frozenset({"local"}), pattern="*.md")
'''
NOTES = "# Birds\n\nMany birds sing in the morning.\n\nSome sing at night.\n\n# Cats\n\nCats do not sing at all.\n\n"
TOKENS = ("results/mini/tokens/minilm/notes.parquet", "results/mini/tokens/minilm/lee_news.parquet")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = check_out(tmp_path_factory.mktemp("new") / "idsweep")
    (made.folder / FILE).write_text(TEXT)
    (made.folder / "notes/more").mkdir(parents=True)
    (made.folder / "notes/more/animals.md").write_text(NOTES)
    configure(made)
    return made


def configure(project: Project, **keys: object) -> None:
    entry = {"loader": "paragraphs", "path": "notes", "where": {"heading": "Birds"}} | keys
    datasets = {"datasets": ["notes", "lee_news"], "catalog": {"datasets": {"notes": entry}}}
    project.configure({"sweep": "mini", "models": {"minilm": {"layers": [-1]}}, "figures": {}} | datasets)


def test_its_keys_are_checked_and_described(project: Project) -> None:
    for keys, message in (
        ({"levels": 2}, "catalog.datasets.notes.levels: unknown key; did you mean 'level'?"),
        ({"level": "a"}, "catalog.datasets.notes.level: 'a' is of the wrong type; expected a whole number"),
        ({"level": 7}, "catalog.datasets.notes: level: 7 is more than Markdown has"),
        ({"loader": "folder", "level": 1}, "level: it holds for the loader 'paragraphs', not for 'folder'"),
        ({"path": "config"}, "path: the folder 'config' holds no *.md file"),
    ):
        if keys.get("path"):
            (project.folder / "config/README.md").unlink()
        configure(project, **keys)
        assert message in project.complaint(), keys
    configure(project)
    assert project.complaint() == ""
    page = project.python("-m", "idsweep.cli", "keys")
    assert "paragraphs: The paragraphs of every *.md below a folder, with the heading above each." in page
    assert "| `level` | Hashes before a heading. | integer |  |" in page


def test_its_texts_are_read(project: Project) -> None:
    done = project.snakemake(*TOKENS)
    assert done.returncode == 0, done.stdout
    sequences = read_table(project.results / "sequences/minilm/notes.parquet").to_pylist()
    assert [row["text"] for row in sequences] == ["Many birds sing in the morning.", "Some sing at night."]


def signatures(project: Project) -> list[str]:
    return [project.signature("sample_tokens", tokenizer="minilm", dataset=name) for name in ("notes", "lee_news")]


def test_its_code_counts_for_its_datasets_alone(project: Project) -> None:
    notes, news = signatures(project)
    project.edit(FILE, "Hashes before a heading.", "Hashes in front of a heading.")
    assert signatures(project) == [notes, news]
    project.edit(FILE, '"file": [file.name]', '"file": [file.stem]')
    changed = signatures(project)
    assert changed[0] != notes and changed[1] == news
    with (project.folder / "workflow_scripts/idsweep/data/rows.py").open("a") as file:
        file.write("\nADDED = 1\n")
    assert signatures(project)[0] == changed[0] and signatures(project)[1] != news


def test_the_whole_sweep_is_planned(project: Project) -> None:
    planned = project.stale()
    assert planned["extract_embeddings"] == 2 and planned["sample_tokens"] == 2
    assert "sample_tokens" in project.python("-m", "idsweep.cli", "plan", "mini.yaml")
