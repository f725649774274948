"""Word vectors trained here: the same each time, with sense in them, and in a format that is read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from idsweep.data.corpora import Corpus, load_sequences
from idsweep.data.tokens import sample_vocabulary
from idsweep.models.static_vectors import load_vectors
from idsweep.training import word_vectors
from idsweep.training.word_vectors import train_word_vectors

OPTIONS = {
    "algorithm": "word2vec",
    "dimension": 8,
    "window": 2,
    "min_count": 1,
    "epochs": 10,
    "negative": 5,
    "skip_gram": False,
    "seed": 0,
}
LEE_NEWS = {
    "loader": "text",
    "package": "gensim",
    "file": "test/test_data/lee_background.cor",
    "encoding": "latin-1",
}
# In each sentence the subject and the object are of one kind, and any of a kind stands where another might.
KINDS = {
    "beast": ["bado", "beki", "bimu", "bolo", "buna"],
    "fruit": ["fadi", "feso", "fina", "foru", "fuke"],
    "stone": ["gako", "geli", "giso", "gonu", "gura"],
}
VERBS = ["sees", "likes"]


def made_up_language(sentences: int = 3000) -> list[str]:
    rng = np.random.default_rng(0)
    kinds = list(KINDS.values())
    return [
        f"{rng.choice(kind)} {rng.choice(VERBS)} {rng.choice(kind)}"
        for kind in (kinds[rng.integers(len(kinds))] for _ in range(sentences))
    ]


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


TRAIN = f"""
from pathlib import Path
from sys import argv
from idsweep.training.word_vectors import train_word_vectors
texts = Path(argv[1]).read_text().splitlines()
train_word_vectors(texts, argv[2], **({OPTIONS!r} | {{"algorithm": argv[3], "epochs": 2}}))
"""


@pytest.mark.parametrize("algorithm", ["word2vec", "fasttext"])
def test_the_same_texts_give_the_same_bytes_in_every_process(algorithm, tmp_path):
    (tmp_path / "texts").write_text("\n".join(made_up_language(300)))
    packages = os.pathsep.join(path for path in sys.path if path)
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", TRAIN, tmp_path / "texts", tmp_path / f"{seed}.bin", algorithm],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": packages},
            check=True,
        )
    first, second = (hashlib.sha256((tmp_path / f"{seed}.bin").read_bytes()).digest() for seed in ("1", "2"))
    assert first == second


@pytest.mark.parametrize("algorithm", ["word2vec", "fasttext"])
@pytest.mark.parametrize("skip_gram", [False, True], ids=["CBOW", "skip-gram"])
def test_words_that_stand_in_the_same_places_are_near_each_other(algorithm, skip_gram, tmp_path):
    file = tmp_path / "vectors.bin"
    train_word_vectors(
        made_up_language(), file, **OPTIONS | {"algorithm": algorithm, "skip_gram": skip_gram, "epochs": 30}
    )
    words, vectors = load_vectors(file)
    between = cosines(vectors)
    kind_of = {word: kind for kind, of_kind in KINDS.items() for word in of_kind}
    for word, kind in kind_of.items():
        others = [other for other in kind_of if other != word]
        others.sort(key=lambda other: -between[words.index(word), words.index(other)])
        assert [kind_of[other] for other in others[:4]] == [kind] * 4


@pytest.mark.parametrize("algorithm", ["word2vec", "fasttext"])
def test_the_file_holds_the_frequent_words_most_frequent_first(algorithm, tmp_path):
    texts = [*made_up_language(400), "Rare words, rare 3 words!"]
    file = tmp_path / "deeper" / "vectors.bin"
    train_word_vectors(texts, file, **OPTIONS | {"algorithm": algorithm, "min_count": 2, "epochs": 1})
    words, vectors = load_vectors(file)
    counts = Counter(word for text in texts for word in text.lower().replace(",", "").replace("!", "").split())
    assert set(words) == {word for word, count in counts.items() if count >= 2}
    assert {"rare", "words"} <= set(words) and "3" not in words
    of_words = [counts[word] for word in words]
    assert of_words == sorted(of_words, reverse=True)
    assert vectors.shape == (len(words), OPTIONS["dimension"]) and np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(words)
    read = KeyedVectors.load_word2vec_format(str(file), binary=True)
    assert read.index_to_key == words
    np.testing.assert_array_equal(read.vectors, vectors)
    assert list(file.parent.iterdir()) == [file]


def test_words_are_runs_of_letters_in_lower_case(tmp_path):
    text = "Don't  STOP: naïve l’été über_alles x2y\nЖизнь 42"
    train_word_vectors([text], tmp_path / "v.bin", **OPTIONS)
    words, _ = load_vectors(tmp_path / "v.bin")
    assert set(words) == {"don't", "stop", "naïve", "l’été", "über", "alles", "x", "y", "жизнь"}


def test_every_word_is_counted_as_often_as_it_was_trained_on(tmp_path):
    texts = [*load_sequences(LEE_NEWS), "Don’t, don’t! 7pm x2y"]
    for least in (1, 10):
        train_word_vectors(texts, tmp_path / "v.bin", **OPTIONS | {"min_count": least, "epochs": 1})
        words, _ = load_vectors(tmp_path / "v.bin")
        corpus = Corpus(np.arange(len(texts)), texts, None)
        counted = sample_vocabulary(words, number=None, seed=0, counted_in=corpus)["count"].to_pylist()
        assert min(counted) == least
        assert counted == sorted(counted, reverse=True), "words stand by how often they were trained on"
    assert {"pm", "th", "am"} <= set(words)


def test_the_end_of_a_long_text_is_trained_on_as_well(tmp_path, monkeypatch):
    text = " ".join("".join(letters) for letters in islice(product("abcdefghijklmnop", repeat=4), 12_000))

    def moved() -> list[bool]:
        """Whether a second pass over the text changes the vectors of the word 5,000 and of the last one."""
        passes = []
        for epochs in (1, 2):
            train_word_vectors([text], tmp_path / "vectors.bin", **OPTIONS | {"epochs": epochs})
            words, vectors = load_vectors(tmp_path / "vectors.bin")
            passes.append(vectors[[words.index(word) for word in (text.split()[5000], text.split()[-1])]])
        return (passes[0] != passes[1]).any(axis=1).tolist()

    assert moved() == [True, True]
    monkeypatch.setattr(word_vectors, "LONGEST_SEQUENCE", 10**9)
    assert moved() == [True, False]


def test_options_reach_the_training(tmp_path):
    texts = made_up_language(100)
    made = {}
    for key, value in {"seed": 1, "window": 1, "epochs": 3, "negative": 2, "skip_gram": True, "dimension": 9}.items():
        train_word_vectors(texts, tmp_path / f"{key}.bin", **OPTIONS | {key: value})
        made[key] = (tmp_path / f"{key}.bin").read_bytes()
    train_word_vectors(texts, tmp_path / "as_is.bin", **OPTIONS)
    assert len({*made.values(), (tmp_path / "as_is.bin").read_bytes()}) == 7


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "There is no word to train vectors of"),
        (["", "1 2 3 …"], {}, "no letters"),
        (["a a b b c"], {"min_count": 2}, "min_count: 2 leaves 2 of 3 words, .* lower min_count to at most 1"),
        (["one word word"], {}, "min_count: 1 leaves 2 of 2 words, .* give more texts"),
        (["a b c"], {"algorithm": "glove"}, "algorithm: 'glove' is not known; choose one of word2vec, fasttext"),
        (["a b c"], {"negative": 0}, "negative: 0 is not possible; give a whole number of at least 1"),
        (["a b c"], {"dimension": 1.5}, "dimension: 1.5 is not possible"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_no_file(texts, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_word_vectors(texts, tmp_path / "vectors.bin", **OPTIONS | options)
    assert not list(Path(tmp_path).iterdir())
