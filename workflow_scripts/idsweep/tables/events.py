"""Events of training over all curves and seeds, which of two comes first, and how curves correlate; docs/events.md."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from idsweep.neighbors.variants import DATA
from idsweep.statistics.change_points import INTERVAL, LEAST_POINTS, Curve, Event, dimension_events, metric_events

MOST_POINTS = 2000  # longer curves are averaged over consecutive points
MOST_GRID_POINTS = 1024

LOCAL_DIMENSION = "local_dimension"
CURVE = [
    "set",
    "estimator",
    "dataset",
    "split",
    "representation",
    "layer",
    "cloud",
]  # what a dimension curve is of, in a group
LOCAL_COLUMNS = [*CURVE, "model", "group", "step", "variant", "mean", "standard_error"]
TRAINING_COLUMNS = ["model", "group", "step", "metric", "value"]

_OF = [
    pa.field("set", pa.string()),
    pa.field("estimator", pa.string()),
    pa.field("model", pa.string()),  # the group's name
    pa.field("dataset", pa.string()),
    pa.field("split", pa.string()),
    pa.field("representation", pa.string()),
    pa.field("layer", pa.int16()),
    pa.field("cloud", pa.string()),
]
EVENTS = pa.schema(
    [
        *_OF,  # null but for the model where the curve is a metric
        pa.field("curve", pa.string()),
        pa.field("event", pa.string()),
        pa.field("step", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("value", pa.float64()),
        pa.field("n_seeds", pa.int32()),
        pa.field("n_detected", pa.int32()),
    ]
)
LEADS = pa.schema(
    [
        *_OF,
        pa.field("dimension_event", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("metric_event", pa.string()),
        pa.field("lead", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("n_seeds", pa.int32()),
    ]
)
RUN_LEADS = pa.schema(
    [
        *_OF,
        pa.field("run", pa.string()),
        pa.field("dimension_event", pa.string()),
        pa.field("dimension_step", pa.float64()),
        pa.field("metric", pa.string()),
        pa.field("metric_event", pa.string()),
        pa.field("metric_step", pa.float64()),
        pa.field("lead", pa.float64()),
    ]
)
CORRELATIONS = pa.schema(
    [
        *_OF,
        pa.field("metric", pa.string()),
        pa.field("spearman", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("cross_correlation", pa.float64()),
        pa.field("chance_level", pa.float64()),
        pa.field("lag", pa.float64()),
        pa.field("n", pa.int32()),
        pa.field("n_seeds", pa.int32()),
    ]
)


class Events(NamedTuple):
    """Columns of `EVENTS`, `LEADS`, `RUN_LEADS` and `CORRELATIONS`; steps are training steps, levels are of 95 %.

    events: a row per curve and event that at least one seed shows. step, value: medians over the seeds that show it,
    n_detected of the n_seeds that have the curve.
    leads: metric's event minus dimension's event, median over the n_seeds runs with both; positive: the dimension's
    comes first.
    run_leads: the same of each run that shows both events, with the steps of both.
    correlations: means over the n_seeds runs with both curves. spearman: of the values at n checkpoints (the fewest
    of any run). cross_correlation: of the changes, at the lag where it is largest in absolute value, in steps by
    which the dimension runs ahead; chance_level: what unrelated curves stay below. NaN if a curve is constant.
    """

    events: pa.Table
    leads: pa.Table
    run_leads: pa.Table
    correlations: pa.Table


def detect_events(local: pd.DataFrame, training: pd.DataFrame, *, samples: int = 200, seed: int = 0) -> Events:
    """Find events of training in curves, which of them comes first, and how the curves correlate.

    The curves are the mean local dimension and the metrics of training, but for those of a part (`accuracy/hotel-area`), whose
    names have a slash. Values that are not finite are left out.

    Parameters
    ----------
    local : pandas.DataFrame
        `tables/local.parquet`. The rows of the data that have a step are used.
    training : pandas.DataFrame
        `tables/training.parquet`, with the columns `model, group, step, metric, value`; may be empty. Runs of one
        `group` differ in their seed only.
    samples : int
        Bootstrap replicates behind every interval, at least 2.
    seed : int
        Seed of the replicates. The same seed gives the same tables.

    Returns
    -------
    Events
        Four tables: `events`, `leads`, `run_leads` and `correlations`. Steps are training steps, intervals are of 95 %.

    Raises
    ------
    ValueError
        If columns are missing, a curve has a step twice, an accuracy is not between 0 and 1, or `samples` is below 2.

    References
    ----------
    docs/events.md defines each event and names the papers behind the intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> from idsweep import detect_events
    >>> training = pd.DataFrame({"step": range(0, 1000, 50), "metric": "validation_accuracy"})
    >>> training["value"] = [0.01] * 10 + [0.5] + [0.99] * 9
    >>> found = detect_events(pd.DataFrame(), training.assign(model="tiny", group="tiny"))
    >>> found.events["event"].to_pylist()
    ['exhaustion', 'generalization']
    >>> round(found.events["step"][1].as_py(), -1)
    500.0
    """
    if samples < 2:
        raise ValueError(f"samples is {samples}; at least 2 bootstrap replicates are needed, 200 are usual.")
    _require_columns(local, "local", LOCAL_COLUMNS)
    _require_columns(training, "training", TRAINING_COLUMNS)
    dimensions = _dimension_curves(local)
    metrics = _metric_curves(training)
    of_dimension = {
        key: {run: dimension_events(curve, samples, _generator(seed, *key, run)) for run, curve in runs.items()}
        for key, runs in dimensions.items()
    }
    of_metric = {
        key: {run: metric_events(curve, samples, _generator(seed, *key, run), key[1]) for run, curve in runs.items()}
        for key, runs in metrics.items()
    }
    events: list[dict[str, Any]] = []
    leads: list[dict[str, Any]] = []
    run_leads: list[dict[str, Any]] = []
    correlations: list[dict[str, Any]] = []
    for key, runs in dimensions.items():
        identity = _columns(key)
        rows = _event_rows(of_dimension[key], _generator(seed, *key))
        events.extend(identity | {"curve": LOCAL_DIMENSION} | row for row in rows)
        for group, metric in metrics:
            if group == key[0]:
                generator = _generator(seed, *key, metric)
                pair = identity | {"metric": metric}
                leads.extend(pair | row for row in _lead_rows(of_dimension[key], of_metric[group, metric], generator))
                run_leads.extend(pair | row for row in _run_lead_rows(of_dimension[key], of_metric[group, metric]))
                rows = _correlation_rows(runs, metrics[group, metric], samples, generator)
                correlations.extend(pair | row for row in rows)
    for group, metric in metrics:
        rows = _event_rows(of_metric[group, metric], _generator(seed, group, metric))
        events.extend({"model": group, "curve": metric} | row for row in rows)
    return Events(
        pa.Table.from_pylist(events, EVENTS),
        pa.Table.from_pylist(leads, LEADS),
        pa.Table.from_pylist(run_leads, RUN_LEADS),
        pa.Table.from_pylist(correlations, CORRELATIONS),
    )


# ---- tables into curves


def _require_columns(frame: pd.DataFrame, name: str, columns: list[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if len(frame) and missing:
        raise ValueError(
            f"The {name} table lacks the columns {', '.join(missing)}; events need {', '.join(columns)}. "
            f"Pass tables/{name}.parquet of the sweep as it is."
        )


def _dimension_curves(local: pd.DataFrame) -> dict[tuple, dict[str, Curve]]:
    """The curves of each run by (group, *CURVE)."""
    if local.empty:
        return {}
    rows = local[(local["variant"] == DATA) & local["step"].notna()]
    curves: dict[tuple, dict[str, Curve]] = {}
    for key, of_run in rows.groupby(["group", *CURVE, "model"], dropna=False, sort=False):
        key = tuple(None if pd.isna(part) else part for part in key)
        what = f"local dimension of model {key[-1]!r} ({', '.join(str(part) for part in key[1:-1])})"
        curves.setdefault(key[:-1], {})[key[-1]] = _curve(of_run, "mean", what, of_run["standard_error"])
    return curves


def _metric_curves(training: pd.DataFrame) -> dict[tuple[str, str], dict[str, Curve]]:
    """The curves of each run by (group, metric); accuracies are checked to be shares."""
    if training.empty:
        return {}
    training = training[~training["metric"].astype(str).str.contains("/", regex=False)]
    curves: dict[tuple[str, str], dict[str, Curve]] = {}
    for (group, metric, model), of_run in training.groupby(["group", "metric", "model"], sort=False):
        curve = _curve(of_run, "value", f"metric {metric!r} of model {model!r}")
        if metric.endswith("accuracy") and len(curve.values) and not 0 <= curve.values.min() <= curve.values.max() <= 1:
            raise ValueError(
                f"metric {metric!r} of model {model!r} has values from {curve.values.min():g} to "
                f"{curve.values.max():g}; accuracies are shares between 0 and 1. Divide percentages by 100."
            )
        curves.setdefault((group, metric), {})[model] = curve
    return curves


def _curve(rows: pd.DataFrame, column: str, what: str, errors: pd.Series | None = None) -> Curve:
    """The finite values in the order of their steps.

    If there are more than `MOST_POINTS`, those between the first and the last are averaged in parts of equal length.
    """
    rows = rows.sort_values("step")
    steps, values = rows["step"].to_numpy(dtype=float), rows[column].to_numpy(dtype=float)
    if repeated := sorted({int(step) for step in steps[1:][np.diff(steps) == 0]}):
        raise ValueError(
            f"The {what} has several values at step {', '.join(map(str, repeated))}; a curve has one value at a step. "
            "Give runs that differ in more than their checkpoint different names."
        )
    finite = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[finite], values[finite]
    known = np.array([]) if errors is None else errors.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    size = -(-len(steps) // (MOST_POINTS - 2)) if len(steps) > MOST_POINTS else 1
    if size > 1:
        starts = np.array([0, *range(1, len(steps) - 1, size), len(steps) - 1])
        lengths = np.diff([*starts, len(steps)])
        steps, values = (np.add.reduceat(numbers, starts) / lengths for numbers in (steps, values))
    return Curve(steps, values, float(np.median(known)) if len(known) else 0.0)


def _columns(key: tuple) -> dict[str, Any]:
    columns = dict(zip(["model", *CURVE], key, strict=True))
    return columns | {"layer": None if columns["layer"] is None else int(columns["layer"])}


def _generator(seed: int, *names: Any) -> np.random.Generator:
    """Its own random numbers for each curve, so that a curve's interval does not depend on what else is there."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(repr(tuple(map(str, names))).encode())]))


# ---- over seeds


def _over_seeds(events: list[Event], generator: np.random.Generator) -> dict[str, float]:
    """Median step of the runs' events and its 95 % interval, over seeds drawn anew and over their replicates.

    The interval holds at least the points around the events.
    """
    replicates = np.array([event.replicates for event in events])
    seeds, samples = replicates.shape
    if seeds > 1:
        drawn = generator.integers(seeds, size=(seeds, samples)), generator.integers(samples, size=(seeds, samples))
        replicates = replicates[drawn]
    lower, upper = np.quantile(np.median(replicates, axis=0), INTERVAL)
    return {
        "step": float(np.median([event.step for event in events])),
        "lower": float(min(lower, np.median([event.before for event in events]))),
        "upper": float(max(upper, np.median([event.after for event in events]))),
    }


def _event_rows(found: dict[str, dict[str, Event]], generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(name for events in found.values() for name in events):
        seen = [events[name] for events in found.values() if name in events]
        yield {
            "event": name,
            **_over_seeds(seen, generator),
            "value": float(np.median([event.value for event in seen])),
            "n_seeds": len(found),
            "n_detected": len(seen),
        }


def _lead_rows(
    dimension: dict[str, dict[str, Event]], metric: dict[str, dict[str, Event]], generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    runs = [run for run in dimension if run in metric]
    for name in dict.fromkeys(name for run in runs for name in dimension[run]):
        for metric_name in dict.fromkeys(name for run in runs for name in metric[run]):
            both = [run for run in runs if name in dimension[run] and metric_name in metric[run]]
            if both:
                leads = [_lead(dimension[run][name], metric[run][metric_name]) for run in both]
                row = _over_seeds(leads, generator)
                row["lead"] = row.pop("step")
                yield {"dimension_event": name, "metric_event": metric_name, "n_seeds": len(both), **row}


def _run_lead_rows(
    dimension: dict[str, dict[str, Event]], metric: dict[str, dict[str, Event]]
) -> Iterator[dict[str, Any]]:
    for run in dimension:
        for (name, first), (metric_name, second) in product(dimension[run].items(), metric.get(run, {}).items()):
            yield {
                "run": run,
                "dimension_event": name,
                "dimension_step": first.step,
                "metric_event": metric_name,
                "metric_step": second.step,
                "lead": second.step - first.step,
            }


def _lead(first: Event, second: Event) -> Event:
    return Event(
        second.step - first.step,
        second.before - first.after,
        second.after - first.before,
        np.nan,
        second.replicates - first.replicates,
    )


def _correlation_rows(
    dimension: dict[str, Curve], metric: dict[str, Curve], samples: int, generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    pairs = []
    for run in dimension:
        if run in metric and len(metric[run].steps) >= LEAST_POINTS:
            steps, values, _ = dimension[run]
            common = (steps >= metric[run].steps[0]) & (steps <= metric[run].steps[-1])
            if np.count_nonzero(common) >= LEAST_POINTS:
                pairs.append((steps[common], values[common], metric[run]))
    if not pairs:
        return
    ranked = [(_ranks(values), _ranks(np.interp(steps, m.steps, m.values))) for steps, values, m in pairs]
    resampled = np.array([_block_bootstrap(x, y, samples, generator) for x, y in ranked])
    drawn = generator.integers(len(pairs), size=resampled.shape)
    means = np.take_along_axis(resampled, drawn, axis=0).mean(axis=0)
    known = np.isfinite(means)
    lower, upper = np.quantile(means[known], INTERVAL) if known.any() else (np.nan, np.nan)
    cross, chance, lag = _cross_correlation(pairs, samples, generator)
    yield {
        "spearman": float(np.mean([_pearson(x, y, np.ones((1, len(x))))[0] for x, y in ranked])),
        "lower": float(lower),
        "upper": float(upper),
        "cross_correlation": cross,
        "chance_level": chance,
        "lag": lag,
        "n": min(len(steps) for steps, _, _ in pairs),
        "n_seeds": len(pairs),
    }


def _ranks(values: np.ndarray) -> np.ndarray:
    return pd.Series(values).rank().to_numpy()


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation of x and y, float64 (n,), under each row of weights, (B, n); NaN where one of them is constant."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    x, y = x - x.mean(), y - y.mean()
    mean_x, mean_y = weights @ x, weights @ y
    variances = (weights @ (x * x) - mean_x**2) * (weights @ (y * y) - mean_y**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ (x * y) - mean_x * mean_y) / np.sqrt(np.where(variances > 1e-12, variances, np.nan))


def _block_bootstrap(x: np.ndarray, y: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Correlations of ranks x and y over blocks of about √n neighbouring points drawn anew (Künsch 1989), (samples,)."""
    n = len(x)
    size = int(np.ceil(np.sqrt(n)))
    starts = generator.integers(n - size + 1, size=(samples, -(-n // size)))
    points = (starts[:, :, None] + np.arange(size)).reshape(samples, -1)[:, :n]
    weights = np.zeros((samples, n))
    np.add.at(weights, (np.arange(samples)[:, None], points), 1)
    return _pearson(x, y, weights)


def _cross_correlation(
    pairs: list[tuple[np.ndarray, np.ndarray, Curve]], samples: int, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Largest cross-correlation of two curves' changes, its chance level and its lag in steps; means over the pairs.

    Changes are differences on an even grid, whose spacing is the median one of the checkpoints. Lags go up to half of
    the grid. Chance: surrogates of the dimension's changes with their spectrum and random phases (Theiler et al. 1992).
    """
    begin, end = max(steps[0] for steps, _, _ in pairs), min(steps[-1] for steps, _, _ in pairs)
    spacing = np.median(np.concatenate([np.diff(steps) for steps, _, _ in pairs]))
    n = int(min((end - begin) // spacing, MOST_GRID_POINTS)) + 1
    if n < LEAST_POINTS:
        return np.nan, np.nan, np.nan
    grid, spacing = np.linspace(begin, end, n, retstep=True)
    length = 2 ** int(np.ceil(np.log2(2 * n)))
    reach = n // 2
    total = np.zeros((1 + samples, 2 * reach + 1))
    for steps, values, metric in pairs:
        first = np.diff(np.interp(grid, steps, values))
        second = np.diff(np.interp(grid, metric.steps, metric.values))
        first, second = first - first.mean(), second - second.mean()
        norm = np.linalg.norm(first) * np.linalg.norm(second)
        if not norm > 0:
            return np.nan, np.nan, np.nan
        spectrum = np.fft.rfft(first)
        noise = np.fft.rfft(generator.standard_normal((samples, n - 1)), axis=1)
        surrogates = np.fft.irfft(np.abs(spectrum) * noise / np.abs(noise), n - 1, axis=1)
        both = np.concatenate([first[None], surrogates])
        products = np.fft.irfft(
            np.conj(np.fft.rfft(both, length, axis=1)) * np.fft.rfft(second, length), length, axis=1
        )
        total += np.concatenate([products[:, -reach:], products[:, : reach + 1]], axis=1) / norm / len(pairs)
    largest = np.abs(total).max(axis=1)
    place = int(np.abs(total[0]).argmax())
    # of the curve and its surrogates, were they alike, the curve is above this one in at most 5 %
    chance = np.sort(largest[1:])[min(int(np.ceil(0.95 * (samples + 1))), samples) - 1]
    return float(total[0, place]), float(chance), float((place - reach) * spacing)
