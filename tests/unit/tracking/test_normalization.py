"""Texts and values in one writing."""

from __future__ import annotations

import pytest
from idsweep.tracking.normalization import normalize_text, normalize_value, words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("I need to leave at 5 PM.", "i need to leave at 17:00"),
        ("at 5:30pm please", "at 17:30 please"),
        ("at 5.30 p.m. please", "at 17:30 please"),
        ("at 12 am and 12 pm", "at 00:00 and 12:00"),
        ("by 5.30", "by 05:30"),
        ("by 9:05", "by 09:05"),
        ("24:15 is late", "00:15 is late"),
        ("17:30 pm", "17:30"),
        ("it is 5.30 pounds, or £5.30", "it is 5.30 pounds, or £5.30"),
        ("12.30.2020 and 25:10 and 10:75", "12.30.2020 and 25:10 and 10:75"),
        ("I don't want, can’t", "i do not want, ca not"),
        ("a four star or 3-star guesthouse", "a 4 star or 3 star guest house"),
        ("B&B, bed & breakfast", "bed and breakfast, bed and breakfast"),
        ("archaelogy\tmuseum\n", "archaeology museum "),
    ],
)
def test_texts(said: str, expected: str) -> None:
    assert normalize_text(said) == expected
    assert normalize_text(expected) == expected, "what is normalised stays"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5 PM", "17:00"),
        ("noon", "12:00"),
        ("Midnight", "00:00"),
        ("17 30", "17:30"),
        ("9.15", "09:15"),
        ("Saint John 's College", "saint john's college"),
        ("  the   Acorn ", "the acorn"),
    ],
)
def test_values(value: str, expected: str) -> None:
    assert normalize_value(value) == expected


def test_words_are_split_at_what_is_no_letter_or_digit() -> None:
    assert words("leave at 17:00, please -- st. john's") == [
        *("leave", "at", "17", ":", "00", ",", "please", "--", "st", ".", "john", "'", "s"),
    ]
    assert words(" ") == []
