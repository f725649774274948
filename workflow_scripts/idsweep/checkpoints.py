"""Model folders: where they are, what they hold, and how they become a torch module.

A model folder is what the hub serves for one revision: config.json, the weights as safetensors (or as
pytorch_model.bin where nothing better is published) and the tokenizer's files. Nothing here reaches
for the network (see `hub`), and no code from a model's repository is ever run.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from idsweep.hub import COMMIT_FILE, PICKLES, SAFETENSORS
from idsweep.packages import path_in_package
from idsweep.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch

AUTO_CLASSES = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "encoder": "AutoModel",
}
DTYPES = ("float32", "bfloat16", "float16")

LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
POSITION_KEYS = ("max_position_embeddings", "n_positions")
WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "dim")


class Architecture(NamedTuple):
    """How many blocks a model has (its hidden states are layers 0…layers), how wide they are, and the longest
    sequence its positions allow (None if config.json does not say)."""

    layers: int
    width: int
    positions: int | None


def package_folder(package: str, folder: str) -> Path:
    """The model folder inside an installed Python package. Raises ValueError if there is none."""
    return path_in_package(package, folder)


def read_architecture(folder: str | Path) -> Architecture:
    """Layers and width of a model, from its config.json alone.

    Raises ValueError if the folder or its config.json is missing, unreadable, or says neither.
    """
    path = Path(folder) / "config.json"
    config = _read_config(folder)
    config = config.get("text_config", config)
    found = []
    for what, keys in (("number of layers", LAYER_KEYS), ("width", WIDTH_KEYS)):
        value = next((config[key] for key in keys if isinstance(config.get(key), int)), None)
        if value is None:
            raise ValueError(f"{path} does not say the {what}; looked for {', '.join(keys)}.")
        found.append(value)
    positions = next((config[key] for key in POSITION_KEYS if isinstance(config.get(key), int)), None)
    # RoBERTa counts positions from the padding token on.
    if positions is not None and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1
    return Architecture(*found, positions)


def weight_files(folder: str | Path) -> list[Path]:
    """The files that hold a model's weights, sorted by name; safetensors if there are any.

    Raises ValueError if the folder is no model folder, holds no weights, lacks a shard that its index
    names, or holds a safetensors file that was cut short.
    """
    folder = Path(folder)
    _read_config(folder)
    for pattern in (SAFETENSORS, PICKLES):
        files = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
        index = [path for path in files if path.name.endswith(".index.json")]
        weights = [path for path in files if path not in index]
        for path in index:
            shards = set(json.loads(path.read_text())["weight_map"].values())
            if absent := sorted(shards - {path.name for path in weights}):
                raise ValueError(f"{folder} lacks {absent[0]}, one of {len(shards)} shards. Fetch the model again.")
        if weights:
            for path in weights:
                if path.suffix == ".safetensors":
                    _check_safetensors(path)
            return weights
    raise ValueError(f"{folder} holds no weights: neither model*.safetensors nor pytorch_model*.bin.")


def model_files(folder: str | Path) -> list[Path]:
    """config.json and the weight files: what determines a model. Raises ValueError as `weight_files` does."""
    return [Path(folder) / "config.json", *weight_files(folder)]


def commit_of(folder: str | Path) -> str | None:
    """The commit on the hub that a fetched model folder holds; None for any other folder."""
    path = Path(folder) / COMMIT_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def load_model(
    folder: str | Path, *, kind: str, layers: int | None = None, dtype: str = "float32", device: str = "cpu"
) -> torch.nn.Module:
    """The model of a folder, in evaluation mode, with its head where the kind has one.

    Parameters: `kind`, one of `AUTO_CLASSES`; `layers`, the number of blocks that it must have, if
    known beforehand; `dtype`, one of `DTYPES`.

    Raises ValueError if the folder is incomplete or damaged, if the weights do not fit the config, if
    it has another number of layers, or if some of the weights that this kind of model needs are not there (they would be random).
    """
    if kind not in AUTO_CLASSES:
        raise ValueError(f"kind: {kind!r} is not known; choose one of {', '.join(AUTO_CLASSES)}.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype: {dtype!r} is not known; choose one of {', '.join(DTYPES)}.")
    files = weight_files(folder)
    if layers is not None and (found := read_architecture(folder).layers) != layers:
        raise ValueError(f"{folder} has {found} layers, not {layers}: mend `layers` of this model in the catalog.")
    import torch
    import transformers

    try:
        with quiet_transformers():
            model, loading = getattr(transformers, AUTO_CLASSES[kind]).from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=files[0].suffix == ".safetensors",
                weights_only=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise ValueError(f"{folder} cannot be loaded as a {kind} model: {error}") from error
    # No hidden state passes through the pooler, and many encoders are published without it.
    if missing := sorted(key for key in loading["missing_keys"] if "pooler" not in key):
        raise ValueError(
            f"{folder} lacks weights that a {kind} model needs: {missing[0]} and {len(missing) - 1} more. "
            f"Its config.json names {', '.join(model.config.architectures or ['no architecture'])}: "
            f"check 'kind' ({', '.join(AUTO_CLASSES)})."
        )
    return model.eval().to(device)


def _read_config(folder: str | Path) -> dict:
    path = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise ValueError(f"There is no model folder {str(folder)!r}.")
    if not path.is_file():
        raise ValueError(f"{folder} is not a model folder: it has no config.json.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error


def _check_safetensors(path: Path) -> None:
    # The format: 8 bytes that give the header's length, the header (JSON), the data.
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if 8 + length > size:
                raise ValueError("its header is cut short")
            header = json.loads(file.read(length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        needed = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0)
    except (ValueError, KeyError, struct.error) as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}). Fetch the model again.") from error
    if size != needed:
        raise ValueError(f"{path} has {size} bytes where its header promises {needed}. Fetch the model again.")
