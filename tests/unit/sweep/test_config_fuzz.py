"""Hundreds of generated configurations: one that can be run gives jobs with signatures, any other is refused with complaints."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from builders.generated_configs import SCHEMA, broken, plausible, valid_by_schema
from builders.project import CONFIG
from hypothesis import HealthCheck, Phase, given, settings
from idsweep.config import load as configuration
from idsweep.sweep.expand import expand
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.paths import MADE_BY
from idsweep.workflow.signature import Digests

KINDS = {"plausible": plausible(), "valid by the schema": valid_by_schema(), "broken": broken()}
EXAMPLES = 250  # of each kind


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    return Digests(tmp_path_factory.mktemp("digests") / "digests.jsonl")


def signed(sweep: Sweep, digests: Digests) -> list[str]:
    """The signatures of the jobs that nothing else reads, and through them of all others."""
    graph = JobGraph(sweep, digests)
    made = [graph.signature("write_report"), *(graph.signature("write_csv", table=name) for name in MADE_BY)]
    return [
        *made,
        *(graph.signature(model.made_by, model=name) for name, model in sweep.known.items() if model.made_by),
    ]


def complaints_of(given: dict[str, Any], digests: Digests) -> list[str]:
    """What is wrong about a configuration; nothing where its jobs can be told."""
    before = repr(given)
    try:
        sweep = expand(configuration.load(given, CONFIG))
        assert all(len(signature) == 64 for signature in signed(sweep, digests))
        found = []
    except configuration.ConfigError as error:
        assert str(error).startswith("The configuration cannot be run:\n  - ")
        found = error.complaints
    assert repr(given) == before, "what Snakemake read is changed"
    return found


def _names_a_key(complaint: str, given: dict[str, Any]) -> bool:
    return complaint.startswith(("(top level)", *SCHEMA["properties"], *(key for key in given if isinstance(key, str))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_generated_configurations(kind: str, digests: Digests) -> None:
    outcomes: Counter[bool] = Counter()

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(config=KINDS[kind])
    def check(config: dict[str, Any]) -> None:
        complaints = complaints_of(config, digests)
        outcomes[not complaints] += 1
        assert all(_names_a_key(complaint, config) for complaint in complaints), complaints

    check()
    print(f"{kind}: {outcomes[True]} can be run, {outcomes[False]} are refused")
    assert outcomes.total() >= EXAMPLES
    assert outcomes[True] >= (EXAMPLES // 4 if kind == "plausible" else 1)
    assert outcomes[False] >= EXAMPLES // 4
