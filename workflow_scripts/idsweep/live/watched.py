"""The curves of a training, watched while they grow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import pyarrow as pa

from idsweep.live.estimates import Summary
from idsweep.statistics.sequential import NAMES, CurveWatch, Decision


class LiveEvent(NamedTuple):
    """What one curve shows: `decision.name` is peak, onset_of_fall, plateau or upturn (docs/events.md)."""

    representation: str
    decision: Decision

    def __str__(self) -> str:
        name, step = self.decision.name, self.decision.step
        verb = "no longer has" if self.decision.withdrawn else "has"
        return f"{self.representation} {verb} its {name.replace('_', ' ')} at step {step:g}"


class Watched:
    """All curves of a training; what was found before is in `table`, whose rows are looked at again."""

    def __init__(self, table: pa.Table) -> None:
        self._watches: dict[str, CurveWatch] = {}
        self.events: list[LiveEvent] = []
        for row in table.to_pylist():
            self._add(row["representation"], row["step"], row["value"], row["standard_error"])

    def add(self, step: int, summaries: Mapping[str, Summary]) -> list[LiveEvent]:
        """What is decided by the values of a step."""
        return [
            event for name, one in summaries.items() for event in self._add(name, step, one.mean, one.standard_error)
        ]

    def _add(self, name: str, step: int, mean: float, error: float) -> list[LiveEvent]:
        decisions = self._watches.setdefault(name, CurveWatch()).add(step, mean, error)
        found = [LiveEvent(name, decision) for decision in decisions]
        self.events += found
        return found


def checked_names(names: Collection[str]) -> frozenset[str]:
    """Raises ValueError if one of them is no event."""
    if unknown := sorted({*names} - {*NAMES}):
        raise ValueError(f"stop_on: {unknown[0]!r} is no event; choose among {', '.join(NAMES)}.")
    return frozenset(names)
