"""The maps of an embeddings file: each representation in the plane of its two first principal components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from idsweep.files.parquet import constant, to_arrow
from idsweep.files.representations import Combination, combine, of_layer
from idsweep.files.vectors import RepresentationsWriter, read_embeddings, read_points
from idsweep.machine.errors import about
from idsweep.machine.progress import Progress
from idsweep.neighbors.projection import project


def project_file(
    embeddings: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    provenance_of: Callable[[], Mapping[str, Any]],
) -> None:
    """Project all vectors of some representations of an embeddings file, each for itself, and write where they lie.

    embeddings: a Parquet file of vectors. settings: representations, and combinations, as the configuration has them.

    The output has a row for each representation and sampled token: representation string, point int32, x and y float32 (in the units of the
    vectors, their mean at 0), x_share and y_share float64 (the share of the variance along x and y, the same in all rows of a representation).

    Raises ValueError if the file does not hold a representation.
    """
    read = partial(read_embeddings, embeddings)
    progress = Progress("projecting", len(settings["representations"]), "representations")
    with RepresentationsWriter(output, provenance_of) as file:
        for done, name in enumerate(settings["representations"], start=1):
            with about(f"{embeddings}, {name}"):
                stored = name
                if name in settings["combinations"]:
                    combination = Combination(**settings["combinations"][name])
                    stored, vectors = of_layer(combination.layers[0]), combine(combination, read)
                else:
                    vectors = read(name)
                found = project(vectors)
                columns = {"point": to_arrow(read_points(embeddings, stored), pa.int32())}
                for place, axis in enumerate(("x", "y")):
                    columns[axis] = to_arrow(found.coordinates[:, place], pa.float32())
                for place, axis in enumerate(("x_share", "y_share")):
                    columns[axis] = constant(float(found.shares[place]), pa.float64(), len(vectors))
                file.write(name, columns)
            progress.report(done)
