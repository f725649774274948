"""Named datasets as sequences of text.

A dataset is one entry of the catalog, a plain mapping:

    loader         a module of `idsweep.data.loaders`, as text, csv, json, parquet, folder, hub or equations; it may have
                   further keys of its own
    package, file  a file inside an installed Python package ...
    path           ... or a local file (.gz, .bz2, .xz and .zst are unpacked while reading) or folder ...
    hub            ... or an id on the hub, with `config` and `revision` if wanted; with the loaders csv, json,
                   parquet and text, `file` names files of that repository, e.g. "plain_text/{split}/*.parquet"
    release        ... or a release of dialogues (multiwoz, sgd, emowoz, convlab) at `url` or `path`, which has to be made
                   into Parquet first (`idsweep.data.dialogues`)
    split          default: train
    own_splits     parts that the rows are split into, e.g. {train: 0.8, validation: 0.1, test: 0.1, seed: 42};
                   `split` names one of them, and `of` the source's split (default: train); with `by: datasets` the texts that
                   are left after cleaning are split as that library does it (`data.library_draws`)
    streaming      true for a corpus that does not fit: its rows are never all in memory or on disk
    encoding       of text, csv and json files and of those in a folder; default: utf-8
    delimiter      of csv files, the character between columns; default: a comma
    where          column: value or list of values; other rows are left out
    column         which column is the text (default: text); a list of words is joined by single spaces, or
    template       how a row becomes text, e.g. "{title}\\n{body}"
    class_column   list of classes parallel to the list of words in `column`; ids need names, which come from
    class_names    ... this list, or else from the dataset's own features
    label_column   column with the label of each text; ids get the names of the dataset's own features, if it has any, or
    label_pattern  regular expression with one group, which is the label; it is searched in the text before `remove`
    remove         regular expression, every match of which is deleted from each text
    drop_prefixes  texts that begin with one of these, before or after `strip`, are left out
    strip          remove white space around each text; default: true

Empty texts are always left out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import compress, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from idsweep.data import library_draws
from idsweep.data.entries import (
    LABEL_KEYS,
    MADE_UP_KEYS,
    check_entry,
    corpus_file,
    has_labels,
    needed_columns,
    shares,
    splits_cleaned,
    wanted_split,
)
from idsweep.data.loaders import registry as loaders
from idsweep.data.loaders.registry import Part, Rows, Span
from idsweep.data.readers import check_columns
from idsweep.data.written import filled, label_of, matches, text_of

logger = logging.getLogger(__name__)

DRAWS_AT_ONCE = 4096
CHOOSE = ("random", "first", "shuffled")
SPLIT_SEED = 42  # of own_splits that say none

# The words that word vectors are trained on and counted by: runs of letters, apostrophes between letters included.
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Corpus(NamedTuple):
    """Texts of a dataset.

    index: int64 (n,), increasing: the place of each text among the cleaned texts of the whole dataset.
    spans: for each text (begin, end, class) in characters, one for each word of it; None without classes.
    labels: of each text, as text; None if they were not asked for.
    commit: of the dataset on the hub that was read; None for texts from elsewhere.
    of_ids: whether the texts are token ids, as decimal numbers.
    """

    index: np.ndarray
    texts: list[str]
    spans: list[list[Span]] | None
    labels: list[str] | None = None
    commit: str | None = None
    of_ids: bool = False


class LabelledTexts(NamedTuple):
    """Texts and the label of each, both (n,)."""

    texts: list[str]
    labels: list[str]


class _Text(NamedTuple):
    text: str
    spans: list[Span] | None = None
    label: str | None = None


def read_corpus(
    spec: Mapping[str, Any],
    file: str | Path | None = None,
    *,
    number: int | None = None,
    choose: str = "random",
    seed: int = 778,
    part: Part | None = None,
    labels: bool = False,
    ids: bool = False,
    composed: Sequence[str] | None = None,
) -> Corpus:
    """`number` texts of a dataset (all if None), in the order of its rows, cleaned as the entry says; none is empty.

    file: the local file, for an entry that does not say where it lies (see `reading`), and the prepared
        Parquet of a release.
    choose: "first" takes the first texts and stops reading there. "shuffled" takes those that come first after
        `Dataset.shuffle(seed)` of the library `datasets`. "random" draws without replacement as
        `choose_sequences` does. With `streaming` it is another draw: a reservoir sample (Vitter 1985,
        algorithm R, PCG64 from `seed`), since the number of texts is known only at the end.
    part: only texts that a training took, or held out.
    labels: read their labels too, if the entry names any; each text needs one then.
    ids: take token ids in place of texts, from a loader that holds some. composed: those that `compose` of the entry made of it.

    Raises ValueError if there are ids and they are not asked for, if the source is missing, cannot be decoded or parsed, has no
    such column or split, if a value is no text (`idsweep.data.written`), if words and classes do not match, if a text lacks the label that is
    asked for, or if no text is left.
    """
    if choose not in CHOOSE:
        raise ValueError(f"choose: {choose!r} is not known; choose {' or '.join(CHOOSE)}.")
    if number is not None and number < 1:
        raise ValueError(f"sequences: {number} were asked for, at least 1 is needed.")
    is_composed = "compose" in spec
    spec = _placed(spec, file)
    path, loader = corpus_file(spec), loaders.get(spec["loader"])
    source = str(path) if path else spec.get("hub", spec["loader"])
    of_ids = loader.holds_ids or is_composed
    if of_ids and not ids:
        raise ValueError(
            f"{source} gives token ids, which can be measured; what is trained or counted needs texts. Name a dataset of texts "
            "(without `compose`)."
        )
    if not labels:
        spec = {key: value for key, value in spec.items() if key not in LABEL_KEYS}
    if spec.get("streaming") and choose == "shuffled":
        raise ValueError(f"choose: 'shuffled' needs all texts at once, and {source} is streamed. Choose 'random'.")
    if spec.get("streaming") and number is None:
        raise ValueError(f"streaming: {source} is not held as a whole; set tokens.sequences to how many texts to take.")

    commit = None
    with ExitStack() as stack:
        if composed is not None:
            texts = enumerate(map(_Text, composed))
        elif loader.generator is not None:
            texts = ((place, _Text(text, spans)) for place, text, spans in loader.generator.texts(spec, part))
        else:
            rows = stack.enter_context(loader.rows(spec, path, source))
            commit = rows.commit
            texts = enumerate(_clean(_texts(rows, spec, source), spec, source))
            if splits_cleaned(spec):
                texts = _in_library_split(list(texts), spec)
            if part is not None:
                texts = _texts_of(part, list(texts))
        if choose == "first":
            chosen = list(islice(texts, number))
        elif spec.get("streaming"):
            chosen = _reservoir(texts, number, seed)
        elif choose == "shuffled":
            texts_read = list(texts)
            chosen = [texts_read[i] for i in library_draws.shuffled(len(texts_read), seed)[:number].tolist()]
        else:
            texts_read = list(texts)
            chosen = [texts_read[i] for i in choose_sequences(len(texts_read), number, seed).tolist()]
    chosen.sort(key=itemgetter(0))  # the library's own splits and draws have an order of their own
    if not chosen:
        raise ValueError(_no_text(source, spec))
    if number is not None and len(chosen) < number:
        logger.warning("%d sequences were asked for; the corpus has %d: all are used.", number, len(chosen))
    if commit is not None:
        logger.info("%s was read at commit %s.", source, commit)
    index = np.array([i for i, _ in chosen], dtype=np.int64)
    has_spans = "class_column" in spec or loader.generator is not None
    return Corpus(
        index,
        texts=[each.text for _, each in chosen],
        spans=[each.spans for _, each in chosen] if has_spans else None,
        labels=[each.label for _, each in chosen] if has_labels(spec) else None,
        commit=commit,
        of_ids=of_ids,
    )


def check_beginning(spec: Mapping[str, Any], labels: bool = False) -> None:
    """Read the first rows of a dataset of local files. Raises ValueError as `read_corpus` does.

    They go as far as a text and a value of each column that the entry names: in JSON a row may lack some. What comes from the hub, is made or prepared is left alone. labels: read their labels too.
    """
    loader = loaders.get(spec["loader"])
    if "hub" in spec or "release" in spec or loader.generator is not None:
        return
    path = corpus_file(spec)
    left_out = ("own_splits", *(() if labels else LABEL_KEYS))  # own splits need the number of all rows
    spec = {key: value for key, value in spec.items() if key not in left_out}
    found, unseen = 0, set(needed_columns(spec))
    with loader.rows(spec, path, str(path)) as rows:

        def first_batches() -> Iterator[Mapping[str, list]]:
            for batch in rows.batches:
                yield batch
                unseen.difference_update([name for name in unseen if any(value is not None for value in batch[name])])
                if found and not unseen:
                    return

        first = rows._replace(batches=first_batches())
        for _ in _clean(_texts(first, spec, str(path)), spec, str(path)):
            found += 1
    if not found:
        raise ValueError(_no_text(str(path), spec))


def first_texts(spec: Mapping[str, Any], number: int) -> list[str]:
    """The first texts of a dataset of local files, at most `number`, cleaned as the entry says. Raises ValueError as `read_corpus` does."""
    loader, path = loaders.get(spec["loader"]), corpus_file(spec)
    spec = {key: value for key, value in spec.items() if key not in LABEL_KEYS}
    with loader.rows(spec, path, str(path)) as rows:
        texts: Iterable[_Text] = _clean(_texts(rows, spec, str(path)), spec, str(path))
        if splits_cleaned(spec):
            texts = _in_library_split(list(texts), spec)
        return [each.text for each in islice(texts, number)]


def _no_text(source: str, spec: Mapping[str, Any]) -> str:
    """What to say of a dataset of which nothing is left."""
    columns = " and ".join(map(repr, needed_columns(spec)))
    return (
        f"{source}: no text is left. Each is empty, emptied by 'remove' or left out by 'where', 'own_splits' or "
        f"'drop_prefixes'. It was looked for in {columns}."
    )


def load_sequences(spec: Mapping[str, Any], file: str | Path | None = None) -> list[str]:
    """All texts of a dataset: `read_corpus(spec, file).texts`."""
    return read_corpus(spec, file).texts


def read_labelled(
    spec: Mapping[str, Any],
    file: str | Path | None = None,
    *,
    number: int | None = None,
    choose: str = "random",
    seed: int = 0,
) -> LabelledTexts:
    """`number` texts (all if None) with their labels, drawn and ordered as `read_corpus` does.

    Raises ValueError if the entry names no labels, if a text has none, and as `read_corpus` does.
    """
    if not has_labels(spec):
        raise ValueError(
            "label_column: the dataset names no labels. Give the column that holds them as label_column, or "
            "label_pattern, a regular expression with one group that finds them in the texts."
        )
    corpus = read_corpus(spec, file, number=number, choose=choose, seed=seed, labels=True)
    return LabelledTexts(corpus.texts, corpus.labels)


def choose_sequences(total: int, number: int | None, seed: int) -> np.ndarray:
    """Indices int64 (min(number, total),), increasing, of `number` out of `total` sequences.

    Drawn without replacement by PCG64 from `seed`; all if `number` is None or not smaller than `total`.

    Raises ValueError if `number` is not positive.
    """
    if number is None or number >= total:
        return np.arange(total)
    if number < 1:
        raise ValueError(f"sequences: {number} were asked for, at least 1 is needed.")
    return np.sort(np.random.Generator(np.random.PCG64(seed)).choice(total, size=number, replace=False))


def split_sequences(texts: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split texts at random into (train, held_out), each in the order given.

    `held_out` takes round(fraction * len(texts)) texts, drawn by PCG64 from `seed`.

    Raises ValueError if a side would be empty.
    """
    train, held_out = ([texts[i] for i in places] for places in _split(len(texts), fraction, seed))
    return train, held_out


def _split(total: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    number_held_out = round(fraction * total)
    if not 0 < number_held_out < total:
        raise ValueError(
            f"A held-out fraction of {fraction} of {total} texts leaves one side empty; "
            f"it takes a fraction between 0 and 1 and enough texts."
        )
    out = choose_sequences(total, number_held_out, seed).tolist()
    return sorted(set(range(total)) - set(out)), out


def _texts_of(part: Part, texts: Sequence[Any]) -> Iterator[Any]:
    train, held_out = _split(len(texts), part.held_out_fraction, part.seed)
    return (texts[i] for i in (train if part.name == "train" else held_out))


def _in_library_split(texts: Sequence[Any], spec: Mapping[str, Any]) -> Iterator[Any]:
    """The texts of the entry's own split, made of the cleaned ones by the library `datasets`, in its order."""
    seed = spec["own_splits"].get("seed", SPLIT_SEED)
    return (texts[i] for i in library_draws.split(len(texts), shares(spec), seed)[wanted_split(spec)].tolist())


def _placed(spec: Mapping[str, Any], file: str | Path | None) -> Mapping[str, Any]:
    """The entry with the place of its local file; that of a release as an entry for its prepared Parquet."""
    if "release" not in spec:
        return spec | {"path": str(file)} if file else spec
    if not file:
        raise ValueError(
            f"release: {spec['release']} is read from the Parquet made of it; give that file "
            "(`idsweep.data.dialogues.utterances` makes it, and so does the workflow)."
        )
    left = {key: value for key, value in spec.items() if key not in ("release", "url", "compose", *MADE_UP_KEYS)}
    has_source = {"url", "path"} & set(spec) or spec["release"] == "made_up"
    check_entry(spec if has_source else spec | {"path": str(file)})
    _check_split(spec, file)
    return left | {"path": str(file), "where": {**spec.get("where", {}), "split": wanted_split(spec)}}


def _check_split(spec: Mapping[str, Any], file: str | Path) -> None:
    """Raise ValueError if the prepared Parquet of a release holds nothing of the entry's split."""
    import pyarrow.parquet as pq

    splits = pq.read_table(file, columns=["split"])["split"].unique().to_pylist()
    if wanted_split(spec) not in splits:
        raise ValueError(
            f"split: the release {spec['release']} at {spec.get('path') or spec.get('url') or file} has no {wanted_split(spec)!r}; "
            f"its dialogues are of {', '.join(map(repr, splits))}. Name one of them, or give a release that has it."
        )


def _rows(batches: Iterator[Mapping[str, list]], spec: Mapping[str, Any], source: str) -> Iterator[tuple[int, dict]]:
    """(number, values by column) of the rows that the entry keeps; the first row of the source has number 1."""
    needed = needed_columns(spec)
    allowed = {key: value if isinstance(value, list) else [value] for key, value in spec.get("where", {}).items()}
    first = 1
    for batch, mask in _in_split(batches, spec):
        check_columns(needed, batch, source)
        count = len(batch[needed[0]]) if needed else 0
        numbered = zip(range(first, first + count), *(batch[name] for name in needed), strict=True)
        for number, *values in numbered if mask is None else compress(numbered, mask):
            row = dict(zip(needed, values, strict=True))
            if all(matches(row[key], values) for key, values in allowed.items()):
                yield number, row
        first += count


def _in_split(
    batches: Iterator[Mapping[str, list]], spec: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, list], np.ndarray | None]]:
    """Each batch with what says which of its rows are in the entry's own split; None if all are.

    All rows are permuted by PCG64 from `seed` and cut by the cumulated proportions of the names in
    alphabetical order. Of a stream, whose length is not known, each row goes by one uniform number: the
    proportions hold on average.
    """
    if "own_splits" not in spec or splits_cleaned(spec):
        yield from ((batch, None) for batch in batches)
        return
    proportions = shares(spec)
    ends = np.cumsum(list(proportions.values()))
    place = list(proportions).index(wanted_split(spec))
    lower, upper = (0.0 if place == 0 else ends[place - 1]), (1.0 if place == len(ends) - 1 else ends[place])
    generator = np.random.Generator(np.random.PCG64(spec["own_splits"].get("seed", SPLIT_SEED)))
    if spec.get("streaming"):
        for batch in batches:
            drawn = generator.random(_length(batch))
            yield batch, (lower <= drawn) & (drawn < upper)
        return
    batches_read = list(batches)
    bounds = np.cumsum([0, *(_length(batch) for batch in batches_read)])
    total = int(bounds[-1])
    member = np.zeros(total, dtype=bool)
    member[generator.permutation(total)[round(lower * total) : round(upper * total)]] = True
    for batch, begin, end in zip(batches_read, bounds, bounds[1:], strict=False):
        yield batch, member[begin:end]


def _length(batch: Mapping[str, list]) -> int:
    return max(map(len, batch.values()), default=0)


def _texts(read: Rows, spec: Mapping[str, Any], source: str) -> Iterator[tuple[int, _Text]]:
    """Number and text of each row."""
    column, template, classes = spec.get("column", "text"), spec.get("template"), spec.get("class_column")
    names = spec.get("class_names", read.class_names.get(classes))
    label_of_row = _labels(read.class_names, spec)
    for number, row in _rows(read.batches, spec, source):
        place = f"{source}, row {number}"
        text = text_of(row[column], column, place) if template is None else filled(template, row, place)
        spans = None if classes is None else _spans(row[column], row[classes], names, place)
        yield number, _Text(text, spans, label_of_row(row, text, place))


def _labels(
    class_names: Mapping[str, Sequence[str]], spec: Mapping[str, Any]
) -> Callable[[Mapping[str, Any], str, str], str | None]:
    """What tells the label of a row by its values, text and place: None where there is none."""
    if "label_pattern" in spec:
        pattern = re.compile(spec["label_pattern"])
        return lambda _, text, __: found[1] if (found := pattern.search(text)) else None
    if "label_column" not in spec:
        return lambda *_: None
    column = spec["label_column"]
    names = class_names.get(column)

    def of_column(row: Mapping[str, Any], _: str, place: str) -> str | None:
        label = label_of(row[column], column, place)
        if names is None or label is None:
            return label
        return _named(row[column], label, names, f"{place}: label_column {column!r}")

    return of_column


def _named(value: Any, label: str, names: Sequence[str], place: str) -> str | None:
    """The name of a class whose id or, as text, id or name is given; None where the library `datasets` writes -1 for none."""
    id = int(label) if re.fullmatch("-1|[0-9]{1,9}", label) else None
    is_name = isinstance(value, str) and label in names
    if is_name and (id is None or id >= len(names) or names[id] == label):
        return label
    if id is None or id >= len(names) or is_name:
        what = "which may be a name or an id" if is_name else f"which is none of its {len(names)} classes"
        raise ValueError(f"{place} holds {label!r}, {what}: {', '.join(names[:5])}{', …' if names[5:] else ''}.")
    return None if id == -1 else names[id]


def _spans(words: Any, classes: Any, names: Sequence[str] | None, row: str) -> list[Span]:
    words, classes = words or [], classes or []
    if not isinstance(words, list) or not isinstance(classes, list):
        raise ValueError(f"{row}: class_column needs a list of words and a list of classes.")
    if len(words) != len(classes):
        raise ValueError(f"{row}: there are {len(words)} words, but {len(classes)} classes.")
    spans, begin = [], 0
    for word, of_word in zip(words, classes, strict=True):
        length = len(word or "")
        if length:
            spans.append((begin, begin + length, _class_name(of_word, names, row)))
        begin += length + 1
    return spans


def _class_name(of_word: Any, names: Sequence[str] | None, row: str) -> str:
    if isinstance(of_word, str):
        return of_word
    if not isinstance(of_word, int) or names is None or not 0 <= of_word < len(names):
        known = "there are no class_names" if names is None else f"there are {len(names)} class_names"
        raise ValueError(f"{row}: class {of_word!r} has no name; {known}. Set 'class_names' in the order of the ids.")
    return names[of_word]


def _clean(texts: Iterable[tuple[int, _Text]], spec: Mapping[str, Any], source: str) -> Iterator[_Text]:
    remove = re.compile(spec["remove"]) if "remove" in spec else None
    prefixes = tuple(spec.get("drop_prefixes", ()))
    for number, (text, spans, label) in texts:
        if remove:
            text = remove.sub("", text)
        raw = text
        if spec.get("strip", True):
            text = raw.strip()
            if spans:
                spans = _moved(spans, len(raw) - len(raw.lstrip()), len(text))
        # A prefix may begin with white space (headings of WikiText), so it is looked for before `strip` too.
        if text and not (prefixes and (text.startswith(prefixes) or raw.startswith(prefixes))):
            if not label and has_labels(spec):
                raise ValueError(
                    f"{source}, row {number}: the text {text[:60]!r} has no label. Mend the row, leave it out by 'where' or "
                    f"'drop_prefixes', or mend {next(key for key in LABEL_KEYS if key in spec)!r}."
                )
            yield _Text(text, spans, label)


def _moved(spans: Iterable[Span], by: int, length: int) -> list[Span]:
    """The spans of a text whose first `by` characters and all but `length` of the others were cut off."""
    cut = ((max(begin - by, 0), min(end - by, length), name) for begin, end, name in spans)
    return [span for span in cut if span[0] < span[1]]


def _reservoir(texts: Iterable[tuple[int, Any]], number: int, seed: int) -> list[tuple[int, Any]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    kept_texts: list[tuple[int, Any]] = []
    slots: list[int] = []
    for i, text in texts:
        if i < number:
            kept_texts.append((i, text))
            continue
        if not slots:
            slots = generator.integers(np.arange(i + 1, i + 1 + DRAWS_AT_ONCE))[::-1].tolist()
        slot = slots.pop()
        if slot < number:
            kept_texts[slot] = (i, text)
    return sorted(kept_texts, key=lambda item: item[0])
