"""Sequences of token ids in a .pt file of tensors, a Parquet file or a folder that `datasets` saved; they are measured as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from idsweep.data.entries import source_split
from idsweep.data.loaders.registry import Loader, Rows

IDS, MASK = "input_ids", "attention_mask"
ROWS_AT_ONCE = 1024


@contextmanager
def rows(spec: Mapping[str, Any], path: Path, source: str) -> Iterator[Rows]:
    """A row for each sequence: `text` holds its ids as decimal numbers, other columns are texts.

    Column `input_ids` holds the ids. Those where `attention_mask`, if there is one, is 0 are left out.

    Raises ValueError, also while rows are read, if the file is of another kind, holds more than tensors, or has no ids, and for ids
    that are no whole numbers from 0 on, or a mask of other values or lengths; the message names the row.
    """
    columns = _columns(spec, path)
    if IDS not in columns:
        raise ValueError(f"{source} has no {IDS!r}; it has {', '.join(columns) or 'nothing'}.")
    yield Rows(_batches(columns, source))


def _columns(spec: Mapping[str, Any], path: Path) -> Mapping[str, Sequence[Any]]:
    if path.is_dir():
        return _of_folder(spec, path)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read as parquet: {error}") from error
        return {name: table[name].to_pylist() for name in table.column_names}
    if path.suffix != ".pt":
        raise ValueError(f"path: {str(path)!r} is no .pt or .parquet file and no folder, of which this loader reads.")
    return _of_tensors(path)


def _of_tensors(path: Path) -> Mapping[str, Sequence[Any]]:
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} is no file of tensors: it is damaged, or a pickle that may hold code, none of which was run. Save its "
            f"{IDS} and {MASK} by torch.save as tensors in a dict."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dict with {IDS!r}.")
    return {
        str(name): value.numpy() if isinstance(value, torch.Tensor) else value
        for name, value in content.items()
        if isinstance(value, torch.Tensor | list)
    }


def _of_folder(spec: Mapping[str, Any], path: Path) -> Mapping[str, Sequence[Any]]:
    from datasets import DatasetDict, load_from_disk

    try:
        saved = load_from_disk(str(path))
    except (FileNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"path: {str(path)!r} is no folder that `save_to_disk` of `datasets` wrote: {error}"
        ) from error
    if isinstance(saved, DatasetDict):
        split = source_split(spec)
        if split not in saved:
            raise ValueError(f"split: {str(path)!r} has no {split!r}; it has {', '.join(saved)}.")
        saved = saved[split]
    return saved.with_format(None).to_dict()


def _batches(columns: Mapping[str, Sequence[Any]], source: str) -> Iterator[Mapping[str, list]]:
    number = len(columns[IDS])
    others = {name: values for name, values in columns.items() if name not in (IDS, MASK)}
    for name, values in columns.items():
        if len(values) != number:
            raise ValueError(f"{source}: {name} has {len(values)} rows, and {IDS} {number}.")
    masks = columns.get(MASK)
    for begin in range(0, number, ROWS_AT_ONCE):
        places = range(begin, min(begin + ROWS_AT_ONCE, number))
        yield {
            "text": [
                _text(columns[IDS][i], None if masks is None else masks[i], f"{source}, row {i + 1}") for i in places
            ],
            **{name: [str(values[i]) for i in places] for name, values in others.items()},
        }


def _text(ids: Any, mask: Any, at: str) -> str:
    ids = np.asarray(ids)
    if ids.ndim != 1 or (len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0)):
        raise ValueError(f"{at}: its {IDS} are not all whole numbers from 0 on.")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != ids.shape or not np.isin(mask, (0, 1)).all():
            raise ValueError(f"{at}: its {MASK} must hold a 0 or 1 for each of its {len(ids)} ids.")
        ids = ids[mask == 1]
    return " ".join(map(str, ids.tolist()))


LOADER = Loader(rows=rows, places=frozenset({"local"}), holds_ids=True)
