"""Models in GGUF, the format of llama.cpp: one file with weights, often quantised, and the tokenizer.

A file is turned into a model folder once, by transformers' own reader, and is from then on a model like any other. Quantised weights
become the numbers that they stand for.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from idsweep.models.folders import COMMIT_FILE, Architecture, commit_of
from idsweep.models.quiet import quiet_transformers

MAGIC, VERSIONS = b"GGUF", (2, 3)
MISSING = "GGUF files are read with the package gguf, which is not installed. Install it with: pip install gguf"
TOKENIZER, CUT = "tokenizer.ggml.model", "tokenizer.ggml.pre"
MANY_PARAMETERS = 10**9  # from here on weights are kept in 16 bits, as models of that size are run
# How byte-level tokenizers cut texts into words before bytes are merged, by the name in the file (llama.cpp, llama-vocab.cpp).
AS_GPT2 = ("gpt-2", "default", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de")
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")

logger = logging.getLogger(__name__)


def convert_weights(file: str | Path, folder: str | Path) -> None:
    """Write the model of a GGUF file as a model folder: config.json and weights, float32, of 1e9 parameters and more bfloat16.

    Parameters
    ----------
    file
        As llama.cpp's tools write it.
    folder
        Made anew.

    Raises
    ------
    ValueError
        If the file is no GGUF, is cut short, or holds an architecture or weights that transformers cannot turn into a model; if
        the package gguf is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = _checked(file)
    config = _config(path)
    with torch.device("meta"):
        parameters = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    dtype = torch.float32 if parameters < MANY_PARAMETERS else torch.bfloat16
    with quiet_transformers(), _told(path):
        loaded, report = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, config=config, dtype=dtype, output_loading_info=True
        )
    if wrong := {key: sorted(names) for key, names in report.items() if names}:
        raise ValueError(
            f"{path} does not hold the model that its header tells: {json.dumps(wrong, default=str)[:500]}."
        )
    plain = AutoModelForCausalLM.from_config(config, dtype=dtype)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)
    _keep_commit(path, folder)
    logger.info("%s: %s parameters as %s", path.name, f"{parameters:,}", dtype)


def convert_tokenizer(file: str | Path, folder: str | Path) -> None:
    """Write the tokenizer of a GGUF file, and config.json, as a folder.

    transformers cuts the texts of all byte-level tokenizers as GPT-2's does. Files name the way that is right; the ways of
    `DIGITS_APART` and `AS_GPT2` are known here.

    Raises
    ------
    ValueError
        As `convert_weights`; and if the file names another way, since its tokens would be other ones.
    """
    from transformers import AutoTokenizer

    path = _checked(file)
    kind, cut = _fields(path, TOKENIZER, CUT)
    with quiet_transformers(), _told(path):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if kind == "gpt2":
        _set_cut(tokenizer, cut, path)
    elif kind != "llama":
        raise ValueError(
            f"{path} holds a tokenizer of type {kind!r}, which is not known here. Give the model's entry the tokenizer of another, as "
            "`tokenizer: {of: NAME}`."
        )
    _config(path).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _keep_commit(path, folder)


def read_shape(file: str | Path) -> Architecture:
    """Number of blocks, width and longest sequence, from a file's header. Raises ValueError as `convert_weights`."""
    path = _checked(file)
    (architecture,) = _fields(path, "general.architecture")
    keys = (f"{architecture}.{key}" for key in ("block_count", "embedding_length", "context_length"))
    layers, width, positions = _fields(path, *keys)
    if not layers or not width:
        raise ValueError(f"{path} does not say how many blocks the model has, and how wide they are.")
    return Architecture(int(layers), int(width), None if positions is None else int(positions))


@contextmanager
def on_hand(file: str, settings: Mapping[str, Any]) -> Iterator[Path]:
    """A local GGUF file, or one that is fetched from the hub for as long as it is needed.

    file: empty for one on the hub; settings: of the job, with `gguf`, `hub` and `revision` then. Raises ValueError as `hub.fetch_file`.
    """
    if file:
        yield Path(file)
        return
    from idsweep.models.hub import fetch_file

    with TemporaryDirectory() as folder:
        fetch_file(settings["hub"], settings["revision"], settings["gguf"], Path(folder, "file"))
        yield Path(folder, "file", settings["gguf"])


def _keep_commit(file: Path, folder: str | Path) -> None:
    """Note the commit of a file that was fetched, as in fetched model folders."""
    if commit := commit_of(file.parent):
        Path(folder, COMMIT_FILE).write_text(f"{commit}\n", encoding="utf-8")


def _set_cut(tokenizer: Any, cut: str | None, path: Path) -> None:
    from tokenizers import pre_tokenizers

    if cut in DIGITS_APART:
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    elif cut not in AS_GPT2:
        raise ValueError(
            f"{path} cuts texts in the way {cut or 'that it does not name'!r}, which is not known here: its tokens would be other ones. "
            f"Known are {', '.join((*AS_GPT2, *DIGITS_APART))}. Give the model's entry the tokenizer of the model that was quantised, as "
            "`tokenizer: {of: NAME}`."
        )


def _config(path: Path) -> Any:
    """The config of the model, without a word of quantisation."""
    from transformers import AutoConfig

    with quiet_transformers(), _told(path):
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


def _checked(file: str | Path) -> Path:
    """The file, which is GGUF by its first bytes. Raises ValueError if it is not, or nothing can read it."""
    if find_spec("gguf") is None:
        raise ValueError(MISSING)
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    with path.open("rb") as opened:
        first = opened.read(8)
    if first[:4] != MAGIC or len(first) < 8 or struct.unpack("<I", first[4:])[0] not in VERSIONS:
        raise ValueError(
            f"{path} is no GGUF file of version {' or '.join(map(str, VERSIONS))}: it begins with {first!r}."
        )
    return path


def _fields(path: Path, *names: str) -> list[Any]:
    """Values of a file's header; None for what is not there."""
    from gguf import GGUFReader

    with _told(path):
        fields = GGUFReader(path).fields
        return [fields[name].contents() if name in fields else None for name in names]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever the readers raise, as a ValueError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a model in GGUF: {error}. Is it whole?") from error
