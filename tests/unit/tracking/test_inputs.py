"""A tracker's inputs: their order, which pieces are of which word, and what goes first where there is no room."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from builders.model_folders import MINILM
from builders.tokenizers import roberta
from idsweep.models.tokenizers import load_tokenizer
from idsweep.tracking.inputs import Composer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PARTS = [["ab", "c"], ["de"], ["f", "g"], ["hi"], ["j"]]


def said(tokenizer: PreTrainedTokenizerBase, ids: np.ndarray) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids.tolist())).replace("Ġ", "_")


def test_roberta_s_order_and_marks() -> None:
    tokenizer = roberta()
    composed = Composer(tokenizer, 40).compose(PARTS)
    assert said(tokenizer, composed.token_ids) == ("<s> _a b _c </s> </s> _d e </s> </s> _f _g </s> _h i </s> _j </s>")
    assert composed.part.tolist() == [-1, 0, 0, 0, -1, -1, 1, 1, -1, -1, 2, 2, -1, 3, 3, -1, 4, -1]
    assert composed.word.tolist() == [-1, 0, 0, 1, -1, -1, 0, 0, -1, -1, 0, 1, -1, 0, 0, -1, 0, -1]
    assert np.flatnonzero(composed.user).tolist() == [1, 2, 3, 10, 11, 16]
    assert all(array.dtype == np.int32 for array in (composed.token_ids, composed.part, composed.word))


def test_the_first_turn_has_no_system_and_no_history() -> None:
    tokenizer = roberta()
    assert (
        said(tokenizer, Composer(tokenizer, 40).compose([["ab"], []]).token_ids) == "<s> _a b </s> </s> </s> </s> </s>"
    )


@pytest.mark.parametrize(
    ("length", "history", "expected"),
    [
        (18, None, "<s> _a b _c </s> </s> _d e </s> </s> _f _g </s> _h i </s> _j </s>"),
        (17, None, "<s> _a b _c </s> </s> _d e </s> </s> _f _g </s> _h i </s>"),
        (15, None, "<s> _a b _c </s> </s> _d e </s> </s> _f _g </s>"),
        (12, None, "<s> _a b _c </s> </s> _d e </s> </s> </s>"),
        (10, None, "<s> _a b </s> </s> _d e </s> </s> </s>"),
        (9, None, "<s> _a b </s> </s> _d </s> </s> </s>"),
        (40, 1, "<s> _a b _c </s> </s> _d e </s> </s> _f _g </s>"),
        (40, 0, "<s> _a b _c </s> </s> _d e </s> </s> </s>"),
    ],
)
def test_what_has_no_room_goes_the_oldest_first(length: int, history: int | None, expected: str) -> None:
    tokenizer = roberta()
    composed = Composer(tokenizer, length).compose(PARTS, history)
    assert said(tokenizer, composed.token_ids) == expected
    assert len(composed.token_ids) <= length


def test_bert_has_one_token_between() -> None:
    package, folder = MINILM
    tokenizer = load_tokenizer(Path(find_spec(package).submodule_search_locations[0]) / folder)
    composed = Composer(tokenizer, 40).compose([["hello", "there"], ["yes"], ["cheap"], ["no"]])
    assert said(tokenizer, composed.token_ids) == "[CLS] hello there [SEP] yes [SEP] cheap [SEP] no [SEP]"


def test_a_length_without_room_and_a_tokenizer_without_an_end_are_refused() -> None:
    with pytest.raises(ValueError, match="max_length: 6 leaves no room beside 6 special tokens"):
        Composer(roberta(), 6)
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(ValueError, match="no beginning or no end token"):
        Composer(bare, 20)
