"""Tokenizers of model folders: their files, and how they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def tokenizer_files(folder: str | Path) -> list[Path]:
    found = [path for name in sorted(TOKENIZER_FILES) if (path := Path(folder) / name).is_file()]
    if not found:
        raise ValueError(f"{folder} holds no tokenizer: none of {', '.join(TOKENIZER_FILES)}.")
    return found


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder. Raises ValueError if there is none or it cannot be read."""
    tokenizer_files(folder)
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"{folder}: the tokenizer cannot be loaded: {error}") from error
