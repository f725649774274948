"""How often events are found where there are none, and where they are, and whether their intervals hold the truth.

python -m benchmarks.events [--curves N] [--write PAGE] prints the tables of docs/events.md; --write puts them there,
between its markers. With 400 curves of each kind it takes a minute and a half on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from builders.markers import write_between
from idsweep.tables.events import LOCAL_COLUMNS, LOCAL_DIMENSION, TRAINING_COLUMNS, detect_events
from scipy.signal import lfilter

LAST_STEP = 10_000.0
TIME = np.linspace(0, 1, 200_001)  # on which the true events are found
NOISE_POINTS = (6, 11, 20, 40, 63, 154, 600)
SHAPE_POINTS = (12, 20, 40, 154)
SHAPE_NOISE = 0.03  # deviation, as a share of the range of the curve's values
RISE_POINTS = (10, 16, 24, 40)
RISES = (5, 10, 20, 50)  # in deviations of the noise
SEEDS = (2, 3, 5, 10)
SEEDS_SPREAD = 0.04  # deviation of the peaks' times between seeds

Curve = Callable[[np.ndarray], np.ndarray]  # values at times from 0 to 1
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def autocorrelated(correlation: float) -> Draw:
    def draw(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        innovations = generator.standard_normal((shape[0], shape[1] + 200))  # what comes first is forgotten
        return lfilter([1.0], [1.0, -correlation], innovations, axis=1)[:, 200:]

    return draw


NOISES: dict[str, Draw] = {
    "Gaussian": lambda generator, shape: generator.standard_normal(shape),
    "Student t, 5": lambda generator, shape: generator.standard_t(5, shape),
    "Student t, 3": lambda generator, shape: generator.standard_t(3, shape),
    "autocorrelated 0.3": autocorrelated(0.3),
    "0.5": autocorrelated(0.5),
    "0.7": autocorrelated(0.7),
}


# ---- curves with known events


class Known(NamedTuple):
    """A curve and the times of its events; metric is None for a local dimension."""

    name: str
    curve: Curve
    metric: str | None
    events: Mapping[str, float]


def logistic(time: np.ndarray, middle: float, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(time - middle) / width))


def grokking(rise: float) -> Curve:
    """High before training, a dip, a rise to a peak at 0.35 and a fall to a level below the dip."""

    def curve(time: np.ndarray) -> np.ndarray:
        climb = rise * np.clip((time - 0.1) / 0.25, 0, 1)
        return 8 + 5 * np.exp(-time / 0.015) + climb - (rise + 2.5) * np.clip((time - 0.35) / 0.25, 0, 1)

    return curve


def crossing(curve: Curve, start: float, stop: float, level: float) -> float:
    """The first time from start to stop at which the curve crosses the level."""
    times = TIME[(start <= TIME) & (stop >= TIME)]
    above = curve(times) > level
    return float(times[np.flatnonzero(above[1:] != above[:-1])[0] + 1])


def of_a_fall(curve: Curve, start: float, *, peak: bool) -> dict[str, float]:
    """Events of a curve that falls from its highest value after start to its last: a tenth is lost, a tenth is left."""
    values = curve(TIME)
    top = float(TIME[np.where(start <= TIME, values, -np.inf).argmax()])
    high, low = float(values[start <= TIME].max()), float(values[-1])
    found = {"peak": top} if peak else {}
    found["onset_of_fall"] = crossing(curve, top, 1, high - 0.1 * (high - low))
    return found | {"plateau": crossing(curve, top, 1, low + 0.1 * (high - low))}


def known_curves() -> list[Known]:
    def skewed(time: np.ndarray) -> np.ndarray:
        return 6 + 9 * (time / 0.25) ** 3 * np.exp(-3 * (time / 0.25 - 1))

    def falling(time: np.ndarray) -> np.ndarray:
        return 14 - 7 * logistic(time, 0.55, 0.03)

    def cusp(time: np.ndarray) -> np.ndarray:
        return 5 + 10 * np.where(time < 0.3, np.clip((time - 0.2) / 0.1, 0, 1), np.exp(-(time - 0.3) / 0.12))

    def approach(time: np.ndarray) -> np.ndarray:
        return 6 + 8 * np.exp(-time / 0.125)

    def accuracy(time: np.ndarray) -> np.ndarray:
        return 0.05 + 0.9 * logistic(time, 0.35, 0.04)

    def loss(time: np.ndarray) -> np.ndarray:
        return 0.8 + 2.2 / (1 + 10 * time) + 0.9 * time

    first, last = accuracy(TIME[[0, -1]])
    accuracies = {
        "generalization": crossing(accuracy, 0, 1, (first + 1) / 2),
        "exhaustion": crossing(accuracy, 0, 1, last - 0.01 * (last - first)),
    }
    return [
        Known("grokking: high at first, dip, peak, level", grokking(6), None, of_a_fall(grokking(6), 0.1, peak=True)),
        Known("rounded peak, long tail", skewed, None, of_a_fall(skewed, 0, peak=True)),
        Known("level, fall, level", falling, None, of_a_fall(falling, 0.1, peak=False)),
        Known("sharp peak, exponential fall", cusp, None, of_a_fall(cusp, 0, peak=True)),
        Known("exponential fall from the start", approach, None, {"plateau": crossing(approach, 0, 1, 6.8)}),
        Known("validation accuracy, logistic", accuracy, "validation_accuracy", accuracies),
        Known("validation loss with a minimum", loss, "validation_loss", {"overfitting": TIME[loss(TIME).argmin()]}),
    ]


# ---- what is found


def found(values: np.ndarray, metric: str | None, samples: int, seeds: int = 1) -> pd.DataFrame:
    """The events of curves, float64 (curves, points), at even steps, so many neighbouring ones being seeds of a group."""
    curves, points = values.shape
    number = np.repeat(np.arange(curves), points)
    rows = pd.DataFrame({"step": np.tile(np.linspace(0, LAST_STEP, points), curves), "model": number.astype(str)})
    rows["group"] = (number // seeds).astype(str)
    local, training = pd.DataFrame(columns=LOCAL_COLUMNS), pd.DataFrame(columns=TRAINING_COLUMNS)
    if metric is None:
        of = dict.fromkeys(("set", "estimator", "dataset", "split", "representation"), "")
        local = rows.assign(**of, layer=0, variant="data", cloud="points", mean=values.ravel(), standard_error=np.nan)
    else:
        training = rows.assign(metric=metric, value=values.ravel())
    events = detect_events(local, training, samples=samples).events.to_pandas().rename(columns={"model": "group"})
    return events[events["curve"] == (metric or LOCAL_DIMENSION)]


def false_alarms(curves: int) -> list[str]:
    """Percent of curves of noise that have any event, by the number of points."""
    lines = ["| points | " + " | ".join(NOISES) + " |", "|---:" * (1 + len(NOISES)) + "|"]
    for points in NOISE_POINTS:
        cells = []
        for number, draw in enumerate(NOISES.values()):
            values = 3 + draw(np.random.default_rng([points, number]), (curves, points))
            shares = [found(values, metric, 2)["group"].nunique() / curves for metric in (None, "validation_loss")]
            cells.append(" / ".join(f"{100 * share:.1f}" for share in shares))
        lines.append(f"| {points} | " + " | ".join(cells) + " |")
    return lines


def coverage(curves: int) -> list[str]:
    """Percent of curves in which an event is found, and percent of those whose interval holds the true step."""
    lines = ["| curve | event | " + " | ".join(map(str, SHAPE_POINTS)) + " |", "|---|---" + "|---:" * 4 + "|"]
    for number, known in enumerate(known_curves()):
        cells: dict[str, list[str]] = {name: [] for name in known.events}
        for points in SHAPE_POINTS:
            clean = known.curve(np.linspace(0, 1, points))
            noise = np.random.default_rng([points, number]).standard_normal((curves, points))
            values = clean + SHAPE_NOISE * np.ptp(known.curve(TIME)) * noise
            if known.metric == "validation_accuracy":
                values = values.clip(0, 1)
            events = found(values, known.metric, 200).set_index("event")
            for name, time in known.events.items():
                of_event = events[events.index == name]
                held = (of_event["lower"] <= time * LAST_STEP) & (of_event["upper"] >= time * LAST_STEP)
                enough = len(of_event) >= min(20, curves)
                cells[name].append(
                    f"{100 * len(of_event) / curves:.0f} / " + (f"{100 * held.mean():.0f}" if enough else "–")
                )
        lines += [f"| {known.name} | `{name}` | " + " | ".join(cells[name]) + " |" for name in cells]
    return lines


def peaks(curves: int) -> list[str]:
    """Percent of grokking curves whose peak is found, by the number of points and how far it rises over the noise."""
    lines = ["| rise / noise | " + " | ".join(map(str, RISE_POINTS)) + " |", "|---:" * (1 + len(RISE_POINTS)) + "|"]
    for rise in RISES:
        cells = []
        for points in RISE_POINTS:
            noise = np.random.default_rng([points, rise]).standard_normal((curves, points))
            values = grokking(3.0)(np.linspace(0, 1, points)) + 3.0 / rise * noise
            events = found(values, None, 2)
            cells.append(f"{100 * events[events['event'] == 'peak']['group'].nunique() / curves:.0f}")
        lines.append(f"| {rise} | " + " | ".join(cells) + " |")
    return lines


def over_seeds(groups: int) -> list[str]:
    """Percent of groups of seeds whose interval holds the median of all the seeds that there could be."""
    time, peak = np.linspace(0, 1, 40), 0.35
    cells = []
    for seeds in SEEDS:
        generator = np.random.default_rng(seeds)
        shift = SEEDS_SPREAD * generator.standard_normal((groups * seeds, 1))
        values = grokking(6)(np.clip(time - shift, 0, 1))
        values += SHAPE_NOISE * np.ptp(grokking(6)(TIME)) * generator.standard_normal(values.shape)
        events = found(values, None, 200, seeds)
        peaks_found = events[events["event"] == "peak"]
        held = (peaks_found["lower"] <= peak * LAST_STEP) & (peaks_found["upper"] >= peak * LAST_STEP)
        cells.append(f"{100 * held.mean():.0f}" if len(held) else "–")
    header = "| seeds | " + " | ".join(map(str, SEEDS)) + " |"
    return [header, "|---" + "|---:" * len(SEEDS) + "|", "| interval holds the truth | " + " | ".join(cells) + " |"]


def page(curves: int) -> list[str]:
    """The lines of all tables."""
    return [
        f"**Noise alone.** Percent of {curves} curves with any event: of a local dimension / of a validation loss.",
        "",
        *false_alarms(curves),
        "",
        f"**Known events.** Of {curves} curves with Gaussian noise of {100 * SHAPE_NOISE:.0f} % of their range, by "
        "number of checkpoints: percent in which the event is found / percent of those whose interval holds the true "
        "step.",
        "",
        *coverage(curves),
        "",
        f"**Peaks after a dip.** Percent of {curves} curves that grokking gives in which the peak is found, by number of "
        "checkpoints and by the height of the rise in deviations of the noise.",
        "",
        *peaks(curves),
        "",
        f"**Seeds.** Percent of {curves} groups of seeds whose interval holds the median peak of all seeds that there could "
        f"be; the seeds' peaks scatter with a deviation of {100 * SEEDS_SPREAD:.0f} % of the run (40 checkpoints, noise as "
        "above).",
        "",
        *over_seeds(curves),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description="Measure the detection of events.")
    parser.add_argument("--curves", type=int, default=400, help="curves of each kind (default: 400)")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the tables between the markers of this page")
    given = parser.parse_args(arguments)
    if given.curves < 1:
        parser.error(f"--curves {given.curves}: at least one curve is needed, 400 are usual.")
    lines = page(given.curves)
    print("\n".join(lines))
    if given.write:
        write_between(given.write, "events", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
