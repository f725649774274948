"""What lies in model folders, told from their files alone: names, completeness, config.json, what determines a model.

A model folder is what the hub serves for one revision, or what a trainer saves: config.json, the weights as
safetensors (or as pytorch_model.bin where nothing better is there) and the tokenizer's files. An adapter folder
is what PEFT saves: adapter_config.json and adapter_model.safetensors (or .bin).
"""

from __future__ import annotations

import json
import logging
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.models.config_bounds import check_implementations, check_numbers
from idsweep.models.families import wrong_model_type

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
MODEL_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
COMMIT_FILE = "commit.txt"
PARTIAL = ".partial"  # what the name of a folder ends with while its files come from the hub

# Model weights, their shards and the shards' index.
SAFETENSORS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
AGAIN = (
    "Fetch or copy the model again; if it was trained by this workflow, delete the folder `checkpoints` that holds it and "
    "run snakemake again."
)
# Endings of weights that other programs read.
FOREIGN = {
    ".gguf": "weights for llama.cpp",
    ".ggml": "weights for llama.cpp",
    ".onnx": "a graph for ONNX Runtime",
    ".h5": "weights for TensorFlow",
    ".msgpack": "weights for Flax",
    ".ot": "weights for Rust",
    ".tflite": "a graph for TensorFlow Lite",
    ".mlmodel": "a model for Core ML",
    ".pth": "a checkpoint of a project's own form",
    ".ckpt": "a checkpoint of a project's own form",
    ".npz": "arrays of numpy",
}
LONGEST_HEADER = 100_000_000  # bytes, of safetensors
SHARD = re.compile(r"-(\d+)-of-(\d+)\.")

# The names that tokenizers of transformers 5.23 read; those of SentencePiece and tiktoken vary.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "bpe.codes",
    "byte_maps.json",
    "dict.txt",
    "emoji.json",
    "entity_vocab.json",
    "normalizer.json",
    "prophetnet.tokenizer",
    "target_vocab.json",
    "tekken.json",
    "vocab-src.json",
    "vocab-tgt.json",
    "word_pronunciation.json",
    "word_shape.json",
)
# tokenizer.4.0.0.json and the like are for releases of transformers from that one on.
TOKENIZER_PATTERN = re.compile(r"[^/]+\.(model|spm|tiktoken)|tokenizer\.[^/]+\.json")
TOKENIZER_KEYS = ("model_type", "model_name", "tokenizer_class", "auto_map")

# The config of the text model inside the config of a larger one: Gemma 3, T5Gemma.
NESTED_CONFIGS = ("text_config", "encoder")
LAYER_KEYS = ("encoder_layers", "num_hidden_layers", "n_layer", "num_layers", "n_layers")
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
MOST_LAYERS = 100_000
WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed", "dim")
# These count positions from the padding token on.
PADDED_POSITIONS = (
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
# Their positions are relative and have no end, though published configs have n_positions: 512.
RELATIVE_POSITIONS = ("longt5", "mt5", "switch_transformers", "t5", "umt5")

logger = logging.getLogger(__name__)


class Architecture(NamedTuple):
    """How many blocks a model has (its hidden states are layers 0…layers; an encoder-decoder's are its encoder's), how
    wide they are, and the longest sequence its positions allow (None: config.json does not say, or there is no end)."""

    layers: int
    width: int
    positions: int | None


def read_config(folder: str | Path) -> dict[str, Any]:
    """A model's config.json. Raises ValueError if it is absent or unreadable, or holds numbers that no model has."""
    if (Path(folder) / ADAPTER_CONFIG).is_file() and not (Path(folder) / CONFIG).is_file():
        raise ValueError(
            f"{folder} holds an adapter and no model. Give its entry in the catalog `base: NAME`, where NAME is "
            "the entry of the model that it was trained on."
        )
    config = _read_json(folder, CONFIG, "a model")
    check_numbers(config, Path(folder) / CONFIG)
    return config


def check_code(folder: str | Path) -> None:
    """Raise ValueError if the config.json of a model whose code is not trusted asks for code from the hub, or for no known family.

    Code that lies in the folder is not run unasked, as is said where the model is loaded.
    """
    config = read_config(folder)
    check_implementations(config, Path(folder) / CONFIG)
    model_type = config.get("model_type")
    if model_type is not None and "auto_map" not in config and (wrong := wrong_model_type(model_type)):
        raise ValueError(f"{Path(folder) / CONFIG} says model_type: {wrong}.")


def read_adapter_config(folder: str | Path) -> dict[str, Any]:
    """An adapter's adapter_config.json. Raises ValueError if it is absent or unreadable."""
    return _read_json(folder, ADAPTER_CONFIG, "an adapter")


def read_architecture(folder: str | Path) -> Architecture:
    """Layers, width and positions of a model, from its config.json alone.

    Raises ValueError if the folder or its config.json is missing, unreadable, or says neither layers nor width.
    """
    config = read_config(folder)
    config = next((config[key] for key in NESTED_CONFIGS if isinstance(config.get(key), dict)), config)
    positions = _first_number(config, POSITION_KEYS)
    if config.get("model_type") in RELATIVE_POSITIONS:
        positions = None
    elif positions is not None and config.get("model_type") in PADDED_POSITIONS:
        positions -= padding_of(config, folder) + 1
    if positions is not None and positions < 1:  # XLNet's -1 is no limit
        positions = None
    found = {"number of layers": LAYER_KEYS, "width": WIDTH_KEYS}
    for what, keys in found.items():
        if _first_number(config, keys) is None:
            raise ValueError(f"{Path(folder) / CONFIG} does not say the {what}; looked for {', '.join(keys)}.")
    layers, width = _first_number(config, LAYER_KEYS), _first_number(config, WIDTH_KEYS)
    if not 0 < layers <= MOST_LAYERS or width <= 0:
        raise ValueError(f"{Path(folder) / CONFIG} says {layers} layers of width {width}: no model has that.")
    return Architecture(layers, width, positions)


def padding_of(config: Mapping[str, Any], folder: str | Path) -> int:
    """The padding token of a model of `PADDED_POSITIONS`, by its config. Raises ValueError if that has none."""
    pad = config.get("pad_token_id", 1)
    if not isinstance(pad, int) or not 0 <= pad < config.get("vocab_size", pad + 1):
        raise ValueError(
            f"{Path(folder) / CONFIG} says pad_token_id: {pad!r}, but models of type {config['model_type']} count positions "
            "from that token on: write its id there (1 in most of them)."
        )
    return pad


def weight_files(folder: str | Path, *, whole: bool = True) -> list[Path]:
    """The files that hold a model's weights, sorted by name; safetensors if there are any.

    whole: look whether each of them is.

    Raises ValueError if the folder is no model folder, holds no weights, lacks a shard or the shards' index, or, if
    `whole`, holds a file that was cut short, as one that a trainer is still writing.
    """
    folder = Path(folder)
    read_config(folder)
    for pattern in (SAFETENSORS, PICKLES):
        files = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
        for path in files:
            _check_regular(path)
        indices = [path for path in files if path.name.endswith(".index.json")]
        weights = [path for path in files if path not in indices]
        if weights or indices:
            _check_shards(folder, indices, {path.name for path in weights})
            for path in weights if whole else ():
                _check_whole(path)
            return weights
    raise ValueError(
        f"{folder} holds no weights: neither model*.safetensors nor pytorch_model*.bin. {_instead(folder)}"
    )


def adapter_files(folder: str | Path, *, whole: bool = True) -> list[Path]:
    """adapter_config.json and the weights of a PEFT adapter: what determines it.

    Raises ValueError if the folder is no adapter folder or if its weights are absent or, if `whole`, were cut short.
    """
    folder = Path(folder)
    read_adapter_config(folder)
    weights = next((path for name in ADAPTER_WEIGHTS if os.path.lexists(path := folder / name)), None)
    if weights is None:
        raise ValueError(f"{folder} holds no weights of an adapter: neither {' nor '.join(ADAPTER_WEIGHTS)}.")
    _check_regular(weights)
    if whole:
        _check_whole(weights)
    return [folder / ADAPTER_CONFIG, weights]


def model_files(folder: str | Path, *, trust_remote_code: bool = False, whole: bool = True) -> list[Path]:
    """What determines a model: config.json, the weight files, and its own code if that is run.

    Raises ValueError as `weight_files` does.
    """
    folder = Path(folder)
    code = sorted(folder.glob("*.py")) if trust_remote_code else []
    return [folder / CONFIG, *weight_files(folder, whole=whole), *code]


def why_not_measured(folder: str | Path, *, adapter: bool = False, trusted: bool = True) -> str | None:
    """Why the job that loads a checkpoint (or adapter) would fail on its files; None if they look well.

    Of the weights, sizes and headers are read. trusted: whether code that its config names may be run.
    """
    try:
        if adapter:
            adapter_files(folder)
        else:
            weight_files(folder)
            read_architecture(folder)
            if not trusted:
                check_code(folder)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of this name can shape what a tokenizer does."""
    return name in TOKENIZER_FILES or TOKENIZER_PATTERN.fullmatch(name) is not None


def tokenizer_files(folder: str | Path, trust_remote_code: bool = False) -> list[Path]:
    """The files that determine a folder's tokenizer, sorted by name, and the folder's own code if that is run.

    What its config.json adds to them is `tokenizer_identity`. Raises ValueError if there are none.
    """
    inside = sorted(path for path in Path(folder).glob("*") if path.is_file())
    found = [path for path in inside if is_tokenizer_file(path.name)]
    if not found:
        raise ValueError(
            f"{folder} holds no tokenizer: none of {', '.join(TOKENIZER_FILES)}, *.model, *.spm and *.tiktoken."
        )
    return found + [path for path in inside if trust_remote_code and path.suffix == ".py"]


def tokenizer_identity(folder: str | Path) -> dict[str, Any]:
    """What of a folder's config.json decides how transformers (5.23, AutoTokenizer) makes its tokenizer.

    Which class it takes follows from `TOKENIZER_KEYS`, and of a model of type encoder-decoder from its encoder's. Empty
    if there is no config.json. Raises ValueError if it is not readable.
    """
    if not (Path(folder) / CONFIG).is_file():
        return {}
    config = read_config(folder)
    identity = _tokenizer_keys(config)
    if config.get("model_type") == "encoder-decoder" and isinstance(config.get("encoder"), dict):
        identity["encoder"] = _tokenizer_keys(config["encoder"])
    return identity


def names_own_code(path: str | Path) -> bool:
    """Whether a config.json or tokenizer_config.json can be read and names code that its folder or another brings."""
    try:
        return Path(path).is_file() and "auto_map" in json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def why_unreadable(error: Exception) -> str:
    """What kept weights from being loaded. Of a pickle with more than weights torch says how to run it nevertheless; this does not."""
    if "Weights only load failed" not in str(error):
        return str(error)
    found = re.search(r"GLOBAL (\S+)", str(error))
    return (
        f"it holds more than weights{f' ({found[1]})' if found else ''}, or is damaged. Such a pickle can run any code, so it is "
        "never loaded: get the weights as safetensors, or fetch them again"
    )


def commit_of(folder: str | Path) -> str | None:
    """The commit on the hub that a fetched model folder holds; None for any other folder."""
    path = Path(folder) / COMMIT_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def checkpoint_folders(folder: str | Path, pattern: str) -> list[tuple[str, int]]:
    """Name and step of the checkpoints in a folder, by step: `pattern` is a folder's name with `*` for the step.

    Folders whose `*` is no whole number are passed over (checkpoint-best). So is a checkpoint, of a model or of an
    adapter, that is not whole, since a trainer may be writing it at this moment: with a warning in the log.

    Raises ValueError if there is no such folder, no `*` or more than one in the pattern, or no whole checkpoint.
    """
    folder = Path(folder)
    if pattern.count("*") != 1 or "/" in pattern:
        raise ValueError(
            f"checkpoints: {pattern!r} is not the name of a folder with one * for the step, as 'checkpoint-*'."
        )
    if not folder.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r}.")
    step_in_name = re.compile("([0-9]{1,18})".join(map(re.escape, pattern.split("*"))))
    named = (
        (path, step_in_name.fullmatch(path.name)) for path in folder.iterdir() if path.is_dir() or path.is_symlink()
    )
    checkpoints = {path: int(match[1]) for path, match in named if match}
    lacking = {path: error for path in sorted(checkpoints) if (error := _why_incomplete(path))}
    found = [(path.name, step) for path, step in checkpoints.items() if path not in lacking]
    if not found:
        why = f" {next(iter(lacking.values()))}" if lacking else ""
        raise ValueError(
            f"{folder} holds no complete checkpoint whose name is {pattern!r} with a whole number for the *.{why}"
        )
    for error in lacking.values():
        logger.warning("Left out, because it is not complete (yet): %s", error)
    return sorted(found, key=lambda checkpoint: (checkpoint[1], checkpoint[0]))


def _first_number(config: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    given = (config.get(key) for key in keys)
    return next((value for value in given if isinstance(value, int) and not isinstance(value, bool)), None)


def _tokenizer_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in TOKENIZER_KEYS if key in config}


def _read_json(folder: str | Path, name: str, what: str) -> dict[str, Any]:
    path = Path(folder) / name
    if not Path(folder).is_dir():
        leads = ": it is a link to nothing" if Path(folder).is_symlink() else ""
        raise ValueError(f"There is no {what.split()[-1]} folder {str(folder)!r}{leads}.")
    if not os.path.lexists(path):
        raise ValueError(
            f"{folder} is not {what} folder: it has no {name}. If it is being trained, it may not be written yet."
        )
    _check_regular(path)
    try:
        return _mapping(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error


def _mapping(text: bytes) -> dict[str, Any]:
    """The mapping that a text of JSON holds. Raises ValueError if it is none, or nested more deeply than can be read."""
    try:
        content = json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it holds no mapping")
    return content


def _check_regular(path: Path) -> None:
    """Raise ValueError for what is no file that can be read to its end: a pipe, a device, a folder, a link to nothing."""
    if not path.is_file():
        found = (
            "is a link to nothing"
            if not path.exists()
            else "is a folder"
            if path.is_dir()
            else "is a pipe, a socket or a device"
        )
        raise ValueError(f"{path} is not a file: it {found}. Put the file itself there.")


def _instead(folder: Path) -> str:
    """What to do about a folder without weights, by what it holds instead."""
    others = sorted(path.name for path in folder.iterdir() if path.suffix in FOREIGN)
    if not others:
        return "Fetch the model again, or, if it is being trained, wait until the checkpoint is written."
    return (
        f"It has {others[0]}, {FOREIGN[Path(others[0]).suffix]}, which is not read here. Take the model as it was published "
        "for transformers, or convert it."
    )


def _why_incomplete(folder: Path) -> str | None:
    return why_not_measured(folder, adapter=(folder / ADAPTER_CONFIG).is_file())


def _check_shards(folder: Path, indices: list[Path], present: set[str]) -> None:
    expected: set[str] = set()
    for path in indices:
        try:
            expected |= shards_named(path)
        except ValueError as error:
            raise ValueError(f"{path} is not a readable index of shards ({error}). Fetch the model again.") from error
    if absent := sorted(expected - present):
        raise ValueError(f"{folder} lacks {absent[0]}, one of {len(expected)} shards. Fetch the model again.")
    if not indices and all(SHARD.search(name) for name in present):
        raise ValueError(f"{folder} has shards ({min(present)}) and lacks their *.index.json. Fetch the model again.")


def shards_named(index: Path) -> set[str]:
    """The names of the files that an index of shards tells. Raises ValueError if it cannot be read."""
    placed = _mapping(index.read_bytes()).get("weight_map")
    if not isinstance(placed, dict) or not placed or not all(isinstance(name, str) for name in placed.values()):
        raise ValueError("its weight_map names no files")
    return set(placed.values())


def _check_whole(path: Path) -> None:
    if path.suffix == ".safetensors":
        _check_safetensors(path)
    else:
        _check_pickle(path)


def _check_pickle(path: Path) -> None:
    # A zip archive ends with its table of contents; pickles from before torch 1.6 are none and show no end.
    with path.open("rb") as file:
        start = file.read(2)
    if not start or (start == b"PK" and not zipfile.is_zipfile(path)):
        raise ValueError(f"{path} is cut short: it ends before its table of contents. {AGAIN}")


def _end(name: str, entry: Any) -> int:
    """Where the data of a tensor end. Raises ValueError if its entry in the header does not say so."""
    match entry:
        case {"dtype": str(), "shape": list(), "data_offsets": [int(start), int(end)]} if 0 <= start <= end:
            return end
    raise ValueError(f"its header does not say what {name!r} is and where it lies")


def _check_safetensors(path: Path) -> None:
    # The format: 8 bytes that give the header's length, the header (JSON), the data.
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if 8 + length > size:
                raise ValueError("its header is cut short")
            if length > LONGEST_HEADER:
                raise ValueError(f"its header has {length} bytes, of at most {LONGEST_HEADER}")
            header = _mapping(file.read(length))
        ends = [_end(name, entry) for name, entry in header.items() if name != "__metadata__"]
        needed = 8 + length + max(ends, default=0)
    except (ValueError, struct.error) as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}). {AGAIN}") from error
    if size != needed:
        raise ValueError(f"{path} has {size} bytes, but its header says {needed}. {AGAIN}")
