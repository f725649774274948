"""Files as text: unpacked by what they hold, without a byte order mark, and told where a byte is none of the encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

# What files begin with, whatever their names end in.
GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
BZIP2, BZIP2_BLOCKS = b"BZh", (b"1AY&SY", b"\x17rE8P\x90")
NO_TEXT = {
    b"PK\x03\x04": "a zip archive: unpack it, and name the file inside",
    b"PAR1": "a Parquet file: set 'loader: parquet'",
}
# Byte order marks: the encoding that a file with it has, and further names that may be set for it. The longer ones first.
MARKS = {
    codecs.BOM_UTF8: ("utf-8", "utf-8-sig"),
    codecs.BOM_UTF32_LE: ("utf-32", "utf-32-le"),
    codecs.BOM_UTF32_BE: ("utf-32", "utf-32-be"),
    codecs.BOM_UTF16_LE: ("utf-16", "utf-16-le"),
    codecs.BOM_UTF16_BE: ("utf-16", "utf-16-be"),
}
READ_BY_CODEC = ("utf-8-sig", "utf-16", "utf-32")
LOOKED_AT = 4096  # bytes of a file's beginning
NULS = 0.1  # share of bytes that are 0; a stray one is text
BLOCK = 2**20


@contextmanager
def opened(file: Path | BinaryIO, name: str, encoding: str = "utf-8", newline: str | None = None) -> Iterator[IO[str]]:
    """A file as text, unpacked (gzip, bzip2, xz, zstd) and without the byte order mark at its beginning.

    file: a path, or an open binary file that can seek. name: for messages. newline: as Python's `open` takes it; by default
    \\r\\n and \\r become \\n.

    Raises ValueError, also while it is read, if it is no text, has the mark of another encoding, holds a byte that is none
    of its encoding (the message tells its place), or is packed and damaged.
    """
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(_unpacked(file, name))
            _skip_mark(plain, name, encoding)
            yield stack.enter_context(io.TextIOWrapper(plain, encoding=encoding, newline=newline))
        except UnicodeDecodeError as error:
            raise _undecodable(name, encoding, _first_undecodable_byte(file, name, encoding)) from error
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise ValueError(f"{name} cannot be read to its end: {error}. Is it cut short?") from error


@contextmanager
def _unpacked(file: Path | BinaryIO, name: str) -> Iterator[io.BufferedReader]:
    with ExitStack() as stack:
        raw = stack.enter_context(file.open("rb", buffering=0)) if isinstance(file, Path) else file
        raw.seek(0)
        first = raw.read(10)
        raw.seek(0)
        if what := next((what for mark, what in NO_TEXT.items() if first.startswith(mark)), None):
            raise ValueError(f"{name} is no text but {what}.")
        if first.startswith(GZIP):
            raw = stack.enter_context(gzip.open(raw))
        elif first.startswith(BZIP2) and first[4:].startswith(BZIP2_BLOCKS):
            raw = stack.enter_context(bz2.open(raw))
        elif first.startswith(XZ):
            raw = stack.enter_context(lzma.open(raw))
        elif first.startswith(ZSTD):
            import pyarrow as pa

            raw = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))
        yield io.BufferedReader(raw, BLOCK)


def _skip_mark(plain: io.BufferedReader, name: str, encoding: str) -> None:
    first, codec = plain.peek(LOOKED_AT)[:LOOKED_AT], codecs.lookup(encoding).name
    mark = next((mark for mark in MARKS if first.startswith(mark)), None)
    if mark is None:
        if first.count(0) > NULS * len(first) and not codec.startswith(("utf-16", "utf-32")):
            raise ValueError(
                f"{name} holds NUL bytes, so it is no text in {encoding}. If it is one, set 'encoding' (--encoding of idsweep measure), e.g. to utf-16-le."
            )
        return
    if codec not in MARKS[mark]:
        marked = MARKS[mark][0]
        raise ValueError(
            f"{name} begins with the byte order mark of {marked}, not of {encoding}. Set 'encoding: {marked}' (--encoding {marked} of idsweep measure)."
        )
    if codec not in READ_BY_CODEC:
        plain.read(len(mark))


def _undecodable(source: str, encoding: str, offset: int | None) -> ValueError:
    where = "" if offset is None else f" at byte {offset} (the first is 0)"
    return ValueError(
        f"{source} cannot be decoded as {encoding}{where}. Set 'encoding' (--encoding of idsweep measure), e.g. to latin-1."
    )


def _first_undecodable_byte(file: Path | BinaryIO, name: str, encoding: str) -> int | None:
    """The place, in the unpacked file, of the first byte that cannot be decoded; None if all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    with _unpacked(file, name) as plain:
        while True:
            block = plain.read(BLOCK)
            kept = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return read - kept + error.start
            if not block:
                return None
            read += len(block)
