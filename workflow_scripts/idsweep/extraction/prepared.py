"""Passes that are made ahead: a checkpoint is loaded once for all datasets that still need it.

Every pass has a job of its own, so that a new dataset runs that dataset's passes alone. Before them comes one job for each
checkpoint, which makes all passes that are missing and leaves them in a folder beside the results; the pass's own
job then moves its files into place. What could not be made ahead is made by its own job, as if there were no such folder.
This module imports neither torch nor transformers: moving files is all that most jobs do.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.files.parquet import is_current

log = logging.getLogger(__name__)

OUTPUTS = ("embeddings", "predictions", "losses")
RESOURCES = ("weights", "adapter", "device", "tokenizer", "padding_side", "batch_tokens")  # of a job, for its passes
BEGUN = "begun"  # an empty file: a pass was tried here, and did not end well


class Pass(NamedTuple):
    """One pass of a checkpoint, over the sampled sequences of one dataset.

    settings, signature: of its job. tokens, sequences: Parquet files. begin: called when it begins, gives what has a method
    `provenance`, as `workflow.script.Job`.
    """

    settings: Mapping[str, Any]
    signature: str
    tokens: str
    sequences: str
    begin: Callable[[], Any]


def passes_of(
    asked: Mapping[str, Mapping[str, Any]],
    tokens: Sequence[str],
    sequences: Sequence[str],
    begin: Callable[[str, str], Any],
) -> dict[str, Pass]:
    """The passes of a checkpoint by dataset.

    asked: dataset -> settings and signature. tokens, sequences: Parquet files, in the order of `asked`. begin: called with a
    dataset and its file of tokens when its pass begins.
    """
    files = zip(asked.items(), tokens, sequences, strict=True)
    return {
        dataset: Pass(**one, tokens=of_tokens, sequences=of_sequences, begin=partial(begin, dataset, of_tokens))
        for (dataset, one), of_tokens, of_sequences in files
    }


def missing(passes: Mapping[str, Pass], written: Mapping[str, Mapping[str, str]]) -> dict[str, Pass]:
    """The passes, by dataset, of which something that stays is not there, damaged, or not current.

    written: dataset -> output -> path.
    """
    return {
        dataset: one
        for dataset, one in passes.items()
        if not all(is_current(path, one.signature) for path in written[dataset].values())
    }


def make_ahead(folder: Path, passes: Mapping[str, Pass], make: Callable[[Pass, Mapping[str, Path]], None]) -> None:
    """Make the passes over several datasets, one after the other, each into a folder of its name below `folder`.

    make: writes the files of a pass, given output -> path. A pass that raises an error is left to its own job, where the
    error is told; so is one in which this process was killed the last time, since it would be killed again and keep the
    others from being used.
    """
    for dataset, one in passes.items():
        place = folder / dataset
        if all(is_current(path, one.signature) for path in files_in(place).values()):
            continue
        if (place / BEGUN).exists():
            log.warning("%s is left to its own job: the last attempt here did not end well", dataset)
            continue
        place.mkdir(parents=True, exist_ok=True)
        (place / BEGUN).touch()
        try:
            make(one, files_in(place))
        except Exception:
            log.exception("%s is left to its own job", dataset)
            continue
        (place / BEGUN).unlink()


def take(folder: Path, outputs: Mapping[str, str], signature: str) -> bool:
    """Move the files of a pass that was made ahead to where they belong. False if it was not, or with another signature.

    folder: of the dataset. outputs: output -> path.
    """
    ready = files_in(folder)
    if not all(is_current(path, signature) for path in ready.values()):
        return False
    for name, path in ready.items():
        Path(outputs[name]).parent.mkdir(parents=True, exist_ok=True)
        path.replace(outputs[name])
    forget(folder)
    return True


def forget(folder: Path) -> None:
    """Delete what is left of a pass that was made ahead, or tried."""
    shutil.rmtree(folder, ignore_errors=True)


def files_in(folder: Path) -> dict[str, Path]:
    """Output -> path of a pass that is made ahead."""
    return {name: folder / f"{name}.parquet" for name in OUTPUTS}
