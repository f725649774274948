"""The dialogues of a prepared release, turn by turn."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from idsweep.data.entries import wanted_split
from idsweep.tracking.turns import Turn, turns_of

COLUMNS = ("dialogue", "turn", "speaker", "text", "state", "acts")


def read_dialogues(entry: Mapping[str, Any], file: str | Path) -> list[list[Turn]]:
    """The user turns of each dialogue of an entry's split.

    file: what `idsweep.data.dialogues.utterances` made of the release.

    Raises ValueError if the release has no states, if the split has no dialogue, and as `turns_of` does.
    """
    missing = {*COLUMNS} - {*pq.read_schema(file).names}
    if missing:
        raise ValueError(
            f"{file}: its release {entry.get('release')!r} has no {min(missing)}; a tracker needs one with states: multiwoz, convlab."
        )
    split = wanted_split(entry)
    rows = pq.read_table(file, columns=[*COLUMNS, "split"], filters=[("split", "=", split)]).to_pylist()
    try:
        dialogues = [list(turns_of(list(of_one))) for _, of_one in groupby(rows, key=itemgetter("dialogue"))]
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    dialogues = [turns for turns in dialogues if turns]
    if not dialogues:
        raise ValueError(f"{file}: its split {split!r} holds no dialogue that begins with a user.")
    return dialogues
