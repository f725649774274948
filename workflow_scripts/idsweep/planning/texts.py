"""How long the texts of a dataset are, before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.data.entries import corpus_files
from idsweep.data.loaders import registry as loaders
from idsweep.sweep.models import Tokenizer
from idsweep.sweep.sweep import PARTS, Dataset, Sweep
from idsweep.training import kinds

CHARACTERS_PER_TOKEN = 4.2  # English, vocabularies of 30,000 and more; measured on lee_news with MiniLM: 4.3
CHARACTERS_PER_TOKEN_OF_SMALL = 2.6  # vocabularies of about 2,000, film_reviews with the demo's tokenizer
SMALL_VOCABULARY = 8_000
UNKNOWN_TOKENS = 128  # of a text that is not here yet
UNKNOWN_NUMBER = 10_000
READ_AT_MOST = 2**24  # bytes in which lines are counted
WITHOUT_LINES = (".parquet", ".gz", ".bz2", ".xz", ".zst", ".zip")


class Texts(NamedTuple):
    """number: of texts. tokens: mean length of one, not cut. known: whether they are here to be counted."""

    number: int
    tokens: float
    known: bool

    def cut(self, length: int) -> float:
        """Mean tokens of a text that is cut to `length`; lengths are taken as exponentially distributed."""
        return self.tokens * (1 - exp(-length / self.tokens))


def texts_of(sweep: Sweep, dataset: str, tokenizer: Tokenizer) -> Texts:
    """The texts of a measured dataset: those that are sampled from."""
    corpus = sweep.corpus(dataset, tokenizer.owner)
    texts = of_corpus(corpus, tokenizer)
    if dataset in PARTS:
        texts = texts._replace(number=round(texts.number * _share(tokenizer.owner, PARTS[dataset])))
    number = sweep.config["tokens"]["sequences"]
    if number is not None:
        texts = texts._replace(number=min(number, texts.number) if texts.known else number)
    return texts


def _share(entry: Mapping[str, Any], part: str) -> float:
    """The share of its dataset that a training takes (`train`), or holds out."""
    shares = {name: entry["training"][key] for name, key in kinds.get(entry["train"]).share.items()}
    trained = shares.get("trained_fraction", 1 - shares.get("held_out_fraction", 0))
    return trained if part == "train" else 1 - trained


def of_corpus(corpus: Dataset, tokenizer: Tokenizer) -> Texts:
    """All texts of one split: lines of local files are counted; texts from the hub and in other formats are unknown."""
    entry = corpus.entry
    if corpus.generator is not None:
        return Texts(corpus.generator.number(entry), corpus.generator.tokens, True)
    files = [] if corpus.prepared else corpus_files(entry)
    if not files or any(file.suffix in WITHOUT_LINES for file in files):
        return Texts(UNKNOWN_NUMBER, UNKNOWN_TOKENS, False)
    size = sum(file.stat().st_size for file in files)
    number = _lines(files[0]) if loaders.get(entry["loader"]).pattern is None else len(files)
    share = entry.get("own_splits", {}).get(entry["split"], 1)
    return Texts(max(1, round(number * share)), size / number / characters_per_token(tokenizer), True)


def characters_per_token(tokenizer: Tokenizer) -> float:
    """How many characters of a text make a token, on the average of English."""
    small = tokenizer.options.get("vocabulary_size", SMALL_VOCABULARY) < SMALL_VOCABULARY
    return CHARACTERS_PER_TOKEN_OF_SMALL if small else CHARACTERS_PER_TOKEN


def _lines(file: Path) -> int:
    """Lines of a file; of a large one as many as its beginning lets expect."""
    with file.open("rb") as opened:
        read = opened.read(READ_AT_MOST)
    return max(1, round(len(read.splitlines()) * file.stat().st_size / max(1, len(read))))
