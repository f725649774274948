"""Progress of long work as sparse log lines: what, how far, and how much is left to do."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("idsweep.machine.progress")

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Log how far some work is: one INFO line every five seconds at most, and one when it is done."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._last = time.monotonic()

    def report(self, done: int, detail: str = "") -> None:
        """Say that `done` of the total units are through, e.g. "extracting: 40 % (120 of 300 sequences)"."""
        now = time.monotonic()
        if done < self._total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        percent = 100 * done // self._total
        logger.info(
            "%s: %d %% (%d of %d %s)%s",
            self._what,
            percent,
            done,
            self._total,
            self._unit,
            f", {detail}" if detail else "",
        )
