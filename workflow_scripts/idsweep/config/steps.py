"""Names of checkpoints as patterns over training steps: `step{0,1..512,1000..143000/1000}`.

In the braces stand steps, separated by commas: a number; `first..last`, doubling (1..512 is 1, 2, 4 … 512); or
`first..last/stride`, both ends included. The name of a checkpoint is the pattern with its step in their place.
"""

from __future__ import annotations

import re

MOST = 100_000
NUMBER = "[0-9]{1,18}"  # tables hold no longer ones
EXPECTED = 'numbers of at most 18 digits, "first..last" (doubling) or "first..last/stride", separated by commas'


def expand(pattern: str) -> dict[str, int]:
    """Name -> step of every checkpoint of a pattern, in increasing order of steps.

    Raises ValueError if the pattern has not exactly one pair of braces, or a range in them does not end at its end.
    """
    braces = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", pattern)
    if braces is None:
        raise ValueError(f"{pattern!r} names no steps; expected one pair of braces with {EXPECTED}")
    before, listed, after = braces.groups()
    steps = sorted({step for item in listed.split(",") for step in _steps(item.strip(), pattern)})
    return {f"{before}{step}{after}": step for step in steps}


def _steps(item: str, pattern: str) -> list[int]:
    match = re.fullmatch(rf"({NUMBER})(?:\.\.({NUMBER})(?:/([1-9][0-9]{{0,17}}))?)?", item)
    if match and re.search(r"(?<!\d)0\d", item):
        raise ValueError(f"{pattern!r}: the zeros before {item} would be lost; write a mapping from names to steps")
    if match is None:
        raise ValueError(f"{pattern!r}: {item!r} is not a step; expected {EXPECTED}")
    first, last, stride = (None if part is None else int(part) for part in match.groups())
    if last is None:
        return [first]
    if stride is not None and (last - first) // stride >= MOST:
        raise ValueError(f"{pattern!r}: {item} are more than {MOST:,} steps; take a larger stride")
    if stride is not None:
        steps = list(range(first, last + 1, stride))
    else:
        steps = [first]
        while 0 < steps[-1] < last:
            steps.append(2 * steps[-1])
    if not steps or steps[-1] != last:
        how = "counting" if stride else "doubling"
        raise ValueError(
            f"{pattern!r}: {how} from {first} does not end at {last}"
            + ("" if stride else f'; every number from {first} to {last} is "{first}..{last}/1"')
        )
    return steps
