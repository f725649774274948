"""What a config.json from elsewhere may ask for: numbers that a machine can do something with, and no code from the hub."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST_LAYERS = 4096  # the deepest published language models have about a thousand
MOST_PARTS = 10**6  # labels, experts, heads …
MOST_POSITIONS = 2**27
WIDTHS = ("hidden_size", "n_embd", "d_model", "n_embed", "dim", "intermediate_size", "n_inner", "d_ff", "ffn_dim")
LARGEST_WIDTH = 2**20
LARGEST = 2**53  # of any other whole number: what JSON holds exactly everywhere
DEEPEST = 20  # configs within configs

# What transformers computes attention and experts with; any other name is asked for on the hub, as compiled code.
IMPLEMENTATIONS = {
    "attn_implementation": ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"),
    "experts_implementation": ("eager", "batched_mm", "grouped_mm"),
}
# Without its package, transformers looks for this attention on the hub as well.
PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}


def check_numbers(config: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError for a whole number in a config.json, or in a config within it, that no model has.

    Each layer, label or expert takes time and memory before any weight is read.
    """
    for key, value, most in large_numbers(config, path):
        raise ValueError(
            f"{path} says {key}: {_short(value)}, more than any model has; expected at most {most:,}. Check that it is the "
            "file that was published with the weights."
        )


def large_numbers(config: Mapping[str, Any], path: Path | str = "the config") -> Iterator[tuple[str, int, int]]:
    """Path of keys, value and bound of each whole number that is beyond what a model has."""
    for key, value in _leaves(config, path):
        if isinstance(value, int) and abs(value) > (most := _most(key.rpartition(".")[2])):
            yield key, value, most


def check_implementations(config: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError if a config.json asks for attention, or for experts, by the name of code on the hub."""
    for key, value in _leaves(config, path):
        for kind, known in IMPLEMENTATIONS.items():
            if value is None or not any(part.removesuffix("_internal").endswith(kind) for part in key.split(".")):
                continue
            package = PACKAGES.get(value) if isinstance(value, str) else None
            if value not in known or (package and importlib.util.find_spec(package) is None):
                why = f"the package {package} is not installed" if value in known else f"known are {', '.join(known)}"
                raise ValueError(
                    f"{path} says {key}: {_short(value)}, but {why}. transformers would look for such code on the hub and run "
                    "it. Take the key out of the file (`attention` of the entry in the catalog can name another one), or set "
                    "`trust_remote_code: true` if you have read that code."
                )


def _most(key: str) -> int:
    if key.rstrip("s").endswith(("layer", "block")):
        return MOST_LAYERS
    if "position" in key:
        return MOST_POSITIONS
    if key in WIDTHS:
        return LARGEST_WIDTH
    return MOST_PARTS if key.startswith(("num_", "number_of_")) else LARGEST


def _leaves(value: Any, path: Path | str, at: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Path of keys and value of everything that is no mapping; of lists each item."""
    if depth > DEEPEST:
        raise ValueError(f"{path} holds configs within configs, more than {DEEPEST} deep, as no model has.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, path, f"{at}.{key}".lstrip("."), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path, at, depth + 1)
    else:
        yield at, value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
