"""What Snakemake plans is what the graph of jobs says: the same jobs, and the same inputs of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.real_models import skip_without_smollm2
from idsweep.config.load import load
from idsweep.files.parquet import provenance
from idsweep.sweep.expand import expand
from idsweep.workflow.job_graph import JobGraph, output_of
from idsweep.workflow.paths import outputs

from workflow import in_process
from workflow.checkout import MINI, PROJECT, Project, check_out

EXPERIMENTS = {path.stem: path for path in sorted((PROJECT / "config/experiments").glob("*.yaml"))}

OF_MINI = {"mini": MINI, "mini with a map": MINI | {"explorer": True, "explorer_map": True}}


def shortened(given: dict[str, Any]) -> dict[str, Any]:
    """A sweep with the first two and the last of many checkpoints, two seeds and two of the values that vary: a plan of
    thousands of jobs takes minutes."""
    given = with_few_runs(given)
    sweep = expand(load(given, PROJECT / "config"))
    models = dict(given["models"])
    for model in sweep.models.values():
        if len(names := list(model.checkpoints)) > 3:
            models[model.catalogued] = (models[model.catalogued] or {}) | {"checkpoints": [*names[:2], names[-1]]}
    return given | {"models": models}


def with_few_runs(given: Any) -> Any:
    """The configuration with two of the values of each list of `seeds` and of `vary`."""
    if not isinstance(given, dict):
        return given
    few = {key: with_few_runs(value) for key, value in given.items()}
    if isinstance(seeds := few.get("seeds"), list):
        few["seeds"] = seeds[:2]
    if isinstance(varied := few.get("vary"), dict):
        few["vary"] = {key: values[:2] if isinstance(values, list) else values for key, values in varied.items()}
    return few


def said_by_the_graph(graph: JobGraph, sweep: str) -> dict[tuple[str, frozenset], tuple[set[str], set[str]]]:
    """Job -> paths that it reads, and those that it writes."""
    said = {}
    for rule, names in graph.jobs():
        given = graph.inputs(rule, **dict(names)).values()
        read = {path for one in given for path in ([one] if isinstance(one, str) else one)}
        written = {f"results/{sweep}/{pattern.format(**dict(names))}" for pattern in outputs(rule).values()}
        said[rule, frozenset(names)] = read, written
    return said


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout without results, of which this process makes plans."""
    project = check_out(tmp_path_factory.mktemp("planned") / "idsweep")
    with in_process.inside(project):
        yield project


@pytest.mark.parametrize("name", [*OF_MINI, *EXPERIMENTS])
def test_snakemake_s_plan_is_the_graph_of_jobs(fresh: Project, name: str) -> None:
    if name in EXPERIMENTS:
        skip_without_smollm2(EXPERIMENTS[name].read_text())
    given = OF_MINI[name] if name in OF_MINI else shortened(yaml.safe_load(EXPERIMENTS[name].read_text()))
    fresh.configure(given)
    sweep = expand(load(given, PROJECT / "config"))
    planned = {
        (job.rule.name, frozenset(job.wildcards.items())): (set(job.input), set(job.output))
        for job in in_process.plan(fresh).jobs
        if job.rule.name != "all"
    }
    assert planned == said_by_the_graph(JobGraph(sweep), sweep.name)


def test_signatures_chain_what_jobs_read(tmp_path: Path) -> None:
    """The upstream of a signature are the makers of the job's inputs: the graph has one list for both."""
    graph = JobGraph(expand(load(MINI, PROJECT / "config")))
    maker = {}
    for rule, names in graph.jobs():
        for pattern in outputs(rule).values():
            path = f"results/mini/{pattern.format(**dict(names))}"
            assert maker.setdefault(path, (rule, names)) == (rule, names), f"{path} has two makers"
    for rule, names in graph.jobs():
        given = graph.inputs(rule, **dict(names)).values()
        for path in (path for one in given for path in ([one] if isinstance(one, str) else one)):
            assert path in maker, f"{rule} {names} reads {path}, which nothing makes"


def test_the_settings_of_a_job_are_the_provenance_of_what_it_wrote(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No script changes them: what is written down is what the signature was made of."""
    monkeypatch.chdir(finished.folder)
    graph = JobGraph(expand(load(yaml.safe_load(finished.configfile.read_text()), PROJECT / "config")))
    rules = set()
    for rule, names in graph.jobs():
        for name, pattern in outputs(rule).items():
            path = finished.folder / graph.path(output_of(rule, name, **dict(names)))
            if pattern.endswith(".parquet"):
                assert provenance(path)["settings"] == graph.settings(rule, **dict(names)), path
                rules.add(rule)
    assert {
        "sample_tokens",
        "extract_embeddings",
        "find_neighbors",
        "estimate_dimensions",
        "collect_estimates",
    } <= rules
