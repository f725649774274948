"""Rows of files and of datasets on the hub, read by the library `datasets`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from idsweep.data.decoding import first_undecodable_byte, undecodable
from idsweep.data.entries import COMPRESSED, needed_columns, source_split
from idsweep.data.loaders import registry as loaders
from idsweep.data.loaders.registry import Rows

ROWS_AT_ONCE = 1000


@contextmanager
def of_files(spec: Mapping[str, Any], path: Path | None, source: str, **options: Any) -> Iterator[Rows]:
    """Rows of a local file, or of the files of a repository on the hub, by the reader of `datasets` of the loader's name.

    options: of that reader.

    Raises ValueError, also while rows are read, if the source is missing, cannot be decoded or parsed or has no such split.
    """
    with ExitStack() as stack:
        split = source_split(spec)
        if "hub" in spec:
            options |= {"data_files": {split: _hub_files(spec)}, "streaming": bool(spec.get("streaming"))}
        else:
            # Streamed, a local file is read as it is now: no copy in a cache that could be out of date.
            stack.enter_context(_without_counting())
            options |= {"data_files": {split: str(stack.enter_context(_unpacked(path)))}, "streaming": True}
        if "encoding" in spec:
            options["encoding"] = spec["encoding"]
        yield stack.enter_context(_loaded(spec["loader"], options, spec, path, source))


@contextmanager
def of_hub(spec: Mapping[str, Any], path: None, source: str) -> Iterator[Rows]:
    """Rows of a dataset on the hub. Raises ValueError as `of_files` does."""
    options = {"name": spec.get("config"), "revision": spec.get("revision"), "streaming": bool(spec.get("streaming"))}
    with _loaded(spec["hub"], options, spec, path, source) as rows:
        yield rows


@contextmanager
def _loaded(
    name: str, options: Mapping[str, Any], spec: Mapping[str, Any], path: Path | None, source: str
) -> Iterator[Rows]:
    from datasets import load_dataset

    with _without_progress_bars():
        with _explained(spec, path, source):
            rows = load_dataset(name, split=source_split(spec), **options)
        yield Rows(_batches(rows, needed_columns(spec), spec, path, source), rows.features)


def _hub_files(spec: Mapping[str, Any]) -> str:
    """Where `file` of a hub dataset lies, as the library `datasets` takes it."""
    revision = f"@{spec['revision']}" if "revision" in spec else ""
    return f"hf://datasets/{spec['hub']}{revision}/{spec['file'].replace('{split}', source_split(spec))}"


def _batches(
    rows: Any, needed: list[str], spec: Mapping[str, Any], path: Path | None, source: str
) -> Iterator[Mapping[str, list]]:
    with _explained(spec, path, source):
        # As Arrow tables: row by row, `datasets` takes 70 times as long.
        for table in rows.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            names = table.column_names
            yield {name: table.column(name).to_pylist() if name in needed else [] for name in names}


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary one that holds what a .zst file holds, which `datasets` cannot read here."""
    if path.suffix != ".zst":
        yield path
        return
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder, path.stem)
        try:
            with pa.input_stream(str(path), compression="zstd") as packed, unpacked.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        except OSError as error:
            raise ValueError(f"{path} cannot be unpacked: {error}") from error
        yield unpacked


@contextmanager
def _explained(spec: Mapping[str, Any], path: Path | None, source: str) -> Iterator[None]:
    """Turn whatever reading raises into a ValueError that says what could not be read, and why."""
    try:
        yield
    except Exception as error:
        encoding = spec.get("encoding", "utf-8")
        causes = list(_causes(error))
        if loaders.get(spec["loader"]).encoding and path and path.suffix not in COMPRESSED:
            if (offset := first_undecodable_byte(path, encoding)) is not None:
                raise undecodable(path, encoding, offset) from error
        elif any(isinstance(cause, UnicodeDecodeError) for cause in causes):
            raise undecodable(source, encoding, None) from error
        raise ValueError(
            f"{source} cannot be read as {spec['loader']}, split {source_split(spec)!r}: {error}"
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _without_counting() -> Iterator[None]:
    """Keep `datasets` from telling the hub that a local file is loaded: without a network that can take seconds."""
    from datasets import config

    before = config.HF_UPDATE_DOWNLOAD_COUNTS
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        config.HF_UPDATE_DOWNLOAD_COUNTS = before


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_on = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if were_on:
            enable_progress_bars()
