"""The points of one cell of a sweep, a model's layer at a checkpoint on a dataset, as a file that Embedding Atlas opens."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.data.pieces import align, context, readable, scheme_of
from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import provenance, read_table, require_columns, to_arrow, to_numpy, write_table
from idsweep.files.representations import in_order, layer_of, of_layer
from idsweep.files.vectors import read_estimates, read_identities, read_neighbors
from idsweep.machine.names import nearest_name
from idsweep.neighbors.clouds import read_cloud
from idsweep.neighbors.projection import project
from idsweep.neighbors.variants import DATA
from idsweep.tables.collect import local_values

CELL = ("model", "checkpoint", "dataset", "cloud", "representation")  # in the order in which they are chosen
OPTIONS = {"representation": "layer"}  # what is called otherwise on the command line
SAMPLED_BY = ("sample_tokens", "sample_vocabulary")
CONTEXT = 8  # tokens on either side
COLUMNS = ("point", "sequence", "position", "token", "count", "token_class")  # of the sampled tokens
NEIGHBORS = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float64()))])
MAKE = "snakemake --profile profiles/local --configfile THE_SWEEP.yaml"


def write_points(results: Path, folder: Path | None = None, **named: str | None) -> str:
    """Write the points of one cell of a finished sweep as one Parquet file.

    Parameters
    ----------
    results : path
        The folder of the sweep's results.
    folder : path, optional
        Where the file is written; `atlas/` in the results without.
    **named : str
        model, checkpoint, dataset, cloud and layer (its number, or the name of a representation) of the cell. Left out or None: the first
        model, its last checkpoint by step, its first dataset and cloud, its last layer.

    Returns
    -------
    str
        What was chosen and written, and the command that shows it.

    Raises
    ------
    FileNotFoundError
        If hidden states, neighbours or other files of the cell are not there.
    ValueError
        If there is no such cell, or hidden states and neighbours are not of the same points.

    Examples
    --------
    >>> from pathlib import Path
    >>> from idsweep.tables.atlas import write_points
    >>> write_points(Path("results/demo"), model="minilm", layer="3")  # doctest: +SKIP
    'model: minilm …'
    """
    cell, choices = choose_cell(_measured(results), named)
    estimates, places = _estimates_of(results, cell)
    file = "/".join(places[key] for key in ("model", "checkpoint", "dataset"))
    embeddings = _needed(results / f"embeddings/{file}.parquet", "hidden states", "keep_embeddings")
    graph = _needed(results / f"neighbors/{file}/{places['cloud']}.parquet", "neighbours", "keep_neighbors")
    tokenizer = next(one for one in provenance(embeddings)["from"] if one["rule"] in SAMPLED_BY)["wildcards"][
        "tokenizer"
    ]
    sampled = f"{tokenizer}/{places['dataset']}.parquet"
    sequences, predictions = results / "sequences" / sampled, results / f"predictions/{file}.parquet"
    table, shares = describe_cell(
        cell["representation"],
        embeddings=embeddings,
        neighbors=graph,
        tokens=read_table(results / "tokens" / sampled),
        sequences=read_table(sequences) if sequences.is_file() else None,
        predictions=read_table(predictions) if predictions.is_file() else None,
        estimates=estimates,
    )
    name = "--".join([*(places[key] for key in CELL[:-1]), cell["representation"]])
    path = (results / "atlas" if folder is None else folder) / f"{name}.parquet"
    write_table(path, table, {"cell": cell, "variance": shares.tolist(), "from": [provenance(graph)]})
    first, second = (f"{100 * share:.1f} %" for share in shares)
    return "\n".join(
        [
            *choices,
            f"{len(table)} points. x and y hold {first} and {second} of the variance of the hidden states.",
            f"Written to {path}. Look at it with: embedding-atlas {shlex.quote(str(path))} "
            "--x x --y y --neighbors neighbors --text text",
        ]
    )


def choose_cell(
    cells: Sequence[Mapping[str, Any]], named: Mapping[str, str | None]
) -> tuple[dict[str, str], list[str]]:
    """One of the measured cells, and a line about each choice.

    cells: the keys of `CELL`, and step. named: as of `write_points`. Raises ValueError if there is none of a given name.
    """
    cell, lines = {}, []
    for key in CELL:
        option = OPTIONS.get(key, key)
        ordered, end = _ordered(key, cells)
        name = named.get(option)
        if name is not None and key == "representation" and name.isdecimal():
            name = of_layer(int(name))
        if name is not None and name not in ordered:
            near = nearest_name(name, ordered)
            raise ValueError(
                f"There is no {option} {name!r}"
                + (f" of {', '.join(cell.values())}" if cell else "")
                + f"; there are {', '.join(ordered)}."
                + (f" Is {near} meant?" if near else "")
            )
        if name is not None:
            why = "as named"
        elif len(ordered) == 1:
            why = "the only one"
        else:
            why = f"the {end} of {len(ordered)}; choose another with --{option}"
        cell[key] = name or (ordered[-1] if end == "last" else ordered[0])
        cells = [one for one in cells if one[key] == cell[key]]
        lines.append(f"{option}: {cell[key]} ({why})")
    return cell, lines


def _ordered(key: str, cells: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """The names of one kind in their order, and which of them is taken unless one is named."""
    if key == "representation":
        names = in_order(list({one[key] for one in cells}))
        layers = [name for name in names if layer_of(name) is not None]
        return [name for name in names if name not in layers] + layers, "last"
    if key == "checkpoint":
        cells = sorted(cells, key=lambda one: (one["step"] is not None, one["step"] or 0))
    return list(dict.fromkeys(one[key] for one in cells)), "last" if key == "checkpoint" else "first"


def _measured(results: Path) -> list[dict[str, Any]]:
    """Every cell of the sweep's tables, in their order."""
    cells: dict[tuple, None] = {}
    keys = (*CELL, "step")
    for name in ("local", "global"):
        path = results / f"tables/{name}.parquet"
        table = read_table(path)
        require_columns(path, table.column_names, [*keys, "variant"])
        rows = table.filter(pc.equal(table["variant"], DATA)).select(keys)
        cells |= dict.fromkeys(tuple(row.values()) for row in rows.to_pylist())
    if not cells:
        raise ValueError(f"The tables in {results / 'tables'} hold no estimates, so there are no points to show.")
    return [dict(zip(keys, values, strict=True)) for values in cells]


def _estimates_of(results: Path, cell: Mapping[str, str]) -> tuple[dict[tuple[str, str], pa.Table], dict[str, str]]:
    """The estimates of a cell, set and place of their file -> table, and how its model, checkpoint, dataset and cloud are called in paths."""
    found: dict[tuple[str, str], pa.Table] = {}
    places: dict[str, str] = {}
    for folder in sorted({path.parent for path in results.glob("estimates/*/*/*/*/*/*.parquet")}):
        files = sorted(folder.glob("*.parquet"))
        first = next(iter(read_identities(files[0]).values()))
        if any(first[key] != cell[key] for key in CELL[:-1]):
            continue
        places = dict(zip(CELL[:-1], folder.parts[-4:], strict=True))
        for file in files:
            if cell["representation"] in read_identities(file):
                found[first["set"], str(file)] = read_estimates(file, cell["representation"])
    if not found:
        raise FileNotFoundError(
            f"{results / 'estimates'} holds no estimates of {', '.join(cell.values())}, which the tables have. Make them with: {MAKE}"
        )
    return found, places


def _needed(path: Path, what: str, key: str) -> Path:
    if path.is_file():
        return path
    raise FileNotFoundError(
        f"{path} is not there: {what} are deleted after use unless the sweep keeps them. Set {key}: true in its "
        f"configuration, and make them again with: {MAKE} -- {path}"
    )


def describe_cell(
    representation: str,
    *,
    embeddings: str | Path,
    neighbors: str | Path,
    tokens: pa.Table,
    sequences: pa.Table | None,
    predictions: pa.Table | None,
    estimates: Mapping[tuple[str, str], pa.Table],
) -> tuple[pa.Table, np.ndarray]:
    """The points of a cell, a row for each, and the shares of the variance of x and y, float64 (2,).

    embeddings, neighbors: files. tokens: columns of columns.POINTS. sequences: columns.SEQUENCES; None of a vocabulary. predictions:
    columns of losses.TOKEN_MEASURES, None where there are none. estimates: set and anything else -> columns of columns.ESTIMATES.

    x, y: float32, the vectors as they were measured in the plane of their two first principal components. `neighbors`: ids (numbers of rows
    from 0 on) and distances of the exact neighbours, nearest first. text: the token in its context, in brackets. Local values stand in a
    column of their estimator's name, with that of the set behind it where several sets have it. Undefined values are null. Counts and classes are
    left out where no token has one.

    Raises ValueError if hidden states and neighbours are not of the same points.
    """
    points, indices, distances = read_neighbors(neighbors, representation)
    settings = provenance(neighbors)["settings"]
    cloud = read_cloud(embeddings, representation, settings["combinations"], settings["points"], tokens)
    if not np.array_equal(cloud.rows, points):
        raise ValueError(f"{embeddings} and {neighbors} are not of the same points. Run snakemake again.")
    coordinates, shares = project(cloud.vectors)
    rows = tokens.take(pa.array(points))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "x": to_arrow(coordinates[:, 0], pa.float32()),
        "y": to_arrow(coordinates[:, 1], pa.float32()),
        "neighbors": pa.StructArray.from_arrays(
            [_lists(indices, pa.int64()), _lists(distances, pa.float64())], fields=list(NEIGHBORS)
        ),
        "text": pa.array(list(_texts(rows, tokens, sequences)), pa.string()),
        **{name: rows[name] for name in COLUMNS if rows[name].null_count < len(rows)},
    }
    for name, (at, values) in _named_values(estimates):
        columns[name] = _placed(points, at, values)
    if predictions is not None and len(predictions):
        at = to_numpy(predictions["point"])
        for name in predictions.column_names:
            if name != "point":
                columns[name if name not in columns else f"token_{name}"] = _placed(
                    points, at, predictions[name].to_numpy()
                )
    return pa.table(columns), shares


def _lists(matrix: np.ndarray, kind: pa.DataType) -> pa.ListArray:
    ends = np.arange(len(matrix) + 1) * matrix.shape[1]
    return pa.ListArray.from_arrays(to_arrow(ends, pa.int32()), to_arrow(matrix.reshape(-1), kind))


def _placed(points: np.ndarray, at: np.ndarray, values: np.ndarray) -> pa.Array:
    """The values at `at` as a column over `points`, both increasing; null where there is none or it is undefined."""
    place = np.minimum(np.searchsorted(at, points), len(at) - 1)
    placed = np.where(at[place] == points, values[place], np.nan)
    return pa.array(placed, pa.float64(), mask=np.isnan(placed))


def _named_values(
    estimates: Mapping[tuple[str, str], pa.Table],
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    values = {
        (set_name, name): one for (set_name, _), table in estimates.items() for name, one in local_values(table).items()
    }
    names = [name for _, name in values]
    for (set_name, name), one in values.items():
        yield name if names.count(name) == 1 else f"{name}_{set_name}", one


def _texts(rows: pa.Table, tokens: pa.Table, sequences: pa.Table | None) -> Iterator[str]:
    """Each token in its context, in brackets; of a mean over a sequence, how its text begins; in a vocabulary the token."""
    piece_of = dict(zip(tokens["token_id"].to_pylist(), tokens["token"].to_pylist(), strict=True))
    scheme = scheme_of(piece_of.values())
    if sequences is None:
        yield from (readable([token], scheme) or token for token in rows["token"].to_pylist())
        return
    texts = {row["sequence"]: row for row in sequences.to_pylist()}
    shown: dict[int, Callable[[int], str]] = {}  # each text is searched for its tokens once
    for sequence, position in zip(*(rows[name].to_pylist() for name in ("sequence", "position")), strict=True):
        text, ids = texts[sequence]["text"], texts[sequence]["input_ids"]
        if position == MEAN_POSITION:
            yield context(text, [], position, scheme)[1]
        else:
            if sequence not in shown:
                shown[sequence] = _in_context(text, [piece_of.get(id) for id in ids], scheme)
            yield shown[sequence](position)


def _in_context(text: str, pieces: Sequence[str | None], scheme: str | None) -> Callable[[int], str]:
    """What shows the token at a position of a text: it stands in brackets among those around it."""
    begins = align(text, pieces, scheme)

    def part(first: int, last: int) -> str:
        if begins is None:
            return readable(pieces[first:last], scheme)
        return " ".join(text[begins[first] : begins[last]].split())

    def show(position: int) -> str:
        before = part(max(position - CONTEXT, 0), position)
        token = part(position, position + 1) or readable([pieces[position]], scheme)
        after = part(position + 1, min(position + 1 + CONTEXT, len(pieces)))
        return " ".join(filter(None, (before, f"[{token}]", after)))

    return show
