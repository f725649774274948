"""Rows of datasets on the hub, found and, but for files of text, read by the library `datasets`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idsweep.data import hub_revisions
from idsweep.data.entries import needed_columns, source_split
from idsweep.data.loaders.registry import Rows
from idsweep.data.readers import ROWS_AT_ONCE, Batch
from idsweep.data.rows import OF_TEXT, File, rows_of

if TYPE_CHECKING:
    from datasets import DatasetBuilder, Features

# What a dataset's card may say about its files that changes no row, or that is done here as well.
UNDERSTOOD = ("name", "version", "data_dir", "data_files", "description", "features", "encoding", "sep", "delimiter")


@contextmanager
def of_hub(spec: Mapping[str, Any], path: None, source: str) -> Iterator[Rows]:
    """Rows of a dataset on the hub at the commit that its revision names.

    Of CSV, JSON and text files they are read as local ones are: `datasets` guesses types and changes what stands there.
    Raises ValueError, also while rows are read, if there is no such dataset, revision, configuration or split, if it was
    not read at that commit, and as `rows.of_files` does.
    """
    with _without_progress_bars():
        commit = _commit(spec)
        with _explained(spec, source):
            builder = _builder(spec, commit)
        if kind := _kind_of_text(builder):
            yield rows_of(_files(builder, spec, commit), kind, spec | _options(builder, source), commit)._replace(
                class_names=_class_names(builder.info.features)
            )
            return
        with _explained(spec, source):
            rows = _loaded(builder, spec)
        yield Rows(_batches(rows, spec, source), _class_names(rows.features), commit)


def _commit(spec: Mapping[str, Any]) -> str | None:
    """The commit to read; None for a local folder that stands for a dataset."""
    if not Path(spec["hub"]).is_dir():
        return hub_revisions.resolve(spec["hub"], spec.get("revision"))
    if "revision" in spec:
        raise ValueError(f"revision: {spec['hub']!r} is a local folder, which has none. Leave the key out.")
    return None


def _builder(spec: Mapping[str, Any], commit: str | None) -> DatasetBuilder:
    from datasets import load_dataset_builder
    from huggingface_hub import constants

    if commit is not None and constants.is_offline_mode():
        return _cached_builder(spec, commit)
    builder = load_dataset_builder(spec["hub"], name=spec.get("config"), revision=commit)
    # Where it does not reach the hub, `datasets` takes whatever its cache holds of the dataset.
    return builder if commit in (None, builder.hash) else _cached_builder(spec, commit)


def _cached_builder(spec: Mapping[str, Any], commit: str) -> DatasetBuilder:
    """What `datasets` has prepared of this very commit."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    owner, _, name = spec["hub"].rpartition("/")
    root = Path(config.HF_DATASETS_CACHE, "___".join([*filter(None, [owner]), camelcase_to_snakecase(name)]))
    prepared = sorted(folder for folder in root.glob(f"{spec.get('config', '*')}/*/{commit}") if folder.is_dir())
    if len(prepared) != 1:
        others = sorted({folder.name for folder in root.glob("*/*/*") if folder.is_dir()} - {commit})
        if prepared:
            content = f"several configurations of it ({', '.join(p.parts[-3] for p in prepared)}); set 'config'"
        else:
            content = f"commit {', '.join(others)} alone" if others else "nothing of it"
        raise ValueError(
            f"commit {commit} is needed, but the cache of datasets ({config.HF_DATASETS_CACHE}) holds {content}. Read it once "
            "where the hub is reached, without HF_HUB_OFFLINE."
        )
    configuration, version, _ = prepared[0].parts[-3:]
    builder = Cache(dataset_name=name, config_name=configuration, version=version, hash=commit, repo_id=spec["hub"])
    if builder.info.builder_name in ("csv", "json"):
        raise ValueError(
            f"the cache of datasets holds it as made from {builder.info.builder_name.upper()}, with types that were guessed. "
            "Unset HF_HUB_OFFLINE, or fetch the file and give it as a local 'path'."
        )
    return builder


def _kind_of_text(builder: DatasetBuilder) -> str | None:
    """The loader that reads the files of a dataset, if they are text."""
    return builder.name if builder.name in OF_TEXT else None


def _files(builder: DatasetBuilder, spec: Mapping[str, Any], commit: str | None) -> Mapping[str, File]:
    split, offered = source_split(spec), {str(name): names for name, names in builder.config.data_files.items()}
    if split not in offered:
        raise ValueError(f"{spec['hub']} has no split {split!r}; it has {', '.join(offered)}.")
    if commit is None:
        return {str(path): partial(nullcontext, Path(path)) for path in offered[split]}
    root = f"hf://datasets/{spec['hub']}@{commit}/"
    if elsewhere := [name for name in offered[split] if not name.startswith(root)]:
        raise ValueError(
            f"{spec['hub']}: its file {elsewhere[0]} is not of commit {commit}. Name files of it with 'file'."
        )
    names = [name.removeprefix(root) for name in offered[split]]
    return hub_revisions.files(spec["hub"], commit, names, bool(spec.get("streaming")))


def _options(builder: DatasetBuilder, source: str) -> dict[str, Any]:
    """How its card says that files of text are to be read. Raises ValueError if it says what is not done here."""
    config = builder.config
    for field in dataclasses.fields(config):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name not in UNDERSTOOD and getattr(config, field.name) != default:
            raise ValueError(
                f"{source}: its card says {field.name}: {getattr(config, field.name)!r}, which is not done here. Name its files "
                "with 'file' and read them with another loader, or fetch them and give a local 'path'."
            )
    given = {"delimiter": getattr(config, "sep", None), "encoding": getattr(config, "encoding", None)}
    return {key: value for key, value in given.items() if value is not None}


def _loaded(builder: DatasetBuilder, spec: Mapping[str, Any]) -> Any:
    if spec.get("streaming"):
        return builder.as_streaming_dataset(split=source_split(spec))
    builder.download_and_prepare()
    return builder.as_dataset(split=source_split(spec))


def _batches(rows: Any, spec: Mapping[str, Any], source: str) -> Iterator[Batch]:
    needed = needed_columns(spec)
    with _explained(spec, source):
        # As Arrow tables: row by row, `datasets` takes 70 times as long.
        for table in rows.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            names = table.column_names
            yield {name: table.column(name).to_pylist() if name in needed else [] for name in names}


def _class_names(features: Features | None) -> dict[str, list[str]]:
    """Names of classes by column, of those columns that hold ids of classes or lists of them."""
    found = {
        column: getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        for column, feature in (features or {}).items()
    }
    return {column: list(names) for column, names in found.items() if names}


@contextmanager
def _explained(spec: Mapping[str, Any], source: str) -> Iterator[None]:
    """Turn whatever `datasets` raises into a ValueError that says what could not be read, and why."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{source} cannot be read as {spec['loader']}, split {source_split(spec)!r}: {error}"
        ) from error


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
