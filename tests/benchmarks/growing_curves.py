"""How often events of a curve that grows are decided where there are none, how late, and whether they are the final ones.

python -m benchmarks.growing_curves [--curves N] [--write PAGE] prints tables of docs/events.md; --write puts them there,
between its markers. With 25 curves of each kind (400 of noise) it takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from builders.markers import write_between
from idsweep.statistics.change_points import LEAST_POINTS, dimension_events
from idsweep.statistics.change_points import Curve as Points
from idsweep.statistics.sequential import NAMES, CurveWatch, has_moved

from benchmarks.events import NOISES, SHAPE_NOISE, TIME, Curve, known_curves, logistic

LENGTHS = (10, 20, 50, 100, 200, 500)  # of curves of noise
NOISE = ("Gaussian", "Student t, 3", "autocorrelated 0.3", "0.5")
FIRST_FALL = 40.0  # deviations of the noise, over the first 5 points
SHAPE_POINTS = (20, 40, 154)
NEIGHBORS = 2  # checkpoints between two places that are taken for the same one
FALLS = (4, 8, 16, 32)  # in deviations of the noise
LEVEL_POINTS = (10, 20, 50, 150)  # before the fall
POINTS_AFTER = 60


def first_decisions(noise: str, curves: int, points: int, *, after_fall: bool = False) -> np.ndarray:
    """The number of points at which each curve of noise has its first decision, inf if it has none; (curves,).

    after_fall: noise comes after a fall at the start, and only a peak and an upturn, which are not there, count.
    """
    values = 3 + NOISES[noise](np.random.default_rng([points, len(noise)]), (curves, points))
    if after_fall:
        values += FIRST_FALL * np.clip(1 - np.arange(points) / 5, 0, 1)
    wrong = ("peak", "upturn") if after_fall else NAMES
    first = np.full(curves, np.inf)
    moved = np.array([has_moved(values[:, :n]) for n in range(LEAST_POINTS, points + 1)]).any(axis=0)
    for number in np.flatnonzero(moved):  # all at once; the others have no decisions
        watch = CurveWatch()
        for step, value in enumerate(values[number]):
            if any(decision.name in wrong for decision in watch.add(step, value)):
                first[number] = step + 1
                break
    return first


def shapes() -> dict[str, Curve]:
    """Name -> curve; those of the benchmark of whole curves, and with an upturn."""
    known = {known.name: known.curve for known in known_curves() if known.metric is None}
    return known | {
        "fall, rise": lambda time: 6 + 8 * np.abs(time - 0.45),
        "level, fall, level, rise": lambda time: 14 - 7 * logistic(time, 0.35, 0.03) + 4 * logistic(time, 0.8, 0.04),
        "rise, level": lambda time: 5 + 8 * (1 - np.exp(-time / 0.1)),
    }


def agreement(curve: Curve, curves: int, points: int) -> Counter[str]:
    """Over noisy curves of a shape: how many there are of what the tables below divide by each other."""
    generator = np.random.default_rng([points, 1])
    steps, clean = np.arange(points, dtype=float), curve(np.linspace(0, 1, points))
    noise = SHAPE_NOISE * np.ptp(curve(TIME))
    counts: Counter[str] = Counter()
    for _ in range(curves):
        values = clean + noise * generator.standard_normal(points)
        whole = dimension_events(Points(steps, values, 0.0), 2, generator)
        watch = CurveWatch()
        decisions = watch.extend((step, value, None) for step, value in zip(steps, values, strict=True))
        same = [name for name in NAMES if name in whole and name in watch.events]
        near = [name for name in same if abs(whole[name].step - watch.events[name].step) <= NEIGHBORS]
        counts.update(
            curves=1,
            identical=len(near) == len(whole) == len(watch.events),
            whole=len(whole),
            near=len(near),
            growing=len(watch.events),
            decisions=len(decisions),
            withdrawn=sum(decision.withdrawn for decision in decisions),
        )
    return counts


def delays(fall: float, before: int, curves: int) -> np.ndarray:
    """Points from the first one after a sudden fall to the one that decides its onset, both counted; inf if none does."""
    generator = np.random.default_rng([before, int(fall)])
    found = np.full(curves, np.inf)
    for number in range(curves):
        values = generator.standard_normal(before + POINTS_AFTER)
        values[before:] -= fall
        watch = CurveWatch()
        for step, value in enumerate(values):
            if any(event.name == "onset_of_fall" and not event.withdrawn for event in watch.add(step, value)):
                found[number] = step - before + 1
                break
    return found


def _table(corner: str, columns: list[str], rows: dict[str, list[str]]) -> list[str]:
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    return lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]


def page(curves: int) -> list[str]:
    """The lines of all tables."""
    firsts = {name: first_decisions(name, 16 * curves, max(LENGTHS)) for name in NOISE}
    firsts["autocorrelated 0.3, after a fall"] = first_decisions(
        "autocorrelated 0.3", curves, max(LENGTHS), after_fall=True
    )
    noise = {name: [f"{100 * np.mean(first <= length):.1f}" for length in LENGTHS] for name, first in firsts.items()}
    agreeing: dict[str, list[str]] = {}
    restless: dict[str, list[str]] = {}
    total: Counter[str] = Counter()
    for name, curve in shapes().items():
        found = [agreement(curve, curves, points) for points in SHAPE_POINTS]
        agreeing[name] = [f"{100 * counts['identical'] / curves:.0f}" for counts in found]
        restless[name] = [
            f"{counts['decisions'] / curves:.1f} / {counts['withdrawn'] / curves:.1f}" for counts in found
        ]
        for counts in found:
            total.update(counts)
    late = {}
    for fall in FALLS:
        found = [delays(fall, before, curves) for before in LEVEL_POINTS]
        medians = ["–" if np.isinf(np.median(waits)) else f"{np.median(waits):.0f}" for waits in found]
        late[str(fall)] = [
            f"{100 * np.mean(np.isfinite(waits)):.0f} / {median}" for waits, median in zip(found, medians, strict=True)
        ]
    points = [str(points) for points in SHAPE_POINTS]
    return [
        f"**Noise alone.** Percent of {16 * curves} growing curves that have had any decision by so many points. Last row: of "
        f"{curves} curves that fall by {FIRST_FALL:.0f} deviations in their first 5 points and stay level, those that have had a "
        "peak or an upturn.",
        "",
        *_table("noise", [str(length) for length in LENGTHS], noise),
        "",
        f"**Agreement.** Percent of {curves} curves with Gaussian noise of {100 * SHAPE_NOISE:.0f} % of their range, by "
        "number of checkpoints, in which the events that stand at the end are exactly those of the whole curve, each at "
        f"most {NEIGHBORS} checkpoints away. Of all {total['whole']} events of whole curves "
        f"{100 * total['near'] / total['whole']:.1f} % stand at the end at their place, and "
        f"{100 * total['near'] / total['growing']:.1f} % of all {total['growing']} that stand are among them.",
        "",
        *_table("curve", points, agreeing),
        "",
        "**Decisions.** How many of them such a curve has, the same event again and withdrawals included / how many of "
        "these are withdrawals.",
        "",
        *_table("curve", points, restless),
        "",
        f"**Delay.** Percent of {curves} curves in which a sudden fall from one level to another is decided within "
        f"{POINTS_AFTER} checkpoints / the median number of checkpoints after the fall that it takes; by its height in "
        "deviations of the Gaussian noise, and by the number of checkpoints before it.",
        "",
        *_table("fall / noise", [str(before) for before in LEVEL_POINTS], late),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growing_curves", description="Measure the detection of events while curves grow."
    )
    parser.add_argument("--curves", type=int, default=25, help="curves of each kind (default: 25)")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the tables between the markers of this page")
    given = parser.parse_args(arguments)
    if given.curves < 1:
        parser.error(f"--curves {given.curves}: at least one curve is needed, 25 are usual.")
    lines = page(given.curves)
    print("\n".join(lines))
    if given.write:
        write_between(given.write, "growing", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
