"""Contrasts against sums by hand, and against what the explorer's page computes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from idsweep.explorer.explorer import WEB
from idsweep.files.columns import ESTIMATES, IDENTITY, POINTS
from idsweep.files.parquet import write_table
from idsweep.files.representations import layer_of
from idsweep.files.vectors import read_estimates, read_identities, write_estimates
from idsweep.tables.collect import local_values
from idsweep.tables.contrasts import CONTRASTS, collect_contrasts
from idsweep.tables.paired import read_local
from scipy import stats

N_TOKENS = 60
ERRORS = {"twonn": 0.9, "mle": 0.01}  # of means: larger, and smaller, than clusters alone say
STEPS = {"step0": 0, "step5": 5, "step9": 9}
ENDS = {"neox": ("step0", "step9")}
Values = dict[tuple[str, str, str], dict[int, float]]  # checkpoint, representation, estimator -> point -> value


def write_tokens(path: Path, sequence: Sequence[int]) -> str:
    rows = [
        {"point": i, "sequence": one, "position": i, "token_id": 40, "token": "a", "special": False, "drawn": i}
        for i, one in enumerate(sequence)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=POINTS), {})
    return str(path)


def table_of(values: Mapping[str, Mapping[int, float]]) -> pa.Table:
    """Estimates of one representation: estimator -> point -> value, beside those that are not compared."""
    same = {"standard_error": np.nan, "n_points": 9, "n_undefined": 0}
    rows = []
    for estimator, of_points in values.items():
        local = {"estimator": estimator, "scope": "local", "variant": "data"} | same
        rows += [local | {"point": point, "value": value} for point, value in of_points.items()]
        rows += [local | {"variant": "data/2", "point": 0, "value": 99.0}]
        rows += [local | {"scope": "mean", "value": 99.0, "standard_error": ERRORS[estimator]}]
    return pa.Table.from_pylist(rows, schema=ESTIMATES)


def write_cells(
    path: Path, checkpoint: str, cells: Mapping[str, Mapping[str, Mapping[int, float]]], **more: Any
) -> str:
    """An estimates file of some representations: name -> estimator -> point -> value."""
    identity = {"set": "standard", "model": "neox", "group": "neox", "checkpoint": checkpoint, "dataset": "news"}
    identity |= {"step": STEPS.get(checkpoint), "cloud": "points", "extrinsic_dimension": 16} | more
    identities = {name: identity | {"representation": name, "layer": layer_of(name)} for name in cells}
    write_estimates(path, {name: table_of(values) for name, values in cells.items()}, identities, {})
    return str(path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Values, np.ndarray, list[tuple[str, str]]]:
    """Two estimators at three layers and a combination of layers, at three checkpoints; the first layer lacks points."""
    folder, generator = tmp_path_factory.mktemp("sweep"), np.random.default_rng(4)
    sequence = generator.permutation(np.repeat(np.arange(12), 5))  # those of a sequence do not stand together
    tokens = write_tokens(folder / "tokens.parquet", sequence.tolist())
    values: Values = {}
    files = []
    for checkpoint in ("step9", "step0", "step5"):
        for block, names in {"layers_0-2": ["layer_0", "layer_2"], "layers_3-5": ["layer_5"], "both": ["both"]}.items():
            cells: dict[str, dict[str, dict[int, float]]] = {}
            for name in names:
                points = generator.permutation(N_TOKENS)[: 41 if name == "layer_0" else N_TOKENS]
                for estimator in ("twonn", "mle"):
                    of_points = dict(zip(points.tolist(), generator.gamma(9, size=len(points)).tolist(), strict=True))
                    of_points |= dict.fromkeys(generator.choice(points, 3).tolist(), np.nan)
                    values[checkpoint, name, estimator] = cells.setdefault(name, {})[estimator] = of_points
            files.append((write_cells(folder / f"{checkpoint}-{block}.parquet", checkpoint, cells), tokens))
    return values, sequence, files


@pytest.fixture(scope="module")
def contrasts(swept: tuple[Values, np.ndarray, list[tuple[str, str]]]) -> pd.DataFrame:
    return collect_contrasts(swept[2], ENDS).to_pandas()


def pairs_of(values: Values, row: Any) -> tuple[list[int], np.ndarray, np.ndarray]:
    one = values[row.checkpoint, row.representation, row.estimator]
    other = values[row.other_checkpoint, row.other_representation, row.estimator]
    points = sorted(one.keys() & other.keys())
    return points, np.array([one[p] for p in points]), np.array([other[p] for p in points])


def by_hand(sequences: Sequence[int], values: Sequence[float]) -> tuple[int, int, float, float]:
    """Numbers of values and sequences, mean, and its error by clusters."""
    by_sequence: dict[int, list[float]] = {}
    for one, value in zip(sequences, values, strict=True):
        by_sequence.setdefault(one, []).append(value)
    number, count = sum(map(len, by_sequence.values())), len(by_sequence)
    mean = sum(map(sum, by_sequence.values())) / number
    squares = sum((sum(some) - len(some) * mean) ** 2 for some in by_sequence.values())
    return number, count, mean, np.sqrt(count / (count - 1) * squares) / number


def test_each_contrast_is_what_sums_by_hand_say(swept: tuple, contrasts: pd.DataFrame) -> None:
    values, sequence, _ = swept
    for row in contrasts.itertuples():
        points, one, other = pairs_of(values, row)
        pairs = [place for place, difference in enumerate(one - other) if not np.isnan(difference)]
        sequences = [sequence[points[place]] for place in pairs]
        number, count, mean, error = by_hand(sequences, (one - other)[pairs])
        (_, _, _, v), (_, _, _, w) = (by_hand(sequences, each[pairs]) for each in (one, other))
        phi, psi = (
            ERRORS[row.estimator]
            / by_hand(*zip(*((sequence[p], x) for p, x in cell.items() if x == x), strict=True))[3]
            for cell in (
                values[row.checkpoint, row.representation, row.estimator],
                values[row.other_checkpoint, row.other_representation, row.estimator],
            )
        )
        error *= max(1, ((phi * v) ** 2 + (psi * w) ** 2) / (v**2 + w**2)) ** 0.5
        half = stats.t(count - 1).ppf(0.975) * error
        assert (row.n_pairs, row.n_sequences, row.n_undefined) == (number, count, len(points) - number)
        found = (row.mean_difference, row.standard_error, row.lower, row.upper)
        assert found == pytest.approx((mean, error, mean - half, mean + half), rel=1e-10)
    assert (contrasts["n_undefined"] > 0).all() and contrasts["n_pairs"].min() < 40


def test_everything_that_is_comparable_is_compared_once(swept: tuple, contrasts: pd.DataFrame) -> None:
    values = swept[0]
    states, order = ["layer_0", "layer_2", "layer_5", "both"], list(STEPS)
    expected = []
    for estimator in ("twonn", "mle"):
        for checkpoint in order:
            means = {name: np.nanmean([*values[checkpoint, name, estimator].values()]) for name in states[:3]}
            highest = max(means, key=means.__getitem__)
            expected += [
                *(("last", checkpoint, name, "step9", name) for name in states if checkpoint != "step9"),
                *(("first", checkpoint, name, "step0", name) for name in states if checkpoint != "step0"),
                ("next_layer", checkpoint, "layer_0", checkpoint, "layer_2"),
                ("next_layer", checkpoint, "layer_2", checkpoint, "layer_5"),
                *(("highest_layer", checkpoint, name, checkpoint, highest) for name in means if name != highest),
            ]
    columns = ["contrast", "checkpoint", "representation", "other_checkpoint", "other_representation"]
    found = [*contrasts[columns].itertuples(index=False, name=None)]
    assert sorted(found) == sorted(expected)
    assert contrasts["checkpoint"].unique().tolist() == order
    assert contrasts["step"].equals(contrasts["checkpoint"].map(STEPS))
    assert contrasts["other_step"].equals(contrasts["other_checkpoint"].map(STEPS))
    layers = contrasts["other_representation"].map(layer_of)
    assert contrasts["other_layer"].equals(layers.astype(contrasts["other_layer"].dtype))
    assert set(contrasts["set"]) == {"standard"} and set(contrasts["extrinsic_dimension"]) == {16}


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's own statistics")
def test_contrasts_are_those_that_the_page_computes(tmp_path: Path, swept: tuple, contrasts: pd.DataFrame) -> None:
    values, sequence, _ = swept
    asked = []
    for row in contrasts.itertuples():
        cells = (
            values[row.checkpoint, row.representation, row.estimator],
            values[row.other_checkpoint, row.other_representation, row.estimator],
        )
        full = [
            [None if np.isnan(cell.get(point, np.nan)) else cell[point] for point in range(N_TOKENS)] for cell in cells
        ]
        means = [{"error": ERRORS[row.estimator], "number": N_TOKENS - some.count(None)} for some in full]
        asked.append([*full, means])
    quantiles = [None, *stats.t.ppf(0.975, np.arange(1, 13)).tolist()]
    (tmp_path / "asked.json").write_text(
        json.dumps({"asked": asked, "sequence": sequence.tolist(), "quantiles": quantiles})
    )
    (tmp_path / "run.mjs").write_text(
        f"""
        import {{ readFileSync }} from "node:fs";
        import {{ pairedDifference }} from "{WEB / "statistics.js"}";
        const {{ asked, sequence, quantiles }} = JSON.parse(readFileSync("{tmp_path / "asked.json"}"));
        const numbers = (some) => some.map((one) => one ?? NaN);
        const found = asked.map(([one, other, means]) => pairedDifference(numbers(one), numbers(other), sequence, quantiles, means));
        console.log(JSON.stringify(found));
        """
    )
    said = subprocess.run(["node", tmp_path / "run.mjs"], capture_output=True, text=True, check=True).stdout
    page = pd.DataFrame(json.loads(said))
    for column, name in {"pairs": "n_pairs", "sequences": "n_sequences"}.items():
        assert page[column].tolist() == contrasts[name].tolist()
    for column, name in {"difference": "mean_difference", "lower": "lower", "upper": "upper"}.items():
        np.testing.assert_allclose(contrasts[name], page[column], rtol=1e-9, atol=1e-12)


def test_a_model_of_one_checkpoint_is_compared_over_layers_alone(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", [0, 0, 1, 1])
    cells = {f"layer_{layer}": {"mle": dict(enumerate([1.0 + layer, 2, 3, 4 + layer]))} for layer in (0, 1)}
    file = write_cells(tmp_path / "a.parquet", "final", cells)
    found = collect_contrasts([(file, tokens)], {}).to_pylist()
    assert [row["contrast"] for row in found] == ["next_layer", "highest_layer"]
    assert [(row["layer"], row["other_layer"], row["other_step"]) for row in found] == [(0, 1, None)] * 2
    assert [row["mean_difference"] for row in found] == [-0.5, -0.5]


def test_too_few_sequences_and_no_pairs_are_nan_and_counted(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", [3, 3, 3, 3])
    nothing = {"mle": dict.fromkeys(range(4), np.nan)}
    cells = {
        "layer_0": {"mle": dict(enumerate([1.0, 2, 3, 4]))},
        "layer_1": {"mle": {0: 3.0, 1: 5.0}},
        "layer_2": nothing,
    }
    found = collect_contrasts([(write_cells(tmp_path / "a.parquet", "final", cells), tokens)], {}).to_pandas()
    one, none = found[found["contrast"] == "next_layer"].itertuples()
    assert (one.mean_difference, one.n_pairs, one.n_sequences, one.n_undefined) == (-2.5, 2, 1, 0)
    assert (none.n_pairs, none.n_sequences, none.n_undefined) == (0, 0, 2)
    assert np.isnan([one.lower, one.upper, one.standard_error, none.mean_difference, none.lower]).all()
    highest = found[found["contrast"] == "highest_layer"]
    assert highest[["layer", "other_layer"]].to_numpy().tolist() == [[0, 1], [2, 1]]  # none has no mean


def test_sets_datasets_and_clouds_are_not_compared_with_each_other(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", range(4))
    cells = {f"layer_{layer}": {"mle": dict(enumerate([1.0, 2, 3, 4 + layer]))} for layer in (0, 1)}
    others = ({}, {"set": "other"}, {"dataset": "films"}, {"cloud": "small"})
    files = [(write_cells(tmp_path / f"{i}.parquet", "final", cells, **more), tokens) for i, more in enumerate(others)]
    found = collect_contrasts(files, {})
    kinds = {tuple(row[key] for key in ("set", "dataset", "cloud")) for row in found.to_pylist()}
    assert len(found) == 8 and len(kinds) == 4


def test_a_sweep_without_local_estimates_has_no_contrasts(tmp_path: Path) -> None:
    assert collect_contrasts([], {}).equals(CONTRASTS.empty_table())
    file = write_cells(tmp_path / "a.parquet", "final", {"layer_0": {"mle": {}}})
    assert collect_contrasts([(file, "none.parquet")], {}).equals(CONTRASTS.empty_table())


@pytest.mark.parametrize(
    ("order", "ends", "message"),
    [
        (["step0", "step9"], ENDS, "neox at step0 come first; those at step9 must"),
        (["step9", "step5"], ENDS, "neox at step5 come after those of step9; those at step0 must"),
        (["step9", "step0", "step5", "step0"], ENDS, "neox at step0 are in two places"),
        (["step0", "step9"], {}, "neox at step9 come after those of step0; those at step0 must"),
    ],
)
def test_files_in_another_order_are_told(tmp_path: Path, order: list[str], ends: dict, message: str) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", range(4))
    cells = {"layer_0": {"mle": dict(enumerate([1.0, 2, 3, 4]))}}
    files = [(write_cells(tmp_path / f"{name}.parquet", name, cells), tokens) for name in order]
    with pytest.raises(ValueError, match=message):
        collect_contrasts(files, ends)


def test_points_that_are_none_of_the_tokens_are_told(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", range(4))
    file = write_cells(tmp_path / "a.parquet", "final", {"layer_0": {"mle": {2: 1.0, 7: 2.0}}})
    with pytest.raises(
        ValueError, match=r"a\.parquet, layer_0, mle: .* has points from 2 to 7; the sampled tokens are 0 to 3\."
    ):
        collect_contrasts([(file, tokens)], {})


def test_damaged_and_other_files_are_told(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", range(4))
    with pytest.raises(FileNotFoundError, match=r"lost\.parquet"):
        collect_contrasts([(str(tmp_path / "lost.parquet"), tokens)], {})
    with pytest.raises(ValueError, match=r"tokens\.parquet was written by .* which needs set, model"):
        collect_contrasts([(tokens, tokens)], {})
    file = Path(write_cells(tmp_path / "a.parquet", "final", {"layer_0": {"mle": {0: 1.0}}}))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a\.parquet is damaged"):
        collect_contrasts([(str(file), tokens)], {})


def test_local_values_are_read_as_by_the_readers_of_all_columns(swept: tuple) -> None:
    for file, _ in swept[2]:
        read = dict(zip(read_identities(file), read_local(file), strict=True))
        for name, (identity, of_estimators) in read.items():
            assert identity == read_identities(file)[name] and identity.keys() == set(IDENTITY.names)
            expected = local_values(read_estimates(file, name))
            assert of_estimators.keys() == expected.keys()
            for estimator, columns in of_estimators.items():
                for one, other in zip(columns[:2], expected[estimator], strict=True):
                    np.testing.assert_array_equal(one, other)
                assert columns.standard_error == ERRORS[estimator]


def test_a_representation_may_be_in_several_row_groups(tmp_path: Path, swept: tuple) -> None:
    """Where it has more rows than a row group holds."""
    file = swept[2][0][0]
    with pq.ParquetWriter(tmp_path / "split.parquet", pq.read_schema(file).remove_metadata()) as split:
        for place in range(pq.ParquetFile(file).num_row_groups):
            split.write_table(pq.ParquetFile(file).read_row_group(place), row_group_size=25)
    for one, other in zip(read_local(str(tmp_path / "split.parquet")), read_local(file), strict=True):
        assert repr(one) == repr(other)
