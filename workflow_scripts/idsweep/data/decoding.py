"""Files in another encoding than they were said to be in, told with the place of the first wrong byte."""

from __future__ import annotations

import codecs
from pathlib import Path


def undecodable(source: str | Path, encoding: str, offset: int | None) -> ValueError:
    """The error of a source whose byte `offset` is none of its encoding; None if nobody knows which."""
    where = "" if offset is None else f" at byte {offset} (the first is 0)"
    return ValueError(f"{source} cannot be decoded as {encoding}{where}. Set 'encoding', e.g. to latin-1.")


def first_undecodable_byte(path: Path, encoding: str, step: int = 2**20) -> int | None:
    """The place of the first byte of a file that cannot be decoded; None if all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    with path.open("rb") as file:
        while True:
            block = file.read(step)
            kept = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return read - kept + error.start
            if not block:
                return None
            read += len(block)
