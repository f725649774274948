"""What was measured so far: a table that grows with the training, in memory and as files that a sweep reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.columns import ESTIMATES
from idsweep.files.parquet import provenance, read_table, require_columns, write_table
from idsweep.live.estimates import Summary

TABLE = pa.schema(
    [
        pa.field("step", pa.int64()),
        pa.field("representation", pa.string()),
        pa.field("value", pa.float64()),  # the mean, by the name that `metrics:` of a sweep reads
        pa.field("median", pa.float64()),
        pa.field("standard_error", pa.float64()),
        pa.field("n_points", pa.int32()),
        pa.field("n_undefined", pa.int32()),
        pa.field("extrinsic_dimension", pa.int32()),
        pa.field("runtime", pa.float64()),  # seconds that the step's measurement took, of all representations
    ]
)
METRICS = "metrics"  # folder of files with one curve each


class Measurements:
    """Rows of `TABLE`, one for each step and representation, in the order of the steps.

    folder: where they are kept as local_dimension.parquet and .csv, each curve by itself as metrics/local_dimension_NAME.csv, and the values of
    all points as points/step_N.parquet; None keeps them in memory alone. settings: what shapes the numbers, kept with them.

    What the folder holds is gone on with. Raises ValueError if it holds measurements with other settings.
    """

    def __init__(self, folder: str | Path | None, settings: Mapping[str, Any]) -> None:
        self.folder = None if folder is None else Path(folder).absolute()  # a training may change its directory
        self._settings = dict(settings)
        self.table = TABLE.empty_table()
        if self.folder is not None and (file := self.folder / "local_dimension.parquet").is_file():
            _check_same(file, self._settings)
            table = read_table(file)
            require_columns(file, table.column_names, TABLE.names)
            self.table = table.select(TABLE.names)

    def has(self, step: int) -> bool:
        return bool(pc.any(pc.equal(self.table["step"], step)).as_py())

    def add(
        self, step: int, runtime: float, summaries: Mapping[str, Summary], estimates: Mapping[str, pa.Table]
    ) -> None:
        """Add what was measured at a step."""
        rows = [
            {"step": step, "representation": name, "value": found.mean, "runtime": runtime}
            | {key: value for key, value in found._asdict().items() if key in TABLE.names}
            for name, found in summaries.items()
        ]
        self.table = pa.concat_tables([self.table, pa.Table.from_pylist(rows, schema=TABLE)]).sort_by("step")
        if self.folder is not None:
            parts = [
                table.append_column("representation", pa.array([name] * len(table)))
                for name, table in estimates.items()
            ]
            self._write(self.folder / "points" / f"step_{step}.parquet", pa.concat_tables(parts))
            self._write_curves()

    def forget_after(self, step: int) -> None:
        """Leave out what was measured after a step that a training goes on from."""
        kept = self.table.filter(pc.less_equal(self.table["step"], step))
        if len(kept) == len(self.table):
            return
        gone = set(self.table["step"].to_pylist()) - set(kept["step"].to_pylist())
        self.table = kept
        if self.folder is not None:
            for one in gone:
                (self.folder / "points" / f"step_{one}.parquet").unlink(missing_ok=True)
            self._write_curves()

    def points(self, step: int) -> pa.Table:
        """Columns of `columns.ESTIMATES` and `representation`: the values of all points at a step. Needs a folder."""
        return read_table(self.folder / "points" / f"step_{step}.parquet").select([*ESTIMATES.names, "representation"])

    def curves(self) -> dict[str, Path]:
        """Representation -> file of its curve, with the columns step and value."""
        names = pc.unique(self.table["representation"]).to_pylist()
        return {name: self.folder / METRICS / f"local_dimension_{name}.csv" for name in names}

    def _write_curves(self) -> None:
        self._write(self.folder / "local_dimension.parquet", self.table)
        _write_csv(self.folder / "local_dimension.csv", self.table)
        for name, file in self.curves().items():
            _write_csv(file, self.table.filter(pc.equal(self.table["representation"], name)))

    def _write(self, file: Path, table: pa.Table) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_table(file, table, {"settings": self._settings})


def _write_csv(file: Path, table: pa.Table) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(file) as unfinished:
        pyarrow.csv.write_csv(table, unfinished)


def _check_same(file: Path, settings: Mapping[str, Any]) -> None:
    before = provenance(file).get("settings", {})
    if differing := sorted(
        (key for key in settings.keys() | before.keys() if settings.get(key) != before.get(key)),
        key=lambda key: key == "source",
    ):
        key = differing[0]
        if key == "source":
            raise ValueError(
                f"{file} was measured at other tokens or inputs (of other texts, of another tokenizer): its curve cannot be gone on with. "
                "Give another folder, or delete this one."
            )
        raise ValueError(
            f"{file} was measured with {key}: {before.get(key)!r}, not {settings.get(key)!r}: its curve cannot be gone on with. Give "
            "another folder, or delete this one."
        )
