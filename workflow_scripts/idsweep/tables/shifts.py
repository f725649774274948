"""How fine-tuning moves local estimates: the same tokens in a base model and in the model made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from idsweep.files.parquet import read_table, to_numpy
from idsweep.files.vectors import read_estimates, read_identities
from idsweep.machine.errors import about
from idsweep.machine.progress import Progress
from idsweep.statistics.resampling import SAMPLES, mean_interval
from idsweep.tables.collect import SHIFTED, identified, local_values
from idsweep.tables.paired import check_points, common_places

SHIFTS = pa.schema(
    [
        pa.field("estimator", pa.string(), nullable=False),
        pa.field("n_pairs", pa.int32(), nullable=False),
        pa.field("n_sequences", pa.int32(), nullable=False),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("base_mean", "mean", "shift", "lower", "upper", "effect_size", "share_lower")
        ),
    ]
)
SAME = ("set", "dataset", "representation", "cloud")  # of two estimates that are compared
SAME_TOKEN = ("token_id", "sequence", "position")
MEND = "Both models need the same tokenizer (catalog: 'tokenizer: {of: NAME}') and the same 'tokens:' and 'points:'."


def paired_shift(
    base: tuple[np.ndarray, np.ndarray],
    tuned: tuple[np.ndarray, np.ndarray],
    sequences: np.ndarray,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, float | int]:
    """The shift of one estimator's local values at one representation: columns of `SHIFTS` but for `estimator`.

    base, tuned: points, int (N,), and their values, float64 (N,), NaN where undefined. A pair is a point that both
        have, with a defined value in each.
    sequences: int (M,), the sequence of each point 0 … M − 1.

    Over the pairs: both means; `shift`, the mean of the tuned value less the base's, with the 95 % interval `lower` to
    `upper` of sequences drawn anew (resampling.cluster_bootstrap); `effect_size`, the shift by the standard deviation
    (n − 1) of the differences, Cohen's d_z (Lakens 2013, doi:10.3389/fpsyg.2013.00863); `share_lower`, the share of
    pairs whose value falls. NaN where there are too few pairs (0; 1 for the effect size) or sequences (1) to tell.
    The effect size is NaN as well where all differences are equal.

    Raises ValueError if points repeat, lengths differ or no point is in both.
    """
    base_points, base_values = _checked("The base model", *base, len(sequences))
    tuned_points, tuned_values = _checked("The fine-tuned model", *tuned, len(sequences))
    of_base, of_tuned = common_places(base_points, tuned_points)
    if len(of_base) == 0:
        raise ValueError(
            f"Unequal tokens: the base model has {len(base_points)} points and the fine-tuned one {len(tuned_points)}, "
            f"with none in common. {MEND}"
        )
    before, after = base_values[of_base], tuned_values[of_tuned]
    defined = ~(np.isnan(before) | np.isnan(after))
    before, after, clusters = before[defined], after[defined], sequences[base_points[of_base][defined]]
    difference = after - before
    number = len(difference)
    interval = mean_interval(difference, clusters, samples=samples, seed=seed)
    spread = float(difference.std(ddof=1)) if number > 1 and np.ptp(difference) > 0 else np.nan
    return {
        "n_pairs": number,
        "n_sequences": len(np.unique(clusters)),
        "base_mean": _mean(before),
        "mean": _mean(after),
        "shift": interval.value,
        "lower": interval.lower,
        "upper": interval.upper,
        "effect_size": interval.value / spread,
        "share_lower": _mean(difference < 0),
    }


def compare_estimates(
    base: pa.Table,
    tuned: pa.Table,
    tokens_base: pa.Table,
    tokens_tuned: pa.Table,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> pa.Table:
    """The shifts of all estimators that both tables have: columns of `SHIFTS`, in the order of the fine-tuned model's.

    base, tuned: estimates of one representation, columns of columns.ESTIMATES; only local values of the data count.
    tokens_base, tokens_tuned: the sampled tokens that their points stand for, columns of columns.POINTS.

    Without rows if neither has local estimates. Raises ValueError if they have no local estimator in common, if a point
    stands for another token in each, or for none, and as `paired_shift` does.
    """
    _check_same_tokens(tokens_base, tokens_tuned)
    sequences = to_numpy(tokens_base["sequence"])
    of_base, of_tuned = local_values(base), local_values(tuned)
    both = [name for name in of_tuned if name in of_base]
    if not both and (of_base or of_tuned):
        raise ValueError(
            f"No local estimator is in both: the base model has {', '.join(of_base) or 'none'}, the fine-tuned one "
            f"{', '.join(of_tuned) or 'none'}. Measure both with one set of 'estimator_sets:'."
        )
    rows = [
        {"estimator": name} | paired_shift(of_base[name], of_tuned[name], sequences, samples=samples, seed=seed)
        for name in both
    ]
    return pa.Table.from_pylist(rows, schema=SHIFTS)


def _check_same_tokens(base: pa.Table, tuned: pa.Table) -> None:
    """Raise ValueError if a point of both tables stands for different tokens."""
    shared = min(len(base), len(tuned))  # a point is the number of its row
    different = np.zeros(shared, dtype=bool)
    for name in SAME_TOKEN:
        different |= to_numpy(base[name])[:shared] != to_numpy(tuned[name])[:shared]
    if different.any():
        point = int(np.argmax(different))
        there, here = (
            "{token!r} (id {token_id}) at position {position} of sequence {sequence}".format(
                **table.slice(point, 1).to_pylist()[0]
            )
            for table in (base, tuned)
        )
        raise ValueError(
            f"Unequal tokens: {int(different.sum())} of {shared} points stand for different tokens in the two models; "
            f"point {point} is {there} in the base model, {here} in the fine-tuned one. {MEND}"
        )


def _checked(whose: str, points: np.ndarray, values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    points, values = np.asarray(points), np.asarray(values, dtype=np.float64)
    check_points(whose, points, len(values), number, MEND)
    return points, values


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def collect_shifts(files: Iterable[tuple[str, str]], pairs: Sequence[Mapping[str, str]]) -> pa.Table:
    """The shifts of every compared model at all representations, with the columns that identify each row.

    files: Parquet files of estimates, each with that of the sampled tokens behind it. pairs: model, base and base_checkpoint.
    Raises ValueError, naming the files, if a model was not fine-tuned from its base or their tokens differ.
    """
    measured: dict[
        tuple, tuple[Mapping[str, Any], list[str], str]
    ] = {}  # identity, files of the parts of a set, tokens
    for file, tokens in files:
        for identity in read_identities(file).values():
            key = (identity["model"], identity["checkpoint"], *(identity[name] for name in SAME))
            measured.setdefault(key, (identity, [], tokens))[1].append(file)
    shifts = []
    progress = Progress("comparing", len(pairs), "pairs of models")
    for done, pair in enumerate(pairs, start=1):
        for (model, _, *same), (identity, parts, tokens) in measured.items():
            base = measured.get((pair["base"], pair["base_checkpoint"], *same))
            if model != pair["model"] or base is None:
                continue
            identity_of_base, base_parts, base_tokens = base
            with about(f"{', '.join(parts)} and {', '.join(base_parts)}"):
                _check_widths(identity, identity_of_base, pair)
                estimates = [
                    pa.concat_tables([read_estimates(path, identity["representation"]) for path in of_set])
                    for of_set in (base_parts, parts)
                ]
                table = compare_estimates(*estimates, read_table(base_tokens), read_table(tokens))
            against = {"base_model": pair["base"], "base_checkpoint": pair["base_checkpoint"]}
            shifts.append((identity | against, table))
        progress.report(done)
    return identified(shifts, SHIFTED)


def _check_widths(identity: Mapping[str, Any], identity_of_base: Mapping[str, Any], pair: Mapping[str, str]) -> None:
    width, width_of_base = identity["extrinsic_dimension"], identity_of_base["extrinsic_dimension"]
    if width != width_of_base:
        raise ValueError(
            f"their vectors have {width} and {width_of_base} coordinates: {pair['model']} was not fine-tuned from "
            f"{pair['base']}; name what it was made of under `comparisons:`, or as its `base` in the catalog."
        )
