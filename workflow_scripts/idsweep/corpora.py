"""Named datasets as sequences of text, read through the library `datasets`.

A dataset is one entry of the catalog, a plain mapping:

    loader         text | csv | json | parquet | hub
    package, file  a file inside an installed Python package ...
    path           ... or a local file (.gz, .bz2 and .xz are unpacked while reading) ...
    hub            ... or an id on the hub, with `config` and `revision` if wanted
    split          default: train
    encoding       of text, csv and json files; default: utf-8
    column         which column is the text (default: text), or
    template       how a row becomes text, e.g. "{title}\\n{body}"
    remove         regular expression, every match of which is deleted from each text
    drop_prefixes  texts that begin with one of these are left out
    strip          remove white space around each text; default: true

Empty texts are always left out.
"""

from __future__ import annotations

import codecs
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from idsweep.packages import path_in_package

LOADERS = ("text", "csv", "json", "parquet", "hub")
LOADERS_WITH_ENCODING = ("text", "csv", "json")
COMPRESSED = (".gz", ".bz2", ".xz")
SOURCE_KEYS = ("package", "file", "path", "hub", "config", "revision", "split", "encoding")
TEXT_KEYS = ("column", "template", "remove", "drop_prefixes", "strip")
KEYS = frozenset(("loader", *SOURCE_KEYS, *TEXT_KEYS))


def corpus_file(spec: Mapping[str, Any]) -> Path | None:
    """The local file that determines a dataset's content, or None if it comes from the hub.

    Raises ValueError if the entry names no source or several, if the package that holds the file is
    not installed, or if the file is missing.
    """
    _check(spec)
    if spec["loader"] == "hub":
        return None
    path = path_in_package(spec["package"], spec["file"]) if "package" in spec else Path(spec["path"]).expanduser()
    if not path.is_file():
        raise ValueError(f"path: there is no file {str(path)!r}. Relative paths start at the working directory.")
    if path.suffix in COMPRESSED and spec.get("encoding", "utf-8").lower() not in ("utf-8", "utf8"):
        # The library `datasets` ignores the encoding of compressed files.
        raise ValueError(f"encoding: compressed files are read as UTF-8 only; unpack {path} to read it otherwise.")
    return path


def reading(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry shapes its texts besides the content of its file: all but where a local file lies."""
    return {key: value for key, value in spec.items() if key not in ("package", "file", "path")}


def load_sequences(spec: Mapping[str, Any], file: str | Path | None = None) -> list[str]:
    """The texts of a dataset, in the order of its rows, cleaned as the entry says; none is empty.

    file: the local file, for an entry that does not say where it lies (see `reading`).

    Raises ValueError if the source is missing, cannot be decoded or parsed, has no such column or
    split, or if no text is left.
    """
    file = corpus_file(spec) if not file else corpus_file(spec | {"path": str(file)})
    source = str(file) if file else spec["hub"]
    texts = list(_clean(_texts(_rows(spec, file, source), spec, source), spec))
    if not texts:
        raise ValueError(
            f"{source}: no text is left. Each is empty, emptied by 'remove' or left out by 'drop_prefixes'."
        )
    return texts


def choose_sequences(total: int, number: int | None, seed: int | None) -> np.ndarray:
    """Indices int64 (min(number, total),), increasing, of `number` out of `total` sequences.

    Drawn without replacement by PCG64 from `seed`; the first ones if `seed` is None; all if `number`
    is None or not smaller than `total`.

    Raises ValueError if `number` is not positive.
    """
    if number is None or number >= total:
        return np.arange(total)
    if number < 1:
        raise ValueError(f"sequences: {number} were asked for, at least 1 is needed.")
    if seed is None:
        return np.arange(number)
    return np.sort(np.random.Generator(np.random.PCG64(seed)).choice(total, size=number, replace=False))


def split_sequences(texts: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split texts at random into (train, held_out), each in the order given.

    `held_out` takes round(fraction * len(texts)) texts, drawn by PCG64 from `seed`.

    Raises ValueError if a side would be empty.
    """
    held = round(fraction * len(texts))
    if not 0 < held < len(texts):
        raise ValueError(
            f"A held-out fraction of {fraction} of {len(texts)} texts leaves one side empty; "
            f"it takes a fraction between 0 and 1 and enough texts."
        )
    out = set(choose_sequences(len(texts), held, seed).tolist())
    train = [text for i, text in enumerate(texts) if i not in out]
    return train, [text for i, text in enumerate(texts) if i in out]


def _check(spec: Mapping[str, Any]) -> None:
    if unknown := sorted(set(spec) - KEYS):
        raise ValueError(f"A dataset has no key {unknown[0]!r}; it may have {', '.join(sorted(KEYS))}.")
    loader = spec.get("loader")
    if loader not in LOADERS:
        raise ValueError(f"loader: {loader!r} is not known; choose one of {', '.join(LOADERS)}.")
    sources = [key for key in ("package", "path", "hub") if key in spec]
    if len(sources) != 1 or ("package" in spec) != ("file" in spec):
        raise ValueError(
            f"A dataset has one source: 'package' with 'file', or 'path', or 'hub'; "
            f"given: {', '.join(sources) or 'none'}."
        )
    if (loader == "hub") != (sources == ["hub"]):
        raise ValueError(f"loader {loader!r} does not read from {sources[0]!r}; the loader 'hub' reads from 'hub'.")
    if "column" in spec and "template" in spec:
        raise ValueError("A dataset has either 'column' or 'template', not both.")
    if "remove" in spec:
        try:
            re.compile(spec["remove"])
        except re.error as error:
            raise ValueError(f"remove: {spec['remove']!r} is no regular expression: {error}.") from None
    if "encoding" in spec:
        try:
            codecs.lookup(spec["encoding"])
        except LookupError:
            raise ValueError(f"encoding: {spec['encoding']!r} is not known to Python.") from None
    try:
        list(string.Formatter().parse(spec.get("template", "")))
    except ValueError as error:
        raise ValueError(f"template: {spec['template']!r} cannot be filled in: {error}.") from None
    if "encoding" in spec and loader not in LOADERS_WITH_ENCODING:
        raise ValueError(f"encoding: it holds for {', '.join(LOADERS_WITH_ENCODING)}, not for {loader}.")


def _rows(spec: Mapping[str, Any], file: Path | None, source: str) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    split = spec.get("split", "train")
    encoding = spec.get("encoding", "utf-8")
    try:
        with _without_progress_bars():
            if file is None:
                rows = load_dataset(spec["hub"], spec.get("config"), revision=spec.get("revision"), split=split)
            else:
                # Streamed, a local file is read as it is now: no copy in a cache that could be out of date.
                options = {"encoding": encoding} if spec["loader"] in LOADERS_WITH_ENCODING else {}
                rows = load_dataset(spec["loader"], data_files={split: source}, split=split, streaming=True, **options)
            yield from rows
    except Exception as error:
        for cause in _causes(error):
            unknown = isinstance(cause, LookupError) and "unknown encoding" in str(cause)
            if unknown or isinstance(cause, UnicodeDecodeError):
                raise ValueError(
                    f"{source} cannot be decoded as {encoding}: {cause}. Set 'encoding', e.g. to latin-1."
                ) from error
        raise ValueError(f"{source} cannot be read as {spec['loader']}, split {split!r}: {error}") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _texts(rows: Iterable[Mapping[str, Any]], spec: Mapping[str, Any], source: str) -> Iterator[str]:
    template = spec.get("template", "{" + spec.get("column", "text") + "}")
    for row in rows:
        try:
            yield template.format_map({column: "" if value is None else value for column, value in row.items()})
        except KeyError as missing:
            raise ValueError(f"{source} has no column {missing}; its columns are {', '.join(row)}.") from None


def _clean(texts: Iterable[str], spec: Mapping[str, Any]) -> Iterator[str]:
    remove = re.compile(spec["remove"]) if "remove" in spec else None
    prefixes = tuple(spec.get("drop_prefixes", ()))
    for text in texts:
        if remove:
            text = remove.sub("", text)
        if spec.get("strip", True):
            text = text.strip()
        if text and not (prefixes and text.startswith(prefixes)):
            yield text


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
