"""A byte-level BPE tokenizer trained on a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Sequence[str], output_folder: str | Path, *, vocabulary_size: int) -> None:
    """Train byte-level BPE (as GPT-2's) on `texts` and save it as a tokenizer folder.

    The vocabulary holds the 256 bytes, so that no text is unknown, and "<|endoftext|>", which ends texts
    and pads. The same texts give the same tokenizer.

    Raises ValueError if there is no text or the vocabulary has no room for the bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    smallest = len(pre_tokenizers.ByteLevel.alphabet()) + 1
    if vocabulary_size < smallest:
        raise ValueError(f"vocabulary_size: {vocabulary_size} is too small; the bytes alone need {smallest}.")
    if not any(texts):
        raise ValueError("There is no text to train a tokenizer on.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(output_folder)
