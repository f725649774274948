"""What the jobs of a sweep took that was run here, beside what was planned."""

from __future__ import annotations

from collections.abc import Mapping

from idsweep.files.benchmarks import Usage
from idsweep.planning.plan import Plan


def factors(planned: Plan, used: Mapping[str, Usage]) -> dict[str, float]:
    """Rule -> measured by planned core seconds of a job, where both are there."""
    seconds, jobs = planned.core_seconds(), planned.jobs
    each = {rule: seconds[rule] / jobs[rule] for rule in used.keys() & jobs.keys()}
    return {rule: used[rule].core_seconds / used[rule].jobs / one for rule, one in each.items()}
