"""Tokenizers of model folders, as transformers loads them. What their files are is told by `model_files`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import chain, product, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.models.folders import CONFIG, names_own_code, tokenizer_files
from idsweep.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRUNCATION_SIDES = ("right", "left")

# What tokenizers differ in: digits, white space, line breaks, case, accents, punctuation, contractions and scripts.
TEXT = (
    "In 1987 it cost 12345.678, 90% more\u2014  isn't it?\n\n\tThe  MILL's na\u00efve fa\u00e7ade\r\n def f(x): return x**2  # __init__\n"
    " \u041c\u043e\u0441\u043a\u0432\u0430, \u0391\u03b8\u03ae\u03bd\u03b1; "
    "\u5317\u4eac\u6b22\u8fce\u4f60\u3002\u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4 "
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0661\u0662\u0663 "
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u05e2\u05d1\u05e8\u05d9\u05ea e\u0301 \ufb01 \U0001f642\U0001f469\u200d\U0001f52c\u00a0end   "
)
# Where one is cut depends on what stands around it: white space before digits, say. So each of them stands between any two.
KINDS = (" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "a", "The", "1", "2345", ".", "--", "'s", "_", "<")
KINDS += ("\u00e9", "e\u0301", "\u5317", "\U0001f642")
PROBE = TEXT + "".join(chain.from_iterable(product(KINDS, repeat=3)))
# Keys of tokenizer_config.json that say what parts of tokenizer.json say as well: key -> part, its key.
STATED = {
    "add_prefix_space": ("ByteLevel", "add_prefix_space"),
    "do_lower_case": ("BertNormalizer", "lowercase"),
    "strip_accents": ("BertNormalizer", "strip_accents"),
    "tokenize_chinese_chars": ("BertNormalizer", "handle_chinese_chars"),
}

logger = logging.getLogger(__name__)


def load_tokenizer(
    folder: str | Path,
    *,
    prefix_space: bool | None = None,
    truncation_side: str = "right",
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, which cuts texts as its tokenizer.json says.

    Some classes of transformers build their tokenizer anew and leave parts of that file out. The file is the model's own: where
    the two give other tokens, a tokenizer is made from the file, with a warning. Keys of tokenizer_config.json that say the same
    things (`STATED`) count before the file.

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
    if not (trust_remote_code and names_own_code(Path(folder) / "tokenizer_config.json")):
        tokenizer = _as_in_file(tokenizer, Path(folder), truncation_side)
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


def _as_in_file(tokenizer: PreTrainedTokenizerBase, folder: Path, truncation_side: str) -> PreTrainedTokenizerBase:
    """The tokenizer, or one made of tokenizer.json if that cuts the probe otherwise. Raises ValueError if none can be."""
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").is_file() or type(tokenizer) is PreTrainedTokenizerFast:
        return tokenizer
    try:
        with quiet_transformers():
            of_file = PreTrainedTokenizerFast.from_pretrained(
                folder, local_files_only=True, truncation_side=truncation_side
            )
    except Exception as error:
        raise ValueError(f"{folder}: no tokenizer can be made of its tokenizer.json: {error}") from error
    _take_roles(of_file, tokenizer)
    inside = [str(token) for token in of_file.added_tokens_decoder.values()]
    try:
        built = _pieces(tokenizer, inside)
    except Exception as error:
        raise ValueError(f"{folder}: the tokenizer ({type(tokenizer).__name__}) cannot cut a text: {error}") from error
    if _pieces(of_file, inside) == built:
        return tokenizer
    _set_stated(of_file, folder)
    if (filed := _pieces(of_file, inside)) == built:
        return tokenizer
    here = next(place for place, pair in enumerate(zip_longest(built, filed)) if pair[0] != pair[1])
    logger.warning(
        "%s: the tokenizer that transformers makes (%s) cuts texts otherwise than tokenizer.json, as %s instead of %s. "
        "tokenizer.json is followed.",
        folder,
        type(tokenizer).__name__,
        *(" ".join(repr(piece) for piece, _ in pieces[here : here + 3]) for pieces in (built, filed)),
    )
    return of_file


def _take_roles(of_file: PreTrainedTokenizerBase, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer made of tokenizer.json what the class knows: which tokens end, begin, pad …, and where they are added.

    Some classes add them by other files, as the code of a language.
    """
    vocabulary = of_file.get_vocab()
    for role, token in tokenizer.special_tokens_map.items():
        if isinstance(token, str) and role not in of_file.special_tokens_map and token in vocabulary:
            setattr(of_file, role, token)
    if tokenizer.is_fast:
        of_file.backend_tokenizer.post_processor = tokenizer.backend_tokenizer.post_processor


def _pieces(tokenizer: PreTrainedTokenizerBase, inside: Sequence[str]) -> list[tuple[str, int]]:
    """Pieces and ids of the probe, and of added tokens within words and around white space."""
    text = PROBE + "".join(f"ab{token} c{token}d {token}\n" for token in inside)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return list(zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True))


def _set_stated(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Do what tokenizer_config.json says about normalisation and a space before the first word."""
    from tokenizers import Tokenizer, models

    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    backend, parts = tokenizer.backend_tokenizer, Tokenizer(models.BPE())
    names = [name for name in ("normalizer", "pre_tokenizer") if getattr(backend, name) is not None]
    for name in names:
        setattr(parts, name, getattr(backend, name))
    state = json.loads(parts.to_str())
    for key, (kind, setting) in STATED.items():
        for name in names:
            # Not of parts of a sequence: a space before each of its pieces is not one before the text.
            if state[name]["type"] == kind and stated.get(key) is not None:
                state[name][setting] = bool(stated[key])
    parts = Tokenizer.from_str(json.dumps(state))
    for name in names:
        setattr(backend, name, getattr(parts, name))
