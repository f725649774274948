"""The environments agree: conda's pins are pip's, and hold what the scripts of a rule import."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from builders import dependencies
from builders.project import PROJECT
from idsweep.data.loaders import registry as loaders
from idsweep.training import kinds
from idsweep.workflow import signature

LIBRARY = PROJECT / "workflow_scripts/idsweep"
# import name -> the pinned package that brings it
DISTRIBUTIONS = {
    "huggingface_hub": "transformers",
    "skdim": "scikit-dimension",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
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


def test_the_workflow_asks_for_the_oldest_snakemake_that_the_package_does() -> None:
    (least,) = re.findall(r'^min_version\("(.+)"\)$', (PROJECT / "Snakefile").read_text(), re.MULTILINE)
    assert f"snakemake=={least}" in dependencies.lowest()


def test_lower_ends_are_not_said_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    assert '"numpy>=' in text
    (tmp_path / "pyproject.toml").write_text(re.sub(r'"numpy>=[\d.]+"', '"numpy"', text))
    monkeypatch.setattr(dependencies, "PROJECT", tmp_path)
    with pytest.raises(ValueError, match="'numpy' is not of the form name>=version"):
        list(dependencies.without_torch())


def test_every_dependency_is_pinned_and_allowed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pins = pip_pins()
    extras = {
        name: group for name, group in project["optional-dependencies"].items() if name != "docs"
    }  # in envs/docs.txt
    optional = [line for group in extras.values() for line in group]
    for line in [*project["dependencies"], *optional]:
        name, relation, version = re.fullmatch(r"([\w-]+)(>=|==)([\d.]+)", line).groups()
        numbers = tuple(map(int, pins[name].split(".")))
        least = tuple(map(int, version.split(".")))
        assert numbers[: len(least)] >= least if relation == ">=" else pins[name] == version, line


def rules_with_environments() -> list[tuple[str, str]]:
    """(script, environment) of every rule."""
    text = "".join(path.read_text() for path in sorted((PROJECT / "rules").glob("*.smk")))
    blocks = re.split(r"^ *rule ?\w*:", text, flags=re.MULTILINE)[1:]
    find = {"envs": r'"\.\./envs/(\w+)\.yaml"', "workflow_scripts": r'"\.\./workflow_scripts/(\w+)\.py"'}
    return [tuple(re.search(find[key], block).group(1) for key in ("workflow_scripts", "envs")) for block in blocks]


@pytest.mark.parametrize(("script", "environment"), rules_with_environments())
def test_an_environment_holds_what_its_scripts_import(script: str, environment: str) -> None:
    readers = [loaders.module_of(name) for name in loaders.names()]
    loaded_by_name = {
        "estimate_dimensions": [
            f"idsweep.estimators.{path.stem}" for path in (LIBRARY / "estimators").glob("[a-z]*.py")
        ],
        "sample_vocabulary": ["idsweep.models.static_vectors", *readers],
        "extract_vocabulary": ["idsweep.models.static_vectors"],
        "extract_embeddings": ["idsweep.models.adapters"],
        "train_model": [*(kinds.get(name).module for name in kinds.names()), *readers],
        **dict.fromkeys(("train_tokenizer", "sample_tokens", "write_tokenizer"), readers),
        "draw_figure": [f"idsweep.figures.{path.stem}" for path in (LIBRARY / "figures").glob("[a-z]*.py")],
    }
    _, imported = signature._closure(
        PROJECT / f"workflow_scripts/{script}.py", ("idsweep.workflow.script", *loaded_by_name.get(script, []))
    )
    needed = {DISTRIBUTIONS.get(name, name) for name in imported - set(sys.stdlib_module_names)}
    if environment == "estimation":
        needed -= {"torch"}  # for a GPU alone; without it the search runs on the CPU
    assert needed <= conda_pins(PROJECT / f"envs/{environment}.yaml").keys() | {"python"}


def test_the_page_of_keys_is_current() -> None:
    from idsweep.config.keys import page

    assert (PROJECT / "config/README.md").read_text() == page(PROJECT / "config/schema.yaml"), (
        "run: idsweep keys > config/README.md"
    )
