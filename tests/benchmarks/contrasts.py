"""What the table of contrasts takes of a long training: time of the CPU and memory.

python -m benchmarks.contrasts [--checkpoints N] [--layers N] [--points N] writes estimates of such a training into a temporary
folder, collects the table in a process of its own, and prints both. The usual size takes a minute on one core, most of it to write.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from idsweep.files.columns import ESTIMATES, POINTS
from idsweep.files.parquet import constant, write_table
from idsweep.files.representations import blocks, layer_of, of_layer
from idsweep.files.vectors import write_estimates
from idsweep.tables.contrasts import collect_contrasts

LAYERS_PER_JOB = 8
TOKENS_OF_A_SEQUENCE = 20
MODEL = "trained"


def write_case(folder: Path, checkpoints: int, layers: int, points: int) -> Iterator[tuple[str, str]]:
    """Files of estimates, the last checkpoint's first, each with that of the tokens."""
    generator = np.random.default_rng(0)
    tokens = folder / "tokens.parquet"
    number = np.arange(points)
    columns: dict[str, Any] = {name: number for name in ("point", "sequence", "position", "token_id", "count", "drawn")}
    columns |= {"sequence": number // TOKENS_OF_A_SEQUENCE, "token": ["a"] * points, "special": [False] * points}
    columns |= {"token_class": [None] * points}
    write_table(tokens, pa.table(columns, POINTS), {})
    local = {"estimator": "twonn", "scope": "local", "variant": "data", "standard_error": np.nan, "n_points": points}
    local |= {"n_undefined": 0, "n_neighbors": 128, "scale": 1.0, "scale_stable": None}
    same = {name: constant(value, ESTIMATES.field(name).type, points) for name, value in local.items()}
    mean = {**local, "scope": "mean", "point": None}
    whole = blocks([of_layer(layer) for layer in range(layers)], LAYERS_PER_JOB, layers - 1)
    of_tokens = generator.gamma(9, size=points)
    for step in (checkpoints - 1, *range(checkpoints - 1)):
        for block, names in whole.items():
            identity = {"set": "standard", "model": MODEL, "group": MODEL, "checkpoint": f"step{step}", "step": step}
            identity |= {"dataset": "news", "cloud": "points", "extrinsic_dimension": 512}
            parts = {}
            for name in names:
                values = of_tokens + generator.normal(0, 0.5, points)
                table = pa.table(same | {"point": pa.array(number, pa.int32()), "value": values}, ESTIMATES)
                of_mean = pa.Table.from_pylist([mean | {"value": values.mean()}], ESTIMATES)
                parts[name] = pa.concat_tables([table, of_mean])
            file = folder / f"step{step}-{block}.parquet"
            identities = {name: identity | {"representation": name, "layer": layer_of(name)} for name in names}
            write_estimates(file, parts, identities, {})
            yield str(file), str(tokens)


def measure(files: list[tuple[str, str]], ends: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Collect the table: its rows, seconds of the CPU and by the clock, and memory of the process in MB, before and at most."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, cpu = time.perf_counter(), time.process_time()
    table = collect_contrasts(files, ends)
    taken = {"cpu": time.process_time() - cpu, "clock": time.perf_counter() - started}
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "contrasts.parquet", table, {})
        written = (Path(folder) / "contrasts.parquet").stat().st_size / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return taken | {"rows": len(table), "before": before, "most": most, "file": written}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=15)
    parser.add_argument("--points", type=int, default=1000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        files = [*write_case(Path(folder), options.checkpoints, options.layers, options.points)]
        ends = {MODEL: ("step0", f"step{options.checkpoints - 1}")}
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (files, ends))
    print(
        f"{options.checkpoints:,} checkpoints × {options.layers} layers × {options.points:,} points in {len(files):,} files: "
        f"{found['rows']:,.0f} contrasts in {found['cpu']:.1f} s of the CPU ({found['clock']:.1f} s by the clock), "
        f"{found['most']:.0f} MB at most, of which {found['before']:.0f} MB before it began; {found['file']:.1f} MB of Parquet"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
