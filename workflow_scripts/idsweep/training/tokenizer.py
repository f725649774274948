"""Tokenizers made here: byte-level BPE trained on a corpus, and whole words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.files.atomic import whole_or_nothing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("end", "roberta")
END_OF_TEXT = "<|endoftext|>"
PADDING = "<|padding|>"
MASK = "<|mask|>"


def train_tokenizer(
    texts: Sequence[str],
    output_folder: str | Path,
    *,
    vocabulary_size: int,
    mask: bool = False,
    special_tokens: str = "end",
) -> None:
    """Train byte-level BPE (as GPT-2's) on `texts` and save it as a tokenizer folder.

    The vocabulary holds the 256 bytes, so that no text is unknown, and "<|endoftext|>", which ends texts
    and pads. The same texts give the same tokenizer.

    mask: for masked language models. Adds "<|mask|>", and "<|padding|>" to pad with: RoBERTa's relatives count no
        position at padding tokens, which therefore must not stand between texts.

    special_tokens: `roberta` has RoBERTa's instead, "<s>", "<pad>", "</s>" and "<mask>", with or without `mask`, and puts them
        around a text and between two: `<s> A </s></s> B </s>`.

    Raises ValueError if there is no text or the vocabulary has no room for the bytes and the special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if special_tokens == "roberta":
        named = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "mask_token": "<mask>"}
    elif mask:
        named = {"eos_token": END_OF_TEXT, "pad_token": PADDING, "mask_token": MASK}
    else:
        named = {"eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    special = list(dict.fromkeys(named.values()))
    smallest = len(pre_tokenizers.ByteLevel.alphabet()) + len(special)
    if vocabulary_size < smallest:
        raise ValueError(
            f"vocabulary_size: {vocabulary_size} is too small; the bytes and special tokens alone need {smallest}."
        )
    if not any(texts):
        raise ValueError("There is no text to train a tokenizer on.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if special_tokens == "roberta":
        end, begin = (tokenizer.token_to_id(named[name]) for name in ("eos_token", "bos_token"))
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", end), ("<s>", begin), trim_offsets=False, add_prefix_space=False
        )
        named |= {"cls_token": "<s>", "sep_token": "</s>"}
    trained = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named)
    _save(trained, output_folder)


def word_tokenizer(words: Sequence[str], output_folder: str | Path) -> None:
    """Save a tokenizer folder whose tokens are exactly `words`, with ids in their order.

    Texts are split at white space. There is no special token, none for unknown words either: a text with another
    word cannot be tokenised.

    Raises ValueError if there is no word, or one is empty, holds white space or comes twice.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if not words:
        raise ValueError("There is no word to make a tokenizer of.")
    if unfit := [word for word in words if word.split() != [word]]:
        raise ValueError(f"words: {unfit[0]!r} is empty or holds white space, at which texts are split.")
    ids = {word: id for id, word in enumerate(words)}
    if len(ids) < len(words):
        twice = next(word for id, word in enumerate(words) if ids[word] != id)
        raise ValueError(f"words: {twice!r} comes twice; each word is one token.")
    tokenizer = Tokenizer(models.WordLevel(ids))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)
    _save(whole, output_folder)


def _save(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Save as a folder that is whole or not there; to a folder that is there, a model's, files are added."""
    if Path(folder).is_dir():
        tokenizer.save_pretrained(folder)
        return
    with whole_or_nothing(folder) as unfinished:
        tokenizer.save_pretrained(unfinished)
