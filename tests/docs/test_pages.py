"""The pages of the site: links that fit the checkout and the site, and generated parts that leave nothing out."""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import idsweep
import idsweep.live
import pytest
import yaml
from builders.project import PROJECT
from idsweep.estimators import registry as estimators
from idsweep.figures import registry as figures
from idsweep.version import __version__
from packaging.requirements import Requirement
from PIL import Image

MARKDOWN = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "config/README.md"])


def module(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", PROJECT / f"docs/site/{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


pages, pictures = module("pages"), module("pictures")


@pytest.mark.parametrize("file", MARKDOWN, ids=lambda file: str(file.relative_to(PROJECT)))
def test_links_of_the_checkout_lead_to_files(file: Path) -> None:
    prose = "".join(part for part, is_code in pages.parts(file.read_text(encoding="utf-8")) if not is_code)
    targets = {found["target"].partition("#")[0] for found in pages.LINK.finditer(prose)}
    local = {target for target in targets if target and ":" not in target}
    assert not [target for target in local if not (file.parent / target).exists()]


def test_examples_run() -> None:
    assert doctest.testmod(pages).failed == 0
    assert doctest.testmod(pages).attempted >= 3


@pytest.mark.parametrize(
    ("page", "text", "changed"),
    [
        ("index.md", "[a](docs/models.md#x)", "[a](models.md#x)"),
        ("models.md", "[a](../config/README.md)", "[a](configuration.md)"),
        ("models.md", "[a](../CONTRIBUTING.md#habits)", "[a](contributing.md#habits)"),
        ("configuration.md", "[schema.yaml](schema.yaml)", "`config/schema.yaml`"),
        ("index.md", "![a](docs/images/live.png)", "![a](images/live.png)"),
        ("models.md", "[a](https://x.org/y.md) [b](#c)", "[a](https://x.org/y.md) [b](#c)"),
        ("models.md", "[a](../rules/none.smk)", "[a](../rules/none.smk)"),  # a strict build then fails
        ("index.md", "```text\n[a](docs/models.md)\n```\n", "```text\n[a](docs/models.md)\n```\n"),
    ],
)
def test_links_of_the_site(page: str, text: str, changed: str) -> None:
    assert pages.change_links(text, page) == changed


def test_every_figure_has_a_section_with_its_picture_and_options() -> None:
    text = pages.figures()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == figures.names()
    for name in figures.names():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        picture = PROJECT / "docs" / re.search(r"^!\[.+\]\((.+)\)$", section, re.MULTILINE)[1]
        with Image.open(picture) as image:
            assert image.width > 300
        assert all(f"| `{option}` |" in section for option in figures.options(name))


@pytest.mark.parametrize("file", sorted((PROJECT / "docs/images/figures").glob("*.png")), ids=lambda file: file.stem)
def test_pictures_are_small(file: Path) -> None:
    assert file.stat().st_size <= pictures.BYTES
    with Image.open(file) as image:
        assert image.width <= pictures.WIDTH


def test_every_estimator_is_in_a_table_with_a_paper() -> None:
    rows = dict(re.findall(r"^\| \[`(\w+)`\].*\| (.+) \|$", pages.estimators(), re.MULTILINE))
    assert sorted(rows) == estimators.names()
    assert all(re.search(r"\(\d{4}\)", paper) for paper in rows.values())


def test_every_command_is_there_with_its_help() -> None:
    text = pages.command_line()
    listed = re.search(r"COMMAND\n(.+?)\n\noptions:", text, re.DOTALL)[1]
    commands = re.findall(r"^ {4}([a-z-]+)", listed, re.MULTILINE)
    assert {"run", "init", "plan", "import-scores"} <= set(commands)
    for command in commands:
        assert f"## idsweep {command}\n\n```text\nusage: idsweep {command}" in text


def test_every_public_name_of_python_is_there() -> None:
    headings = set(re.findall(r"^ {6}heading: (.+)$", pages.python(), re.MULTILINE))
    assert {f"idsweep.{name}" for name in idsweep.__all__} | set(idsweep.live.__all__) <= headings


def test_tested_versions_are_within_the_ranges_of_the_extra() -> None:
    extra = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"][
        "docs"
    ]
    lines = (PROJECT / "envs/docs.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for requirement in map(Requirement, extra):
        assert requirement.specifier.contains(tested[requirement.name])


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+) – (\S+)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert (citation["version"], str(citation["date-released"])) == newest.groups()
    assert citation["version"] == __version__
