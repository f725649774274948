"""Which tokens have high or low local dimension, and how that goes with what the model makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.data.pieces import PARTS, context, parts, scheme_of
from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import to_numpy
from idsweep.statistics.resampling import COEFFICIENTS, SAMPLES, correlation_interval, mean_interval
from idsweep.tables.collect import local_values


def _floats(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.float64(), nullable=False) for name in names]


ESTIMATOR = pa.field("estimator", pa.string(), nullable=False)
SIZE = [pa.field("n_tokens", pa.int32(), nullable=False), pa.field("n_sequences", pa.int32(), nullable=False)]
LOSS_CORRELATIONS = pa.schema(
    [
        ESTIMATOR,
        pa.field("measure", pa.string(), nullable=False),
        pa.field("coefficient", pa.string(), nullable=False),
        *_floats("value", "lower", "upper"),
        *SIZE,
        pa.field("n_undefined", pa.int32(), nullable=False),
    ]
)
LOSSES = pa.schema([*_floats("loss", "lower", "upper", "perplexity"), *SIZE])
TOKEN_EXTREMES = pa.schema(
    [
        ESTIMATOR,
        pa.field("end", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("point", pa.int32(), nullable=False),
        *_floats("value"),
        *(pa.field(name, pa.string(), nullable=False) for name in ("token", "before", "after")),
    ]
)
TOKEN_GROUPS = pa.schema(
    [
        ESTIMATOR,
        pa.field("by", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        *_floats("mean", "q25", "median", "q75"),
    ]
)
LEAST_OF_TOKEN = 5  # values of a token that has a row of its own


# ---- losses


def mean_loss(predictions: pa.Table, tokens: pa.Table, *, samples: int = SAMPLES, seed: int = 0) -> pa.Table:
    """One checkpoint's loss on one dataset: one row, columns of `LOSSES`; none if no token has a log-probability.

    predictions: columns of losses.TOKEN_MEASURES; tokens: columns of columns.POINTS.
    `loss` is the mean of −log-probability over the tokens that have one, in nats per token, `lower` to `upper` its 95 %
    interval over sequences drawn anew (resampling.cluster_bootstrap), NaN for one sequence; `perplexity` exp(loss).

    Raises ValueError if a prediction is of no token.
    """
    log_probability = _measures(predictions, tokens)["log_probability"]
    defined = ~np.isnan(log_probability)
    if not defined.any():
        return LOSSES.empty_table()
    clusters = to_numpy(tokens["sequence"])[defined]
    interval = mean_interval(-log_probability[defined], clusters, samples=samples, seed=seed)
    row = {"loss": interval.value, "lower": interval.lower, "upper": interval.upper}
    return pa.Table.from_pylist([row | {"perplexity": np.exp(interval.value)} | _size(clusters)], schema=LOSSES)


def loss_correlations(
    estimates: pa.Table, tokens: pa.Table, predictions: pa.Table | None, *, samples: int = SAMPLES, seed: int = 0
) -> pa.Table:
    """Local estimates against measures of the tokens: a row for each local estimator, measure and coefficient.

    estimates: columns of columns.ESTIMATES, of one representation; local values of the data count. tokens: columns.POINTS.
    predictions: losses.TOKEN_MEASURES; None of a vocabulary. Returns columns of `LOSS_CORRELATIONS`.
    Over the tokens for which both are defined; 95 % intervals over sequences drawn anew (resampling.cluster_bootstrap).
    NaN where one of the two is constant. n_undefined: further tokens, which the model predicts, but whose estimate or
    measure is undefined. Without rows if no token has a log-probability.

    Raises ValueError if an estimate or a prediction is of no token.
    """
    measures = _measures(predictions, tokens)
    rows = []
    if measures and not np.isnan(measures["log_probability"]).all():
        sequences, predicted = to_numpy(tokens["sequence"]), ~np.isnan(measures["log_probability"])
        for name, (points, values) in _local_values(estimates, tokens).items():
            points, values = points[predicted[points]], values[predicted[points]]
            for measure, of_token in measures.items():
                defined = ~(np.isnan(values) | np.isnan(of_token[points]))
                x, y, clusters = values[defined], of_token[points[defined]], sequences[points[defined]]
                numbers = _size(clusters) | {"n_undefined": int(np.count_nonzero(~defined))}
                for coefficient in COEFFICIENTS:
                    interval = correlation_interval(coefficient, x, y, clusters, samples=samples, seed=seed)
                    row = {"estimator": name, "measure": measure, "coefficient": coefficient}
                    rows.append(row | interval._asdict() | numbers)
    return pa.Table.from_pylist(rows, schema=LOSS_CORRELATIONS)


# ---- single tokens and groups of them


def token_extremes(
    estimates: pa.Table,
    tokens: pa.Table,
    sequences: pa.Table | None = None,
    predictions: pa.Table | None = None,
    *,
    number: int = 50,
) -> pa.Table:
    """The tokens of lowest and of highest local dimension, in context: columns of `TOKEN_EXTREMES`, and each measure.

    estimates: columns of columns.ESTIMATES, of one representation; local values of the data count. tokens: columns.POINTS.
    sequences: columns.SEQUENCES; without them (a vocabulary) there is no context. predictions: losses.TOKEN_MEASURES; without
    them there are no columns of measures. A measure named as one of `TOKEN_EXTREMES` has `token_` before it: `token_rank`.

    For each local estimator and `end` (lowest, highest), `number` rows by `rank` from 1 on, the most extreme first, ties
    by point; all if there are fewer defined values. `token` is the piece as it stands in the vocabulary, `before` and
    `after` are up to 8 tokens on either side as they stand in the text, where the tokens' pieces are found in it (those
    of ids that no sampled token has are what is left between); else the pieces, joined, with … for the unknown ones.
    A point that is the mean over a sequence has the text's first 8 words after it.

    Raises ValueError if `number` is not positive, an estimate or a prediction is of no token, or a token's sequence is
    not among the sequences.
    """
    if number < 1:
        raise ValueError(f"number is {number}; at least 1 token for each end is needed, 50 are usual.")
    measures = _measures(predictions, tokens)
    piece_of = dict(zip(tokens["token_id"].to_pylist(), tokens["token"].to_pylist(), strict=True))
    scheme = scheme_of(piece_of.values())
    row_of = {} if sequences is None else {name: row for row, name in enumerate(sequences["sequence"].to_pylist())}
    rows = []
    for name, (points, values) in _local_values(estimates, tokens).items():
        defined = ~np.isnan(values)
        points, values = points[defined], values[defined]
        for end, order in (("lowest", np.lexsort((points, values))), ("highest", np.lexsort((points, -values)))):
            for rank, place in enumerate(order[:number].tolist(), start=1):
                point = int(points[place])
                token = tokens.slice(point, 1).to_pylist()[0]
                before = after = ""
                if sequences is not None:
                    text, ids = _sequence(sequences, row_of, token["sequence"])
                    before, after = context(text, [piece_of.get(id) for id in ids], token["position"], scheme)
                rows.append(
                    {"estimator": name, "end": end, "rank": rank, "point": point, "value": float(values[place])}
                    | {"token": token["token"], "before": before, "after": after}
                )
    found = pa.Table.from_pylist(rows, schema=TOKEN_EXTREMES)
    shown = to_numpy(found["point"])
    for name, values in measures.items():
        column = f"token_{name}" if name in TOKEN_EXTREMES.names else name
        not_predicted = np.isnan(measures["log_probability"][shown])
        found = found.append_column(column, pa.array(values[shown], pa.float64(), mask=not_predicted))
    return found


def token_groups(estimates: pa.Table, tokens: pa.Table, *, number: int = 50) -> pa.Table:
    """Local estimates summarised over groups of tokens, columns of `TOKEN_GROUPS`.

    estimates: columns of columns.ESTIMATES, of one representation; local values of the data count. tokens: columns.POINTS.

    Groups are made `by`
        token        the token as it stands in the vocabulary: the `number` with most defined values, at least 5
        frequency    the tokens' `count`, of those that have one, in powers of two: 0, 1, 2-3, 4-7 …
        position     the token's place in its sequence: 0, 1, 2-3, 4-7 …
        part         special, word_start, continuation (see `parts`)
        token_class  where the dataset has classes; tokens without one are left out
    `place` orders the groups of one kind from 0 on: tokens by decreasing number, classes by name. n counts the defined
    values. Their mean has no standard error: values of neighbouring tokens are measured in common neighbourhoods, so that
    few of them are independent. Points that are means over sequences are in no group but of classes.

    Raises ValueError if an estimate is of no token.
    """
    groupings = list(_groupings(tokens))
    rows = []
    for name, (points, values) in _local_values(estimates, tokens).items():
        defined = ~np.isnan(values)
        points, values = points[defined], values[defined]
        for by, labels, codes in groupings:
            of_value = codes[points]
            counted = np.bincount(of_value[of_value >= 0], minlength=len(labels))
            if by == "token":
                often = np.argsort(-counted, kind="stable")[:number]
                shown = often[counted[often] >= LEAST_OF_TOKEN]
            else:
                shown = np.flatnonzero(counted)
            for place, code in enumerate(shown.tolist()):
                here = of_value == code
                row = {"estimator": name, "by": by, "label": labels[code], "place": place, "n": int(counted[code])}
                rows.append(row | _summary(values[here]))
    return pa.Table.from_pylist(rows, schema=TOKEN_GROUPS)


def _groupings(tokens: pa.Table) -> Iterator[tuple[str, list[str], np.ndarray]]:
    """What groups are made by, the groups' labels in order, and the place of each token's among them, −1 without one."""
    position = to_numpy(tokens["position"])
    of_one_token = position != MEAN_POSITION
    kinds: dict[str, tuple[list[str], np.ndarray]] = {"token": _by_name(tokens["token"])}
    if tokens["count"].null_count < len(tokens):
        count = to_numpy(pc.fill_null(tokens["count"], -1))
        labels, codes = _by_power_of_two(np.maximum(count, 0))
        kinds["frequency"] = labels, np.where(count >= 0, codes, -1)
    kinds["position"] = _by_power_of_two(np.maximum(position, 0))
    part = parts(tokens)
    kinds["part"] = list(PARTS), np.select([part == name for name in PARTS], range(len(PARTS)))
    for by, (labels, codes) in kinds.items():
        yield by, labels, np.where(of_one_token, codes, -1)
    yield "token_class", *_by_name(tokens["token_class"])


def _by_name(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    names = sorted(pc.unique(column.drop_null()).to_pylist())
    codes = pc.fill_null(pc.index_in(column, pa.array(names, column.type)), -1)
    return names, codes.to_numpy()


def _by_power_of_two(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """0, 1, 2-3, 4-7 … of whole numbers from 0 on."""
    codes = np.frexp(values.astype(np.float64))[1]
    ranges = ((2**power, 2 ** (power + 1) - 1) for power in range(int(codes.max(initial=0))))
    return ["0", *(str(low) if low == high else f"{low}-{high}" for low, high in ranges)], codes


def _summary(values: np.ndarray) -> dict[str, float]:
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"mean": float(values.mean()), "q25": q25, "median": median, "q75": q75}


# ---- tables


def _measures(predictions: pa.Table | None, tokens: pa.Table) -> dict[str, np.ndarray]:
    """Measure -> float64 (M,) for all tokens, NaN where there is none; nothing without predictions."""
    if predictions is None:
        return {}
    points = to_numpy(predictions["point"])
    _check_points(points, tokens, "predictions")
    found = {}
    for name in predictions.column_names:
        if name != "point":
            found[name] = np.full(len(tokens), np.nan)
            found[name][points] = predictions[name].to_numpy()
    return found


def _local_values(estimates: pa.Table, tokens: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = local_values(estimates)
    for points, _ in found.values():
        _check_points(points, tokens, "estimates")
    return found


def _check_points(points: np.ndarray, tokens: pa.Table, what: str) -> None:
    if len(points) and not 0 <= points.min() <= points.max() < len(tokens):
        raise ValueError(
            f"The {what} have points from {points.min()} to {points.max()}; the sampled tokens are 0 to "
            f"{len(tokens) - 1}. Give the file of tokens/ that the model was measured at."
        )


def _sequence(sequences: pa.Table, row_of: Mapping[int, int], sequence: int) -> tuple[str, list[int]]:
    if sequence not in row_of:
        raise ValueError(
            f"Sequence {sequence} holds a sampled token and is not among the {len(sequences)} sequences. Give the "
            "files of tokens/ and sequences/ of the same dataset and tokenizer."
        )
    row = row_of[sequence]
    return sequences["text"][row].as_py(), sequences["input_ids"][row].as_py()


def _size(clusters: np.ndarray) -> dict[str, int]:
    return {"n_tokens": len(clusters), "n_sequences": len(np.unique(clusters))}
