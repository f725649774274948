"""Static word vectors trained on a corpus by gensim: word2vec and fastText."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from sys import intern

import pyarrow as pa

from idsweep.data.corpora import WORD, load_sequences
from idsweep.files.atomic import whole_or_nothing
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task

TRAINING = {
    "about": "a vector for each frequent word of a corpus, which makes a model of kind `static`.",
    "kinds": {"static": {}},
    "cost": "words",
    "required": ("dataset", "algorithm"),
    "keys": {
        "dataset": {"description": "Name in the catalog of datasets.", "type": "string"},
        "algorithm": {
            "description": "word2vec, or fasttext, whose vectors also know a word's character n-grams.",
            "enum": "ALGORITHMS",
        },
        "dimension": {"description": "Coordinates of a vector.", "type": "integer", "minimum": 1, "default": 100},
        "window": {
            "description": "Words before and behind a word that are its context, at most.",
            "type": "integer",
            "minimum": 1,
            "default": 5,
        },
        "min_count": {
            "description": "Occurrences that a word needs to get a vector.",
            "type": "integer",
            "minimum": 1,
            "default": 5,
        },
        "epochs": {"description": "Passes over the texts.", "type": "integer", "minimum": 1, "default": 5},
        "negative": {
            "description": "Random words that are told from each true one.",
            "type": "integer",
            "minimum": 1,
            "default": 5,
        },
        "skip_gram": {
            "description": "Predict the context from a word; otherwise the word from its context (CBOW).",
            "type": "boolean",
            "default": False,
        },
        "seed": {
            "description": "Seed of the initial vectors and of all that is drawn.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2147483647,
            "default": 0,
        },
    },
}
ALGORITHMS = ("word2vec", "fasttext")
FEWEST_WORDS = 3
LONGEST_SEQUENCE = 10_000  # gensim leaves out what a sequence has beyond that


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_word_vectors` on the dataset's texts. There are no metrics."""
    texts = load_sequences(task.settings["texts"]["dataset"]["entry"], task.files["dataset"])
    folder = Path(task.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    train_word_vectors(texts, folder / "final.bin", **task.settings["training"])
    return METRICS.empty_table()


def train_word_vectors(
    texts: Sequence[str],
    file: str | Path,
    *,
    algorithm: str,
    dimension: int,
    window: int,
    min_count: int,
    epochs: int,
    negative: int,
    skip_gram: bool,
    seed: int,
) -> None:
    """Train a vector for each frequent word of `texts` and write them, the most frequent word first.

    Words are runs of letters in lower case, an apostrophe between letters included (`corpora.WORD`); each text is a sequence of
    them, and no context goes beyond it.

    file: gets word2vec's binary format, float32 (words, dimension), which `static_vectors.load_vectors` tells from a
        name that ends in .bin.
    algorithm: "word2vec" (Mikolov et al. 2013, arXiv 1310.4546) or "fasttext" (Bojanowski et al. 2017, arXiv 1607.04606),
        which takes 8 MB of memory for each dimension. Of a fastText model the words' vectors are written, as fastText
        prints them (means over the word and its character n-grams), not those of n-grams.
    window: words before and behind a word that are its context, at most. min_count: occurrences that a word needs.
    negative: random words that are told from each true one. skip_gram: predict the context from a word; otherwise the
        word from its context (CBOW).

    All else is as in the programs of the algorithms' authors: learning rate 0.025 falling to 0.0001, frequent words
    skipped from a share of 0.001 on, fastText with 3 to 6 letters and 2,000,000 buckets. One thread trains, so that
    the same texts and seed give the same bytes.

    Raises ValueError if an option is not as above, if there is no word, or if fewer than 3 are frequent enough.
    """
    from gensim.models import FastText, Word2Vec

    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: {algorithm!r} is not known; choose one of {', '.join(ALGORITHMS)}.")
    counts = {"dimension": dimension, "window": window, "min_count": min_count, "epochs": epochs, "negative": negative}
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{key}: {value!r} is not possible; give a whole number of at least 1.")
    sequences = [part for text in texts for part in _sequences(text)]
    _require_words(sequences, min_count)
    kind = FastText if algorithm == "fasttext" else Word2Vec
    model = kind(
        sequences,
        vector_size=dimension,
        window=window,
        min_count=min_count,
        epochs=epochs,
        negative=negative,
        sg=int(skip_gram),
        seed=seed,
        workers=1,
        hashfxn=_hash,
    )
    with whole_or_nothing(file) as unfinished:
        model.wv.save_word2vec_format(str(unfinished), binary=True)


def _sequences(text: str) -> Iterator[list[str]]:
    words = [intern(word) for word in WORD.findall(text.lower())]
    for start in range(0, len(words), LONGEST_SEQUENCE):
        yield words[start : start + LONGEST_SEQUENCE]


def _require_words(sequences: Sequence[Sequence[str]], min_count: int) -> None:
    counts = Counter(chain.from_iterable(sequences))
    if not counts:
        raise ValueError("There is no word to train vectors of: the texts are empty or hold no letters.")
    frequent = sum(count >= min_count for count in counts.values())
    if frequent < FEWEST_WORDS:
        enough = [count for _, count in counts.most_common(FEWEST_WORDS)]
        mend = f"lower min_count to at most {enough[-1]}" if len(enough) == FEWEST_WORDS else "give more texts"
        raise ValueError(
            f"min_count: {min_count} leaves {frequent} of {len(counts)} words, and at least {FEWEST_WORDS} are needed; "
            f"{mend}."
        )


def _hash(text: str) -> int:
    """The same in every process, as Python's own is not."""
    return zlib.crc32(text.encode())
