"""A small tokenizer of RoBERTa's kind."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def roberta() -> PreTrainedTokenizerBase:
    """Each letter is a piece, a space before it belongs to it; special tokens as RoBERTa's."""
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, *(f"Ġ{letter}" for letter in LETTERS), "Ġ"]
    inner = Tokenizer(
        models.BPE({token: id for id, token in enumerate(vocabulary)}, [("Ġ", letter) for letter in LETTERS])
    )
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **names)
