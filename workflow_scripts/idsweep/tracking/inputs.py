"""What a tracker reads in a turn: the user's words, the system's before, and the history, the newest first.

    RoBERTa   <s> U_t </s></s> S_t-1 </s></s> U_t-1 </s> S_t-2 </s> … </s>
    BERT      [CLS] U_t [SEP] S_t-1 [SEP] U_t-1 [SEP] S_t-2 [SEP] … [SEP]

Words are tokenised one by one, each behind a space, so that every piece belongs to one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

USER, SYSTEM = 0, 1


class Input(NamedTuple):
    """One sequence of n tokens.

    token_ids: int32 (n,). user: bool (n,), pieces of words that a user said, of this turn or the history.
    part, word: int32 (n,), the part of the turn (0 is the user's own) and the word in it of each piece, -1 of special tokens.
    """

    token_ids: np.ndarray
    user: np.ndarray
    part: np.ndarray
    word: np.ndarray


class Composer:
    """Makes inputs with one tokenizer, which needs a beginning (or class) and an end (or separating) token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        if begin is None or end is None:
            raise ValueError(
                f"The tokenizer {tokenizer.name_or_path} has no beginning or no end token, which a tracker's input is made of; "
                "take one of RoBERTa's or BERT's kind."
            )
        of_pair = tokenizer("a", "a", return_special_tokens_mask=True)["special_tokens_mask"]
        self._begin, self._between, self._end = [begin], [end] * max(1, sum(of_pair) - 2), [end]
        self._tokenizer, self._max_length = tokenizer, max_length
        self._pieces: dict[str, list[int]] = {}
        if max_length <= self._n_special:
            raise ValueError(f"max_length: {max_length} leaves no room beside {self._n_special} special tokens.")

    @property
    def _n_special(self) -> int:
        return len(self._begin) + 2 * len(self._between) + len(self._end)

    def compose(self, parts: Sequence[Sequence[str]], history: int | None = None) -> Input:
        """The sequence of a turn's parts (see `Turn`), of which the history keeps `history` turns (None: all that fit).

        Where it is too long, the oldest turns of the history go first, then the ends of the longer of the user's and the system's turn.
        """
        pieces = [self._of_part(place, part) for place, part in enumerate(parts)]
        user, system, past = pieces[0], pieces[1], pieces[2:]
        room = self._max_length - self._n_special
        if history is not None:
            past = past[:history]
        while past and len(user) + len(system) + sum(map(len, past)) + len(past) - 1 > room:
            past.pop()
        while len(user) + len(system) > room:
            longer = user if len(user) > len(system) else system
            longer.pop()
        end = _special(self._end)
        row = _special(self._begin) + user + _special(self._between) + system + _special(self._between)
        for place, part in enumerate(past):
            row += (end if place else []) + part
        token_ids, part, word = np.array(row + end, dtype=np.int32).T
        return Input(token_ids, (part >= 0) & (part % 2 == USER), part, word)

    def single(self, part: Sequence[str]) -> list[int]:
        """The token ids of one part between a beginning and an end."""
        return [*self._begin, *(piece for piece, _, _ in self._of_part(0, part)), *self._end]

    def _of_part(self, place: int, part: Sequence[str]) -> list[tuple[int, int, int]]:
        return [(piece, place, number) for number, word in enumerate(part) for piece in self._of_word(word)]

    def _of_word(self, word: str) -> list[int]:
        if word not in self._pieces:
            self._pieces[word] = self._tokenizer.encode(f" {word}", add_special_tokens=False)
        return self._pieces[word]


def _special(ids: Sequence[int]) -> list[tuple[int, int, int]]:
    return [(id, -1, -1) for id in ids]
