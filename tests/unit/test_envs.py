"""The environments agree: conda's pins are pip's, and hold what the scripts of a rule import."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "seaborn-base": "seaborn", "snakemake-minimal": "snakemake"}


def pip_pins() -> dict[str, str]:
    lines = (PROJECT / "envs/requirements.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def conda_pins(path: Path) -> dict[str, str]:
    found = {}
    for item in yaml.safe_load(path.read_text())["dependencies"]:
        for line in item["pip"] if isinstance(item, dict) else [item]:
            name, _, version = line.replace("==", "=").partition("=")
            found[CONDA_NAMES.get(name, name)] = version
    return found


@pytest.mark.parametrize("path", sorted((PROJECT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_pins_are_pip_s(path: Path) -> None:
    pins = pip_pins()
    of_conda = {name: version for name, version in conda_pins(path).items() if name not in ("python", "pip")}
    assert of_conda
    for name, version in of_conda.items():
        assert pins.get(name) == version, f"{path.name} pins {name}={version}, envs/requirements.txt {pins.get(name)}"


def test_every_dependency_is_pinned_and_allowed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pins = pip_pins()
    optional = [line for group in project["optional-dependencies"].values() for line in group]
    for line in [*project["dependencies"], *optional]:
        name, relation, version = re.fullmatch(r"([\w-]+)(>=|==)([\d.]+)", line).groups()
        numbers = tuple(map(int, pins[name].split(".")))
        least = tuple(map(int, version.split(".")))
        assert numbers[: len(least)] >= least if relation == ">=" else pins[name] == version, line


def test_every_rule_s_environment_exists() -> None:
    for rules in (PROJECT / "rules").glob("*.smk"):
        for name in re.findall(r'"\.\./envs/(\w+\.yaml)"', rules.read_text()):
            assert (PROJECT / "envs" / name).is_file()


def test_the_page_of_keys_is_current() -> None:
    from idsweep.keys import page

    assert (PROJECT / "config/README.md").read_text() == page(PROJECT / "config/schema.yaml"), (
        "run: idsweep keys > config/README.md"
    )
