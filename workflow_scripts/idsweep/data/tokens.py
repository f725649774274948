"""What is measured: token positions drawn once from a corpus for every checkpoint, or entries of a vocabulary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.data.corpora import WORD, Corpus, Span
from idsweep.files.columns import MEAN_POSITION, POINTS, SEQUENCES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

SELECT = ("text", "all", "first_pieces", "classes", "last", "mean")
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
SELECT_VOCABULARY = ("text", "all")
TEXTS_AT_ONCE = 2048
IS_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])  # no code point beyond is white space


class SampledTokens(NamedTuple):
    """What was sampled, and the sequences that hold it.

    points: columns of `POINTS`; `point` is the row number, rows are sorted by sequence and position,
    `position` counts in the sequence's `input_ids`, `token` is the piece as it stands in the vocabulary,
    `token_class` the class of the word that holds the piece's first character, null without classes, `count` how often
    the token comes in all tokenised sequences, `drawn` the point's place in the order of the draw.
    A point that stands for the mean over a sequence has position and token_id -1 and an empty token.
    sequences: columns of `SEQUENCES`; `sequence` is the text's place in the corpus, `input_ids` the whole
    (truncated) sequence that the model is run on, special tokens included.
    """

    points: pa.Table
    sequences: pa.Table


class _Tokens(NamedTuple):
    """The tokens of some sequences one after the other, and the sequences' own ids (`rows`)."""

    rows: list[np.ndarray]  # int32, one array for each sequence
    special: np.ndarray
    first_piece: np.ndarray | None  # whether a token is the first of its word
    class_code: np.ndarray | None  # place in the list of classes, -1 without one


def sample_tokens(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    number: int | None,
    max_length: int,
    seed: int,
    select: str = "text",
    classes: Sequence[str] | None = None,
    without: Sequence[str] | None = None,
) -> SampledTokens:
    """Draw `number` points without replacement from all eligible ones, by PCG64 from `seed`.

    Each text is tokenised as its model expects it, with the tokenizer's special tokens, and truncated to
    `max_length` tokens, at the tokenizer's `truncation_side`. The unknown token stands for text and is not
    counted as special. If fewer than `number` points are eligible, or if it is None, all are taken.

    select: which points are eligible:
        text          all tokens but special ones
        all           special ones too
        first_pieces  the first token of each word; words are what white space separates, in every tokenizer
        classes       tokens whose first character lies in a word of one of `classes`: whole names, or
                      beginnings that end in * (B-* takes all whose name begins with B-)
        last          the last token of each sequence that is not special
        mean          one point for each sequence, which stands for the mean over all its tokens
    without: with `select: all`, those of `ROLES` whose token is not eligible; a role that the tokenizer gives to no token
        leaves none out.

    Raises ValueError if `number` is not positive, a choice is not known, `classes` fit neither `select` nor
    the corpus, nothing is eligible, or a tokenizer without a fast implementation would have to tell where
    its tokens lie in the text.
    """
    if number is not None and number < 1:
        raise ValueError(f"tokens: {number} were asked for, at least 1 is needed.")
    if select not in SELECT:
        raise ValueError(f"select: {select!r} is not known; choose one of {', '.join(SELECT)}.")
    if bool(classes) != (select == "classes"):
        raise ValueError("classes: they are needed with 'select: classes', and have no use without.")
    if classes and corpus.spans is None:
        raise ValueError("classes: the dataset has none; its entry needs a 'class_column'.")
    if without and (select != "all" or set(without) - set(ROLES)):
        raise ValueError(f"without: {', '.join(without)}: roles are {', '.join(ROLES)}, and need 'select: all'.")
    _check_offsets(tokenizer, select, corpus)
    if not corpus.texts:
        raise ValueError("No token can be sampled: the corpus has no text.")

    names = sorted({name for spans in corpus.spans or () for _, _, name in spans})
    if corpus.of_ids:
        if select == "first_pieces":
            raise ValueError(
                "select: first_pieces needs texts, and the dataset holds token ids; choose another selection."
            )
        tokens = _of_ids(corpus, tokenizer, max_length)
        corpus = corpus._replace(texts=tokenizer.batch_decode(tokens.rows))
    else:
        tokens = _tokenise(corpus, tokenizer, max_length, names, first_pieces=select == "first_pieces")
    lengths = np.array([len(row) for row in tokens.rows], dtype=np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    eligible = _eligible(tokens, row, select, _codes(names, classes or ()))
    if without:
        left_out = [getattr(tokenizer, f"{role}_token_id") for role in without]
        eligible = eligible[~np.isin(np.concatenate(tokens.rows)[eligible], [id for id in left_out if id is not None])]
    if len(eligible) == 0:
        raise ValueError(
            f"No token can be sampled: {len(lengths)} texts give {len(row)} tokens, "
            f"{int(tokens.special.sum())} of them special. Check the corpus, max_length and 'select'."
        )
    places, drawn = _draw(len(eligible), number, seed, "tokens")
    eligible = eligible[places]
    # A sequence's first token stands for its mean: `row` is all that is read of it.
    at = row[eligible]
    token_id = np.concatenate(tokens.rows)[eligible]
    position = (np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths))[eligible]
    if select == "mean":
        columns = _constant_columns(len(at))
    else:
        columns = {
            "position": position,
            "token_id": token_id,
            "token": tokenizer.convert_ids_to_tokens(token_id.tolist()),
            "special": tokens.special[eligible],
            "token_class": None if tokens.class_code is None else _class_names(tokens.class_code[eligible], names),
            "count": counts([np.concatenate(tokens.rows)], token_id),
        }
    used = np.unique(at)
    sequences = pa.Table.from_arrays(
        [
            pa.array(corpus.index[used].astype(np.int32)),
            pa.array([corpus.texts[i] for i in used], pa.string()),
            pa.array([tokens.rows[i] for i in used], pa.list_(pa.int32())),
        ],
        schema=SEQUENCES,
    )
    return SampledTokens(_points(sequence=corpus.index[at], drawn=drawn, **columns), sequences)


def sample_vocabulary(
    vocabulary: PreTrainedTokenizerBase | Sequence[str],
    *,
    number: int | None,
    seed: int,
    select: str = "all",
    counted_in: Corpus | None = None,
) -> pa.Table:
    """Columns of `POINTS` for entries of a vocabulary, in the order of their ids.

    vocabulary: a tokenizer (ids without a token are left out, such as rows that only pad a matrix), or the words
        of static vectors. `sequence` and `token_id` are the entry's id, `position` is 0.
    select: all, or text, which leaves special tokens out. `number` of them are drawn without replacement by
        PCG64 from `seed`; all if it is None or there are no more.
    counted_in: texts in which the entries are counted; without, `count` is null. Words of static vectors are counted among the
        words of the texts (`corpora.WORD`), without regard to case unless two of the entries differ in nothing else;
        entries of another form (phrases, numbers, punctuation) have null.

    Raises ValueError if `number` is not positive, `select` is not known or there is no entry.
    """
    if number is not None and number < 1:
        raise ValueError(f"vocabulary: {number} entries were asked for, at least 1 is needed.")
    if select not in SELECT_VOCABULARY:
        raise ValueError(f"select: {select!r} is not known; choose one of {', '.join(SELECT_VOCABULARY)}.")
    if isinstance(vocabulary, Sequence):
        ids, words, no_text = np.arange(len(vocabulary)), list(vocabulary), set()
    else:
        by_id = {id: token for token, id in sorted(vocabulary.get_vocab().items(), reverse=True)}
        ids = np.array(sorted(by_id), dtype=np.int64)
        words, no_text = [by_id[id] for id in ids.tolist()], special_ids(vocabulary)
    special = np.isin(ids, sorted(no_text))
    eligible = np.arange(len(ids)) if select == "all" else np.flatnonzero(~special)
    if len(eligible) == 0:
        raise ValueError(f"vocabulary: none of its {len(ids)} entries can be sampled with 'select: {select}'.")
    places, drawn = _draw(len(eligible), number, seed, "entries of the vocabulary")
    entries = eligible[places]
    return _points(
        sequence=ids[entries],
        position=np.zeros(len(entries)),
        token_id=ids[entries],
        token=[words[i] for i in entries],
        special=special[entries],
        token_class=None,
        count=None if counted_in is None else _counted(vocabulary, counted_in, words, ids)[entries],
        drawn=drawn,
    )


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids of tokens that are no text: those that a role has (end, padding …), and those added as special.

    Chat models have many of the latter (<|start_header_id|>, reserved rows). The unknown token stands for text, unless it
    has another role too: GPT-2 uses one token as unknown, begin and end.
    """
    roles = {role: token for role, token in tokenizer.special_tokens_map.items() if role != "unk_token"}
    tokens = [str(token) for value in roles.values() for token in ([value] if isinstance(value, str) else value)]
    added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    if tokenizer.is_fast:
        added |= {id for id, token in tokenizer.backend_tokenizer.get_added_tokens_decoder().items() if token.special}
    return (added - {tokenizer.unk_token_id}) | set(tokenizer.convert_tokens_to_ids(tokens))


def _counted(
    vocabulary: PreTrainedTokenizerBase | Sequence[str], corpus: Corpus, words: Sequence[str], ids: np.ndarray
) -> np.ndarray:
    if isinstance(vocabulary, Sequence):
        cased = len({word.lower() for word in words}) < len(set(words))
        form = str if cased else str.lower
        found = Counter(word for text in corpus.texts for word in WORD.findall(form(text)))
        is_word = [WORD.fullmatch(word) is not None for word in words]
        return np.ma.array([found[form(word)] for word in words], dtype=np.int64, mask=np.logical_not(is_word))
    texts = (corpus.texts[i : i + TEXTS_AT_ONCE] for i in range(0, len(corpus.texts), TEXTS_AT_ONCE))
    found = (vocabulary(some, add_special_tokens=False)["input_ids"] for some in texts)
    return counts((np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]) for rows in found), ids)


def counts(blocks: Iterable[np.ndarray], token_ids: np.ndarray) -> np.ndarray:
    """How often each of `token_ids`, int (n,), comes in blocks of token ids, int (m,); int64 (n,)."""
    times = np.zeros(int(token_ids.max(initial=-1)) + 1, dtype=np.int64)
    for block in blocks:
        times += np.bincount(block[block < len(times)], minlength=len(times))
    return times[token_ids]


def _draw(total: int, number: int | None, seed: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Increasing places of `number` out of `total`, and where each stands in the order in which they were drawn."""
    if number is not None and number > total:
        logger.warning("%d %s were asked for; %d are eligible: all are used.", number, what, total)
    if number is None or number >= total:
        return np.arange(total), np.arange(total)
    drawn = np.random.Generator(np.random.PCG64(seed)).choice(total, size=number, replace=False)
    order = np.argsort(drawn)
    return drawn[order], order


def _points(
    *,
    sequence: np.ndarray,
    position: np.ndarray,
    token_id: np.ndarray,
    token: Sequence[str],
    special: np.ndarray,
    token_class: pa.Array | None,
    count: np.ndarray | None,
    drawn: np.ndarray,
) -> pa.Table:
    rows = len(sequence)
    return pa.Table.from_arrays(
        [
            pa.array(np.arange(rows, dtype=np.int32)),
            pa.array(sequence.astype(np.int32)),
            pa.array(position.astype(np.int32)),
            pa.array(token_id.astype(np.int32)),
            pa.array(token, pa.string()),
            pa.array(special),
            pa.nulls(rows, pa.string()) if token_class is None else token_class,
            pa.nulls(rows, pa.int64()) if count is None else pa.array(count),
            pa.array(drawn.astype(np.int32)),
        ],
        schema=POINTS,
    )


def _constant_columns(rows: int) -> dict[str, np.ndarray | list[str] | None]:
    """The columns of points that stand for whole sequences."""
    nowhere = np.full(rows, MEAN_POSITION)
    return {
        "position": nowhere,
        "token_id": nowhere,
        "token": [""] * rows,
        "special": np.zeros(rows, dtype=bool),
        "token_class": None,
        "count": None,
    }


def _eligible(tokens: _Tokens, row: np.ndarray, select: str, codes: np.ndarray) -> np.ndarray:
    """Places, increasing, of the tokens that may be drawn; of the first of each sequence where it stands for all."""
    if select == "all":
        return np.arange(len(row))
    if select == "mean":
        return np.flatnonzero(np.diff(row, prepend=-1))
    plain = np.flatnonzero(~tokens.special)
    if select == "first_pieces":
        return plain[tokens.first_piece[plain]]
    if select == "classes":
        return plain[np.isin(tokens.class_code[plain], codes)]
    if select == "last":
        return plain[np.diff(row[plain], append=len(tokens.rows)) != 0]
    return plain


def _codes(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The places in `names` of all classes that are meant. Raises ValueError if one means none."""
    codes = []
    for pattern in classes:
        begins = pattern.endswith("*")
        meant = [i for i, name in enumerate(names) if (name.startswith(pattern[:-1]) if begins else name == pattern)]
        if not meant:
            raise ValueError(f"classes: {pattern!r} is none of the sampled texts' classes: {', '.join(names)}.")
        codes += meant
    return np.unique(np.array(codes, dtype=np.int64))


def _class_names(codes: np.ndarray, names: Sequence[str]) -> pa.Array:
    places = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string())).dictionary_decode()


def _check_offsets(tokenizer: PreTrainedTokenizerBase, select: str, corpus: Corpus) -> None:
    if tokenizer.is_fast:
        return
    if select == "first_pieces" or (corpus.spans is not None and select != "mean"):
        option = "select: first_pieces" if select == "first_pieces" else "class_column of the dataset"
        raise ValueError(
            f"{option}: {type(tokenizer).__name__} has no fast implementation and does not tell where its tokens "
            "lie in the text. Use the model's fast tokenizer (tokenizer.json), or leave the option out."
        )


def _of_ids(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_length: int) -> _Tokens:
    rows = [np.array(text.split(), dtype=np.int64)[:max_length] for text in corpus.texts]
    for index, row in zip(corpus.index, rows, strict=True):
        if row.max(initial=0) >= len(tokenizer):
            raise ValueError(
                f"Sequence {index} has token id {row.max()}, and the tokenizer {len(tokenizer)} tokens: the ids are those of another "
                "tokenizer. Name the model's own."
            )
    special = np.isin(np.concatenate(rows), sorted(special_ids(tokenizer)))
    return _Tokens([row.astype(np.int32) for row in rows], special, None, None)


def _tokenise(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_length: int, names: Sequence[str], first_pieces: bool
) -> _Tokens:
    code_of = {name: code for code, name in enumerate(names)} if corpus.spans is not None else None
    parts = [
        _tokenise_some(
            corpus.texts[begin : begin + TEXTS_AT_ONCE],
            corpus.spans[begin : begin + TEXTS_AT_ONCE] if corpus.spans is not None and tokenizer.is_fast else None,
            tokenizer,
            max_length,
            code_of,
            first_pieces,
        )
        for begin in range(0, len(corpus.texts), TEXTS_AT_ONCE)
    ]
    rows, special, first_piece, class_code = zip(*parts, strict=True)
    return _Tokens(
        [row for part in rows for row in part],
        np.concatenate(special),
        np.concatenate(first_piece) if first_pieces else None,
        np.concatenate(class_code) if class_code[0] is not None else None,
    )


def _tokenise_some(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    code_of: Mapping[str, int] | None,
    first_pieces: bool,
) -> _Tokens:
    offsets = first_pieces or spans is not None
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        **({"return_offsets_mapping": True} if offsets else {}),
    )
    rows = [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
    masks = encoded["special_tokens_mask"]
    # Of a text that ends as sequences do, with a literal </s>, ByT5 adds no further one, and counts one nevertheless.
    added = np.concatenate([np.asarray(mask[: len(row)], dtype=bool) for mask, row in zip(masks, rows, strict=True)])
    special = added | np.isin(np.concatenate(rows), sorted(special_ids(tokenizer)))
    if not offsets:
        return _Tokens(rows, special, None, None)

    # All texts lie one after the other, each followed by one character of white space.
    shift = np.cumsum([0, *(len(text) + 1 for text in texts)])
    row = np.repeat(np.arange(len(rows)), [len(ids) for ids in rows])
    lies = np.concatenate([np.asarray(pairs, dtype=np.int64).reshape(-1, 2) for pairs in encoded["offset_mapping"]])
    begin, word, begins_word = _in_words(lies + shift[row, None], texts)
    first = _first_of_word(np.where(special, -1, word), row, begins_word) if first_pieces else None
    code = None if spans is None else _in_spans(np.where(special, -1, begin), spans, shift, code_of)
    return _Tokens(rows, special, first, code)


def _in_words(lies: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where tokens begin (their first character that is no white space), in which word, and whether it is its first.

    lies: int64 (n, 2), the tokens' (begin, end). Begin and word are -1 for a token of white space or of nothing.
    """
    characters = np.frombuffer(" ".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    black = ~IS_SPACE[np.minimum(characters, len(IS_SPACE) - 1)]
    edges = np.diff(black.astype(np.int8), prepend=0)
    word_begin, word_end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    word = np.searchsorted(word_end, lies[:, 0], side="right")
    begins_at = np.append(word_begin, len(characters))[word]
    begin = np.maximum(lies[:, 0], begins_at)
    inside = begin < lies[:, 1]
    return np.where(inside, begin, -1), np.where(inside, word, -1), begin == begins_at


def _first_of_word(word: np.ndarray, row: np.ndarray, begins_word: np.ndarray) -> np.ndarray:
    inside = np.flatnonzero(word >= 0)
    first = np.diff(word[inside], prepend=-1) != 0
    # A sequence that is truncated on the left may begin in the middle of a word.
    first &= (np.diff(row[inside], prepend=-1) == 0) | begins_word[inside]
    marks = np.zeros(len(word), dtype=bool)
    marks[inside[first]] = True
    return marks


def _in_spans(
    begin: np.ndarray, spans: Sequence[Sequence[Span]], shift: np.ndarray, code_of: Mapping[str, int]
) -> np.ndarray:
    """int32 (n,): code of the class of the span that holds each place, -1 where none does."""
    counts = [len(of_text) for of_text in spans]
    flat = np.array(
        [(start, end, code_of[name]) for of_text in spans for start, end, name in of_text], dtype=np.int64
    ).reshape(-1, 3)
    flat[:, :2] += np.repeat(shift[:-1], counts)[:, None]
    place = np.searchsorted(flat[:, 0], begin, side="right") - 1
    inside = (place >= 0) & (begin < np.append(flat[:, 1], -1)[place])
    return np.where(inside, np.append(flat[:, 2], -1)[place], -1).astype(np.int32)
