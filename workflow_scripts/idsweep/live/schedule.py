"""When the callbacks of both Trainers measure, and at which events they end a training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from idsweep.live.dimension import LiveDimension, Measurement
from idsweep.live.watched import checked_names

EVAL = "eval"


class Schedule:
    """every: "eval", at each evaluation, or a number of steps. stop_on: events at which a training ends.

    Raises ValueError if one of them is something else.
    """

    def __init__(self, every: int | str, stop_on: Collection[str] | str) -> None:
        if every != EVAL and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ValueError(f"every: {every!r} is neither 'eval' nor a number of steps.")
        self._every = every
        self._stop_on = checked_names({stop_on} if isinstance(stop_on, str) else {*stop_on})
        self._has_ended = False

    @property
    def is_at_evaluations(self) -> bool:
        return self._every == EVAL

    def has(self, step: int) -> bool:
        """Whether a step is measured for its number, and not for an evaluation."""
        return self._every != EVAL and step % self._every == 0

    def begin(self) -> None:
        """A training begins."""
        self._has_ended = False

    def note(self, measured: Measurement) -> None:
        """Remember whether it shows an event at which the training ends."""
        self._has_ended |= any(
            event.decision.name in self._stop_on and not event.decision.withdrawn for event in measured.events
        )

    def ends(self, live: LiveDimension) -> bool:
        """Whether the training ends now, in all processes at once, which see events at different times."""
        return bool(self._stop_on) and live.agreed(self._has_ended)

    def check_always_there(self, use: str, options: Mapping[str, Any]) -> None:
        """Raises ValueError for what leaves evaluations without a metric whose `use` needs it at each."""
        for key in ("budget", "background"):
            if options.get(key):
                raise ValueError(f"{key}: {use}, and an evaluation may then be without it. Leave {key} out.")
        if self._every != EVAL:
            raise ValueError(f"every: {use}, which every evaluation needs; set every='eval'.")
