"""Entries of the catalog of datasets: the keys that each loader takes, checked, and the files that they name."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from idsweep.data.loaders import registry as loaders
from idsweep.data.loaders.registry import Loader
from idsweep.data.written import WIDEST, is_too_wide
from idsweep.files.hub_names import wrong_id, wrong_revision
from idsweep.files.packages import path_in_package

SPLIT = "train"  # where an entry says none
RELEASES = ("multiwoz", "sgd", "emowoz", "convlab", "made_up")
MADE_UP_KEYS = ("dialogues", "seed")  # of the release that the workflow makes itself
SPLITS = ("train", "validation", "test")  # of releases, and those that the library `datasets` makes of one
RELEASE_COLUMNS = ("text", "split", "dialogue", "turn", "speaker", "emotion")  # of `dialogues.utterances`
MORE_COLUMNS = {
    "multiwoz": ("state", "acts"),
    "convlab": ("original_id", "state", "acts"),
    "made_up": ("state", "acts"),
}  # release -> its columns beside these
PLACE_KEYS = ("package", "file", "path")
SOURCE_KEYS = (
    *PLACE_KEYS,
    "hub",
    "config",
    "revision",
    "release",
    "url",
    "split",
    "own_splits",
    "streaming",
    "encoding",
    "compose",
    *MADE_UP_KEYS,
)
TEXT_KEYS = ("where", "column", "template", "class_column", "class_names", "remove", "drop_prefixes", "strip")
LABEL_KEYS = ("label_column", "label_pattern")
SHARED_KEYS = frozenset(("loader", *SOURCE_KEYS, *TEXT_KEYS, *LABEL_KEYS))  # of loaders that read; each may have more


def corpus_file(spec: Mapping[str, Any]) -> Path | None:
    """The local file or folder that determines a dataset's content, or None if it comes from elsewhere.

    Of a release it is what `path` names, not the Parquet that is made of it.

    Raises ValueError if a key of the entry has a wrong value, if it names no source or several, if the package that
    holds the file is not installed, or if the file is missing or may not be read.
    """
    check_entry(spec)
    if (
        "hub" in spec
        or "url" in spec
        or spec.get("release") == "made_up"
        or loaders.get(spec["loader"]).generator is not None
    ):
        return None
    key = "file" if "package" in spec else "path"
    try:
        path = path_in_package(spec["package"], spec["file"]) if "package" in spec else Path(spec["path"]).expanduser()
        return _checked_path(path, spec, key)
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder that may not be entered, ~nobody
        raise ValueError(f"{key}: {spec[key]!r} cannot be looked for: {error}. Mend the path.") from error


def _is_local(hub_id: str) -> bool:
    """Whether it is the absolute path of a folder here, which the library `datasets` reads as if it were a repository."""
    try:
        return Path(hub_id).is_absolute() and Path(hub_id).is_dir()
    except OSError:  # a name that is too long
        return False


def _checked_path(path: Path, spec: Mapping[str, Any], key: str) -> Path:
    pattern = loaders.get(spec["loader"]).pattern
    inside = files_below(path, pattern) if pattern and path.is_dir() else []
    if locked := [each for each in (path, *inside) if each.exists() and not os.access(each, os.R_OK)]:
        raise ValueError(f"{key}: {str(locked[0])!r} may not be read. Change its permissions.")
    if pattern:
        if not path.is_dir():
            raise ValueError(f"{key}: there is no folder {str(path)!r}. Relative paths start at the working directory.")
        if not inside:
            raise ValueError(f"{key}: the folder {str(path)!r} holds no {pattern} file.")
        return path
    may_be_folder = "release" in spec or loaders.get(spec["loader"]).holds_ids
    if not path.is_file() and not (may_be_folder and path.is_dir()):
        raise ValueError(f"{key}: there is no file {str(path)!r}. Relative paths start at the working directory.")
    return path


def corpus_files(spec: Mapping[str, Any]) -> list[Path]:
    """All local files that determine a dataset's content, sorted; none if it comes from the hub.

    Not meant for releases, whose texts come from the Parquet made of them. Raises ValueError as `corpus_file` does.
    """
    path = corpus_file(spec)
    return [] if path is None else files_at(path, spec)


def files_at(path: Path, spec: Mapping[str, Any]) -> list[Path]:
    """The files that an entry's loader reads at the place of its dataset, sorted."""
    loader = loaders.get(spec["loader"])
    pattern = "*" if loader.holds_ids and path.is_dir() else loader.pattern
    return files_below(path, pattern) if pattern else [path]


def names_count(spec: Mapping[str, Any]) -> bool:
    """Whether the names of a dataset's files shape its texts, besides their content: column `file` of a folder."""
    return loaders.get(spec["loader"]).pattern is not None and "file" in needed_columns(spec)


def offers_splits(spec: Mapping[str, Any]) -> bool:
    """Whether another `split` than the entry's is other rows; if not, `split` is a name without meaning."""
    parted = "own_splits" in spec or "release" in spec or "hub" in loaders.get(spec["loader"]).places
    return parted or ("hub" in spec and "{split}" in spec["file"])


def reading(spec: Mapping[str, Any], *, labels: bool = False) -> dict[str, Any]:
    """What of an entry shapes its texts besides the content of its file: all but where a local file lies.

    labels: also what shapes their labels. Of texts that are made it is the loader's own keys alone: nothing is read, split or
        cleaned.
    """
    loader = loaders.get(spec["loader"])
    if loader.generator is not None:
        return {key: spec[key] for key in ("loader", *loaders.keys(spec["loader"])) if key in spec}
    left_out = (*(PLACE_KEYS if "hub" not in spec else ()), *(() if labels else LABEL_KEYS))
    kept = {key: value for key, value in spec.items() if key not in left_out}
    return kept | ({"where": _allowed(spec["where"])} if "where" in kept else {})


def _allowed(where: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Column -> the values that `where` names, written in one way: as a list, in one order, whole numbers as such."""
    allowed = {}
    for column, given in where.items():
        values = given if isinstance(given, list) else [given]
        values = [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]
        allowed[column] = [one for _, one in sorted({f"{type(one).__name__} {one}": one for one in values}.items())]
    return allowed


def check_entry(spec: Mapping[str, Any]) -> None:
    """Raises ValueError if an entry has a key that its loader does not take, or a value that cannot be."""
    loader = loaders.get(spec.get("loader"))
    if loader.generator is not None:
        _check_generated(spec)
    else:
        _check_read(spec, loader)
    if loader.check is not None:
        loader.check(spec)


def _check_generated(spec: Mapping[str, Any]) -> None:
    own = loaders.keys(spec["loader"])
    given = {key for key, value in spec.items() if value and key not in ("loader", "split", "strip")}
    if unused := sorted(given - own.keys()):
        raise ValueError(f"{unused[0]}: the loader {spec['loader']!r} takes no such key; it takes {', '.join(own)}.")
    if wanted_split(spec) != SPLIT:
        raise ValueError(
            f"split: the loader {spec['loader']!r} has none; each training takes its own part. Measure trained_on or held_out."
        )


def _check_read(spec: Mapping[str, Any], loader: Loader) -> None:
    known = SHARED_KEYS | loaders.keys(spec["loader"]).keys()
    if unknown := sorted(set(spec) - known):
        if owners := loaders.owners_of(unknown[0]):
            raise ValueError(
                f"{unknown[0]}: it holds for the loader {' or '.join(map(repr, owners))}, not for {spec['loader']!r}."
            )
        raise ValueError(f"A dataset has no key {unknown[0]!r}; it may have {', '.join(sorted(known))}.")
    _check_source(spec, loader)
    if "hub" in spec and not _is_local(spec["hub"]):
        for key, wrong in (("hub", wrong_id(spec["hub"])), ("revision", wrong_revision(spec.get("revision", "main")))):
            if wrong:
                raise ValueError(f"{key}: {wrong}.")
    if "compose" in spec and "state" not in MORE_COLUMNS.get(spec.get("release"), ()):
        with_states = ", ".join(release for release, columns in MORE_COLUMNS.items() if "state" in columns)
        raise ValueError(f"compose: it needs a release with states: {with_states}.")
    if "compose" in spec and (unused := [key for key in (*TEXT_KEYS, *LABEL_KEYS) if spec.get(key) and key != "strip"]):
        raise ValueError(
            f"{unused[0]}: turns are composed of all that was said, so that it has no use beside `compose`; remove it."
        )
    if "release" in spec:
        _check_release(spec)
    if "own_splits" in spec:
        _check_own_splits(spec)
    if "column" in spec and "template" in spec:
        raise ValueError("A dataset has either 'column' or 'template', not both.")
    if "class_names" in spec and "class_column" not in spec:
        raise ValueError("class_names: they name the classes of 'class_column', which is missing.")
    for key in ("template", "remove"):
        if "class_column" in spec and key in spec:
            raise ValueError(f"class_column: its classes belong to words of one column, so {key!r} cannot be used.")
    if "label_column" in spec and "label_pattern" in spec:
        raise ValueError("A dataset has either 'label_column' or 'label_pattern', not both.")
    for key in ("remove", "label_pattern"):
        try:
            pattern = re.compile(spec.get(key, "()"))
        except re.error as error:
            raise ValueError(f"{key}: {spec[key]!r} is no regular expression: {error}.") from None
        if key == "label_pattern" and pattern.groups != 1:
            raise ValueError(
                f"label_pattern: {spec[key]!r} has {pattern.groups} groups. Give it one, which is the label, as in "
                "'^__label__(\\w+)'; other brackets are (?:…)."
            )
    if "encoding" in spec:
        _check_encoding(spec["encoding"])
    if "template" in spec:
        _check_template(spec["template"])
    if strange := [name for name in spec.get("where", {}) if not isinstance(name, str)]:
        raise ValueError(f"where: {strange[0]!r} is not the name of a column; put it in quotes if it is.")
    if "encoding" in spec and not loader.encoding:
        encoded = ", ".join(name for name in loaders.names() if loaders.get(name).encoding)
        raise ValueError(f"encoding: it holds for {encoded}, not for {spec['loader']}.")


def _check_source(spec: Mapping[str, Any], loader: Loader) -> None:
    made_up = spec.get("release") == "made_up"
    if given := [key for key in MADE_UP_KEYS if key in spec and not made_up]:
        raise ValueError(f"{given[0]}: it is for the release made_up alone; remove it.")
    sources = [key for key in ("package", "path", "hub", "url") if key in spec]
    if made_up:
        if sources or "file" in spec:
            raise ValueError(
                f"{(sources or ['file'])[0]}: the release made_up has no source, since the workflow makes it; remove this key."
            )
        if "dialogues" not in spec:
            raise ValueError("dialogues: it is missing; say how many dialogues the release made_up has.")
        return
    needs_file = sources == ["package"] or (sources == ["hub"] and "hub" not in loader.places)
    if len(sources) != 1 or needs_file != ("file" in spec):
        raise ValueError(
            f"A dataset has one source: 'package' with 'file', or 'path', or 'hub' (with 'file' for any loader but "
            f"hub), or 'release' with 'url'; given: {', '.join(sources) or 'none'}{' with file' * ('file' in spec)}."
        )
    places = {"hub", "hub_files"} if sources == ["hub"] else {"local"}
    if not places & loader.places:
        of_hub, files_of_hub = loaders.with_place("hub"), loaders.with_place("hub_files")
        raise ValueError(
            f"loader {spec['loader']!r} does not read from {sources[0]!r}; from 'hub' read {', '.join(of_hub + files_of_hub)}, "
            f"and the loader {' or '.join(map(repr, of_hub))} reads from nothing else."
        )
    if sources == ["url"] and "release" not in spec:
        raise ValueError("url: only a 'release' is fetched from a URL; give a local 'path' or a 'hub' id.")
    if sources == ["url"] and not re.match("https?://[^/]", spec["url"], re.IGNORECASE):
        raise ValueError(f"url: {spec['url']!r} does not begin with http:// or https:// and the name of a server.")


def _check_encoding(encoding: str) -> None:
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError):  # also codecs between bytes, as hex
        raise ValueError(f"encoding: {encoding!r} is not an encoding of text that Python knows, as latin-1.") from None


def _check_template(template: str) -> None:
    try:
        fields = template_fields(template)
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"template: {template!r} cannot be filled in: {error}.") from None
    if not fields or not all(fields) or any(field.isdigit() for field in fields):
        raise ValueError(f"template: {template!r} must name columns, as in '{{title}} {{body}}'.")
    for _, field, form, _ in parts:
        if "._" in field or "[_" in field or is_too_wide(re.sub(r"\{[^}]*\}", "", form)):
            raise ValueError(
                f"template: {template!r} can fill in columns, and format them up to a width of {WIDEST:,}; it asks for "
                f"{{{field}{':' * bool(form)}{form}}}."
            )


def _check_release(spec: Mapping[str, Any]) -> None:
    if spec["release"] not in RELEASES:
        raise ValueError(f"release: {spec['release']!r} is not known; choose one of {', '.join(RELEASES)}.")
    if spec["loader"] != "parquet" or "hub" in spec or "package" in spec:
        raise ValueError("release: it is made into Parquet, so it takes the loader 'parquet' and a 'url' or 'path'.")
    if "own_splits" in spec:
        raise ValueError(f"own_splits: a release has its own splits: {', '.join(SPLITS)}.")
    if wanted_split(spec) not in SPLITS:
        raise ValueError(f"split: {spec['split']!r} is no split of a release; choose {', '.join(SPLITS)}.")
    columns = (*RELEASE_COLUMNS, *MORE_COLUMNS.get(spec["release"], ()))
    if unknown := sorted(set(needed_columns(spec)) - set(columns)):
        raise ValueError(f"A release has no column {unknown[0]!r}; its columns are {', '.join(columns)}.")


def _check_own_splits(spec: Mapping[str, Any]) -> None:
    if strange := [name for name in spec["own_splits"] if not isinstance(name, str)]:
        raise ValueError(f"own_splits: {strange[0]!r} is not the name of a split; put it in quotes if it is.")
    proportions = shares(spec)
    if not proportions or min(proportions.values()) <= 0 or abs(sum(proportions.values()) - 1) > 1e-9:
        raise ValueError(f"own_splits: the proportions {proportions} must be positive and sum to 1.")
    if wanted_split(spec) not in proportions:
        raise ValueError(f"split: {wanted_split(spec)!r} is none of own_splits: {', '.join(proportions)}.")
    if splits_cleaned(spec):
        if spec.get("streaming"):
            raise ValueError("own_splits: by: datasets needs all texts at once; it cannot be used with streaming.")
        if "train" not in proportions or set(proportions) - set(SPLITS) or len(proportions) == 1:
            raise ValueError(
                f"own_splits: by: datasets makes train and validation, test or both, not {', '.join(proportions)}."
            )


def shares(spec: Mapping[str, Any]) -> dict[str, float]:
    """The proportions by name, sorted, so that the order in which they were written does not matter."""
    return {name: share for name, share in sorted(spec["own_splits"].items()) if name not in ("seed", "of", "by")}


def splits_cleaned(spec: Mapping[str, Any]) -> bool:
    """Whether the entry's own splits are made of cleaned texts by the library `datasets`, not of rows."""
    return spec.get("own_splits", {}).get("by") == "datasets"


def wanted_split(spec: Mapping[str, Any]) -> str:
    """The split that an entry takes, of its source or of its own."""
    return spec.get("split", SPLIT)


def source_split(spec: Mapping[str, Any]) -> str:
    """The split of the source that is read."""
    return spec["own_splits"].get("of", SPLIT) if "own_splits" in spec else wanted_split(spec)


def needed_columns(spec: Mapping[str, Any]) -> list[str]:
    """The columns that the entry names; each once."""
    named = [spec.get("column", "text")]
    if "template" in spec:
        named = template_fields(spec["template"])
    others = [spec[key] for key in ("class_column", "label_column") if key in spec]
    return list(dict.fromkeys([*named, *others, *spec.get("where", {})]))


def has_labels(spec: Mapping[str, Any]) -> bool:
    return any(key in spec for key in LABEL_KEYS)


def template_fields(template: str) -> list[str]:
    """The columns that a template names, also in the format of another. Raises ValueError if braces do not match."""
    parts = [(field, format) for _, field, format, _ in string.Formatter().parse(template) if field is not None]
    return [name for field, format in parts for name in (re.split(r"[.\[]", field)[0], *template_fields(format))]


def files_below(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern, as "*.txt", at any depth of a folder, sorted."""
    return sorted((file for file in folder.rglob(pattern) if file.is_file()), key=lambda file: file.as_posix())
