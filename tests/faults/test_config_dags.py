"""Generated configurations and the real Snakemake: one that can be run gives a plan, any other a message without a traceback.

Plans are made in this process, a second or two each; `make fuzz` makes 500 of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from builders.generated_configs import broken, plausible, valid_by_schema
from hypothesis import HealthCheck, Phase, given, settings
from workflow import in_process
from workflow.checkout import Project, check_out

KINDS = {
    "plausible": (plausible(), 1 / 2),
    "valid by the schema": (valid_by_schema(), 1 / 4),
    "broken": (broken(), 1 / 4),
}
CONFIGURATIONS = int(os.environ.get("CONFIGURATIONS", 60))
PROCESSES = 4  # of each kind are also given to `snakemake` as users start it
REFUSED = "The configuration cannot be run:"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout in which plans are made; nothing is run in it."""
    project = check_out(tmp_path_factory.mktemp("plans") / "idsweep")
    with in_process.inside(project):
        yield project


def write(project: Project, config: dict[str, Any]) -> bool:
    """Whether YAML can hold a configuration; if so it is the project's."""
    try:
        project.configfile.write_text(yaml.dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return yaml.full_load(project.configfile.read_text(encoding="utf-8")) is not None
    except (yaml.YAMLError, ValueError):
        return False


def refusal(project: Project) -> str | None:
    """What is said if the project's configuration cannot be planned; None if it can."""
    try:
        in_process.plan(project)
    except in_process.CannotPlan as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_generated_configurations_give_a_plan_or_a_message(kind: str, project: Project) -> None:
    outcomes: Counter[str] = Counter()
    configs, share = KINDS[kind]
    number = round(CONFIGURATIONS * share)

    @settings(
        max_examples=number, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(config=configs)
    def check(config: dict[str, Any]) -> None:
        if not write(project, config):
            outcomes["no YAML"] += 1
            return
        said = refusal(project)
        assert said is None or said.startswith(REFUSED), said
        outcomes["planned" if said is None else "refused"] += 1
        if outcomes.total() <= PROCESSES:
            done = project.snakemake("--dry-run")
            assert "Traceback" not in done.stdout
            assert (done.returncode == 0) == (said is None), done.stdout
            assert said is None or REFUSED in done.stdout

    check()
    print(f"{kind}: {dict(outcomes)}")
    assert outcomes["planned"] + outcomes["refused"] >= number // 2
    assert not list(project.folder.glob("results/*/*")), "a dry run made something"
