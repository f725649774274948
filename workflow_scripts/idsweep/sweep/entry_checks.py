"""What is wrong about one entry of the catalog of models, each as the end of a complaint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from idsweep.config.load import ConfigError
from idsweep.data.loaders import registry as loaders
from idsweep.files.hub_names import wrong_id, wrong_revision
from idsweep.files.representations import BEFORE_FINAL_NORM, NAMED
from idsweep.models import adapters
from idsweep.models.config_bounds import large_numbers
from idsweep.models.families import WITHOUT_FINAL_NORM, wrong_model_type
from idsweep.models.folders import WIDTH_KEYS
from idsweep.sweep.models import INITIAL, MADE_FROM, Checkpoint, Model, Tokenizer, catalog_path, safe
from idsweep.training import kinds

HEAD_KEYS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
PLACEHOLDERS = {"{seed}": "seeds", "{checkpoint}": "checkpoints"}


def check(complaints: Iterable[str], at: str) -> None:
    if complaints := [f"{at}{complaint}" for complaint in complaints]:
        raise ConfigError(complaints)


def wrong_keys(entry: Mapping[str, Any], source: str) -> Iterator[str]:
    """Keys that a source or a kind needs, and those that it cannot use, each as the end of a complaint."""
    kind, tokenizer = entry["kind"], entry.get("tokenizer", {})
    if source == "train":
        yield from _wrong_training(entry, kind, tokenizer)
        if "initial" in entry:
            yield ".initial: what is trained here has its beginning among its own checkpoints; remove this key"
    else:
        for key in ("architecture", "training", "vary"):
            if key in entry:
                yield f".{key}: this key is only for models that are trained here (`train`); remove it"
        for key in ("vocabulary_size", "special_tokens"):
            if key in tokenizer:
                yield f".tokenizer.{key}: only tokenizers of models with `train` are trained; remove this key"
    if source in MADE_FROM and "layers" not in entry and kind != "static" and "base" not in entry:
        yield f".layers: this key is required for a model with `{source}`"
    if source == "gguf":
        yield from _wrong_with_gguf(entry, kind)
    elif "gguf" in entry:
        yield ".gguf: what is trained here is no file; remove this key"
    if kind == "static":
        if source not in ("path", "package", "train"):
            trained = ", ".join(f"`train: {name}`" for name in kinds.makers_of("static"))
            yield f".{source}: static vectors are a local file; give `path`, or `package` with `folder`, or {trained}"
        for key in ("checkpoints", "base", "initial", "prefix", "tokenizer", "dtype", "attention"):
            if key in entry:
                yield f".{key}: static vectors have no {key}; remove this key"
    for key in ("format", "array") if kind != "static" else ():
        if key in entry:
            yield f".{key}: this key is only for static vectors, not for kind {kind!r}; remove it"
    if "of" in tokenizer and len(tokenizer) > 1:
        others = ", ".join(sorted(tokenizer.keys() - {"of"}))
        yield f".tokenizer: a shared tokenizer has the options of the entry that `of` names; set these there: {others}"
    if "base" in entry:
        if "initial" in entry:
            yield ".initial: adapters start from their `base`; remove this key, and measure that entry beside this one"
        for key in ("prefix", "tokenizer", *(["trust_remote_code"] if entry["trust_remote_code"] else [])):
            if key in entry:
                yield f".{key}: this key is taken from the `base`; set it there"
    elif "base_checkpoint" in entry:
        yield ".base_checkpoint: this key is only for adapters on a `base`; remove it"
    if "initial_checkpoint" in entry and "initial" not in entry:
        yield ".initial_checkpoint: this key is only for entries with `initial`; remove it"
    yield from _wrong_placeholders(entry, source)
    if source == "hub":
        yield from _wrong_hub_names(entry)


def _wrong_with_gguf(entry: Mapping[str, Any], kind: str) -> Iterator[str]:
    if kind != "causal":
        yield f".kind: {kind!r} cannot be read from GGUF, but only 'causal'"
    for key in ("checkpoints", "base", "prefix", "seeds"):
        if key in entry:
            yield f".{key}: a GGUF file is one model; remove this key"
    if entry["trust_remote_code"]:
        yield ".trust_remote_code: a GGUF file holds no code; remove this key"
    if "hub" in entry:
        yield from _wrong_hub_names(entry)


def _wrong_hub_names(entry: Mapping[str, Any]) -> Iterator[str]:
    """Ids and revisions that cannot be any on the hub, as the catalog writes them."""
    name = re.sub(r"\{(seed|checkpoint)\}", "0", entry["hub"])
    if wrong := wrong_id(name):
        yield f".hub: {wrong if name == entry['hub'] else wrong.replace(repr(name), repr(entry['hub']))}"
    if wrong := wrong_revision(entry["revision"]):
        yield f".revision: {wrong}"
    named = entry.get("checkpoints")
    for checkpoint in named if isinstance(named, Mapping) else ():
        if wrong := wrong_revision(checkpoint):
            yield f".checkpoints: {wrong}"


def _wrong_architecture(given: Mapping[str, Any]) -> Iterator[str]:
    """What no model can be built with, as far as numbers tell; transformers itself is asked before the first job."""
    for key, value, most in large_numbers(given):
        yield f".architecture.{key}: {value} is out of range; it must be ≤ {most}"
    if wrong := wrong_model_type(given["model_type"]):
        yield f".architecture.model_type: {wrong}"
    width = next((given[key] for key in WIDTH_KEYS if isinstance(given.get(key), int)), None)
    heads = next(((key, given[key]) for key in HEAD_KEYS if isinstance(given.get(key), int)), None)
    if heads is None:
        return
    key, number = heads
    if number < 1:
        yield f".architecture.{key}: {number} is out of range; it must be ≥ 1"
    elif width is not None and width % number and not {"head_dim", "d_kv", "attention_head_size"} & given.keys():
        yield f".architecture.{key}: {number} heads cannot share a width of {width}; choose a number that divides it"


def _wrong_training(entry: Mapping[str, Any], kind: str, tokenizer: Mapping[str, Any]) -> Iterator[str]:
    training, given = kinds.get(entry["train"]), entry.get("training", {})
    own_tokenizer = training.tokenizer == "train_tokenizer"
    needed = {"training"} if training.makes_vectors else {"training", "checkpoints"}
    needed |= {"base"} if training.from_base else set() if training.makes_vectors else {"architecture"}
    for key in (*sorted(needed), *(("tokenizer",) if own_tokenizer else ())):
        if key not in entry:
            yield f".{key}: this key is required for a model with `train: {training.name}`"
    for key in ("architecture", "base", "base_checkpoint", "format", "array"):
        if key in entry and key not in needed and not (training.from_base and key == "base_checkpoint"):
            yield f".{key}: this key has no meaning for `train: {training.name}`; remove it"
    if "seed" in entry:
        yield ".seed: the seed of a trained model is training.seed; remove this key"
    if tokenizer and not own_tokenizer and not training.from_base:
        yield f".tokenizer: a model with `train: {training.name}` makes its own vocabulary and takes no tokenizer; remove this key"
    if own_tokenizer and tokenizer and not {"vocabulary_size", "of"} & tokenizer.keys():
        yield ".tokenizer.vocabulary_size: this key is required for a tokenizer that is trained"
    if "architecture" in entry and not training.from_base:
        yield from _wrong_architecture(entry["architecture"])
    if "training" in entry:
        for key, complaint in training.complaints(given):
            yield f".training.{key}: {complaint}" if key else f".training: {complaint}"
        yield from _wrong_kind(training, kind, given)


def _wrong_kind(training: kinds.Training, kind: str, given: Mapping[str, Any]) -> Iterator[str]:
    if kind not in training.kinds:
        expected = ", or ".join(training.kinds)
        yield f".kind: {kind!r} is not what this training makes; expected {expected}"
        return
    for key, needed in training.kinds[kind].items():
        if (key in given) != needed:
            others = f"choose kind {' or '.join(training.kinds_of(given))}"
            if needed:
                yield f".training.{key}: kind {kind!r} needs this key; give it, or {others}"
            else:
                yield f".training.{key}: this key is not for kind {kind!r}; remove it, or {others}"


def _wrong_placeholders(entry: Mapping[str, Any], source: str) -> Iterator[str]:
    where = {key: entry[key] for key in ("path", "hub", "folder") if isinstance(entry.get(key), str)}
    used = {(key, placeholder) for key, text in where.items() for placeholder in re.findall(r"\{[^{}]*\}", text)}
    for key, placeholder in sorted(used):
        needs = PLACEHOLDERS.get(placeholder)
        if needs is None or (placeholder == "{checkpoint}" and key != "hub"):
            yield f".{key}: {placeholder} is not known here; expected {{seed}}, or {{checkpoint}} in `hub`"
        elif needs not in entry:
            yield f".{key}: {placeholder} is filled in from `{needs}`, which this entry lacks"
    if "seeds" in entry and source != "train" and not any(placeholder == "{seed}" for _, placeholder in used):
        yield ".seeds: all seeds would have the same weights; write {seed} in `hub`, `path` or `folder`, at the place of the number"


def wrong_static_layers(chosen: Mapping[str, Any], name: str) -> Iterator[str]:
    if chosen.get("layers", "all") not in ("all", [name]):
        yield f".layers: static vectors have no layers {chosen['layers']}; expected [{name}]"


def wrong_start(entry: Mapping[str, Any], name: str, base: Mapping[str, Any]) -> Iterator[str]:
    """What of a base keeps trainings from starting there, each as the end of a complaint."""
    if base["kind"] == "encoder-decoder":
        yield f".base: {name!r} is of kind 'encoder-decoder', which cannot be trained further; name a causal, masked or encoder model"
    elif {entry["kind"], base["kind"]} == {"causal", "masked"}:
        yield f".kind: {entry['kind']!r} needs another head than that of {name}; expected {base['kind']!r}, or another `base`"
    if "train" in base and (loader := kinds.get(base["train"]).loader) is not None:
        yield f".base: {name!r} was trained on {loader} and reads nothing else; name a model of texts"
    if base.get("attention") == "flash_attention_2":
        yield (
            f".base: {name!r} has attention 'flash_attention_2', which does not work with the 32-bit weights of trainings; "
            "set `attention: sdpa` in that entry, or in a copy of it"
        )


def wrong_initial(initial: Model, offered: Mapping[str, Checkpoint], picked: Iterable[Checkpoint]) -> Iterator[str]:
    """What keeps the model that another started from from being its first checkpoint, each as the end of a complaint."""
    if taken := [name for name, one in offered.items() if one.step == 0 or one.path == INITIAL]:
        yield f".initial: {taken[0]!r} of `checkpoints` is the first already; remove this key"
    elif [checkpoint.path for checkpoint in picked] == [INITIAL]:
        yield f".initial: nothing else of this model is measured; measure {initial.name} in its place, or more checkpoints"


def wrong_depth(initial: Model, depth: int) -> Iterator[str]:
    if initial.depth != depth:
        yield (
            f".initial: {initial.name} has {initial.depth} blocks and this model {depth}, so that it did not start there; name "
            "another entry"
        )


def wrong_base(folders: Iterable[Path], base: tuple[Model, Checkpoint], config: Mapping[str, Any]) -> Iterator[str]:
    """Complaints about adapters of another model; a local base may be one under any name but those that are given here."""
    model, checkpoint = base
    here = {safe(name) for name in config["catalog"]["models"]}
    for folder in folders:
        named = adapters.base_of(folder)
        if (model.folder is None or named in here) and (
            wrong := adapters.wrong_base(named, model.known_as(checkpoint.path))
        ):
            yield f": {folder}: {wrong}"


def check_lengths(
    entry: Mapping[str, Any],
    tokenizer: Tokenizer,
    config: Mapping[str, Any] | None,
    positions: int | None,
    name: str,
    at: str,
) -> None:
    """config: of the sweep; None if the model reads no text in it."""
    loader = kinds.get(entry["train"]).loader if "train" in entry else None
    if loader is not None and (generator := loaders.get(loader).generator) is not None:
        _check_generated(loader, generator.tokens, config, positions, at)
        return
    own = tokenizer.options.get("max_length")
    given = {}
    if own is None and config is not None:
        given = {"tokens.max_length": config["tokens"]["max_length"]}
    elif own is not None:
        given = {f"{catalog_path('models', tokenizer.name)}.tokenizer.max_length": own}
    for key in ("sequence_length", "max_length"):
        if entry.get("training", {}).get(key) is not None:
            given[f"{at}.training.{key}"] = entry["training"][key]
    wrong = {key: length for key, length in given.items() if positions is not None and length > positions}
    check(
        (f"{key}: {length} tokens are more than {name} accepts; expected at most {positions}" for key, length in wrong.items()),
        "",
    )  # fmt: skip


def _check_generated(
    loader: str, tokens: int, config: Mapping[str, Any] | None, positions: int | None, at: str
) -> None:
    """Texts that are made are shorter than any limit that makes sense; a smaller one would cut them."""
    given = {} if config is None else {"tokens.max_length": config["tokens"]["max_length"]}
    given[f"{at}.architecture.max_position_embeddings"] = tokens if positions is None else positions
    wrong = {key: length for key, length in given.items() if length < tokens}
    check((f"{key}: {length} is less than the {tokens} tokens of {loader}" for key, length in wrong.items()), "")


def wrong_layers(layers: list[int | str], name: str, depth: int) -> Iterator[str]:
    for i, layer in enumerate(layers):
        if layer not in NAMED and not -depth - 1 <= layer <= depth:
            yield (
                f"[{i}]: {layer} is not a layer of {name}, which has layers 0 (embedding output) to {depth}; "
                f"expected {-depth - 1} to {depth}"
            )


def wrong_final_norm(name: str, model_type: str | None) -> Iterator[str]:
    if model_type in WITHOUT_FINAL_NORM:
        yield (
            f": {BEFORE_FINAL_NORM}: {name} ({model_type}) has no norm behind its last block; its last layer (-1) is what that "
            "block gives; name -1 instead"
        )
