"""What is different where another workflow imports this one as a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from idsweep.files.project import LIBRARY, PROJECT

FILES_OF_CONFIG = ("schema.yaml", "catalog/models.yaml", "catalog/datasets.yaml")


def own_name(rule: Any) -> str:
    """The name of one of Snakemake's rules in the files of this workflow; the importing one may call it otherwise."""
    rules = getattr(rule, "module_globals", {}).get("rules")
    if rules is None or rule.name in rules._rules:
        return rule.name
    return next((name for name, proxy in rules._rules.items() if proxy.rule is rule), rule.name)


def config_folder(base: Path) -> Path:
    """The folder of the schema and the catalogs.

    base: where the Snakefile lies. Of a Snakefile from the web there is no folder. Then `config/` of the working folder
    counts, where tools that deploy workflows put a copy, and without one that of the installed package.
    """
    if base.is_dir():
        return base / "config"
    deployed = Path("config")
    return deployed if all((deployed / file).is_file() for file in FILES_OF_CONFIG) else PROJECT / "config"


def complaints(workflow: Any, base: Path) -> Iterator[str]:
    """What is wrong with how this workflow is imported.

    workflow: Snakemake's, while it reads the Snakefile of the module. base: where that Snakefile lies.
    """
    modifier = workflow.modifier
    name = modifier.namespace
    if not modifier.skip_configfile:
        yield f"module {name}: there is no `config:`. Give it the configuration of a sweep, for example config: config[{name!r}]."
    if _changes_paths(modifier.path_modifier):
        yield (
            f"module {name}: `prefix:` and `replace_prefix:` do not work, since results are found again by their paths. Remove "
            "it. Results lie in results/SWEEP, so give each module a `sweep:` of its own in its configuration, or its own results "
            "folder: pathvars: results='…'."
        )
    here = base / "workflow_scripts/idsweep"
    if here.is_dir() and not here.samefile(LIBRARY):
        yield (
            f"module {name}: its Snakefile is in {base}, but the package idsweep that Python has imported is {LIBRARY}. Write "
            "snakefile: idsweep.snakefile(), or do not import idsweep before the module."
        )


def same_results(workflow: Any, sweep: str, folder: str) -> str | None:
    """A complaint if a module of another name writes the same sweep's files into the same folder."""
    names = vars(workflow).setdefault("_idsweep_folders", {})
    name = workflow.modifier.namespace
    other = names.setdefault(folder, name)
    if other == name:
        return None
    return f"modules {other} and {name} both have the sweep {sweep!r}; give each a `sweep:` of its own."


def elsewhere(workflow: Any, folder: str) -> str | None:
    """A complaint if the importing workflow has logs or benchmarks written elsewhere than below a sweep's results.

    They are found again there: what a failed job said, what a job took, what a result was made with.
    """
    names = [name for name in ("logs", "benchmarks") if workflow.pathvars.get(name) != f"{folder}/{name}"]
    if not names:
        return None
    return (
        f"module {workflow.modifier.namespace}: `pathvars:` set {' and '.join(names)}, which always lie with the results. Leave "
        "them out, or set `results` instead, which moves all of them."
    )


def misleading_trigger(name: str) -> str:
    """What a module of that name says where the times of scripts decide what runs again."""
    return (
        f"module {name}: Snakemake looks at the times of scripts, so that a new installation of idsweep would repeat every job. "
        "Put rerun-triggers: [mtime, params, software-env] into your profile; signatures tell what is stale."
    )


def _changes_paths(path_modifier: Any) -> bool:
    while path_modifier is not None:
        if path_modifier.prefix is not None or path_modifier._prefix_replacements is not None:
            return True
        path_modifier = path_modifier.inner_modifier
    return False
