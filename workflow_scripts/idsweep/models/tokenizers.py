"""Tokenizers of model folders, as transformers loads them. What their files are is told by `model_files`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.models.folders import CONFIG, names_own_code, tokenizer_files
from idsweep.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRUNCATION_SIDES = ("right", "left")


def load_tokenizer(
    folder: str | Path,
    *,
    prefix_space: bool | None = None,
    truncation_side: str = "right",
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder.

    Parameters
    ----------
    prefix_space
        Whether a space is put before a text that does not begin with one, so that its first word is the token that it
        would be in the middle of a text. Only byte-level BPE (GPT-2, RoBERTa, GPT-NeoX) has the choice; None leaves
        what the tokenizer's files say.
    truncation_side
        The side that texts longer than asked lose: "right" or "left".
    trust_remote_code
        Whether code that the folder brings may be run.

    Raises ValueError if there is no tokenizer, if it cannot be read or needs code of its own that it may not run, and if
    `prefix_space` is given where it has no effect.
    """
    if truncation_side not in TRUNCATION_SIDES:
        raise ValueError(
            f"truncation_side: {truncation_side!r} is not known; choose one of {', '.join(TRUNCATION_SIDES)}."
        )
    tokenizer_files(folder)
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                truncation_side=truncation_side,
            )
    except Exception as error:
        files = (Path(folder) / name for name in ("tokenizer_config.json", CONFIG))
        if not trust_remote_code and any(map(names_own_code, files)):
            raise ValueError(
                f"{folder}: the tokenizer may need code of its own (auto_map), which is not run unless this model's "
                f"`trust_remote_code` is true: read the code, then set it. Without it, it cannot be loaded: {error}"
            ) from error
        raise ValueError(f"{folder}: the tokenizer cannot be loaded: {error}") from error
    if prefix_space is not None:
        _set_prefix_space(tokenizer, prefix_space, folder)
    return tokenizer


def mask_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the mask token. Raises ValueError if the tokenizer has none."""
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"{tokenizer.name_or_path}: the tokenizer has no mask token, which `masked: true` needs. "
            "Set `masked: false`, or measure a model that was trained with masks (kind masked)."
        )
    return tokenizer.mask_token_id


def _set_prefix_space(tokenizer: PreTrainedTokenizerBase, prefix_space: bool, folder: str | Path) -> None:
    """Changes the fast tokenizer itself: transformers hands `add_prefix_space` on to some of its classes only."""
    from tokenizers.pre_tokenizers import ByteLevel

    splitter = tokenizer.backend_tokenizer.pre_tokenizer if tokenizer.is_fast else None
    if not isinstance(splitter, ByteLevel):
        raise ValueError(
            f"prefix_space: it has no effect on the tokenizer of {folder} ({type(tokenizer).__name__}), "
            "which is not plain byte-level BPE as those of GPT-2 and RoBERTa. Leave the key out."
        )
    splitter.add_prefix_space = prefix_space
    tokenizer.backend_tokenizer.pre_tokenizer = splitter
    tokenizer.add_prefix_space = prefix_space
