"""How much of a training's time may go into measuring it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Allows a measurement where all of them together then take at most `share` of the time that the training took without them.

    The first is always made: it says how long one takes. share: None allows all. clock: seconds.

    Raises ValueError if the share is not positive.

    >>> budget = Budget(0.5, clock=iter([0.0, 1.0, 10.0]).__next__)
    >>> budget.spend(2.0)
    >>> budget.allows(), budget.allows()
    (False, True)
    """

    def __init__(self, share: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        if share is not None and not share > 0:
            raise ValueError(f"budget: {share!r} is no share of the training time; give one above 0, as 0.02, or None.")
        self._share, self._clock, self._spent, self._expected = share, clock, 0.0, 0.0
        self._start = clock()

    def allows(self) -> bool:
        if self._share is None or not self._spent:
            return True
        trained = self._clock() - self._start - self._spent
        return self._spent + self._expected <= self._share * trained

    def spend(self, seconds: float) -> None:
        """Seconds for which a measurement kept the training waiting."""
        self._spent += seconds
        self._expected = seconds
