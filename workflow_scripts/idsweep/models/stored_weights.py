"""What the weight files of a model hold, and whether all of it reaches the model.

transformers drops what has no place in a model, and reads the codes of quantised weights as if they were weights. Both give
numbers of another model. So what is dropped here is either known to be harmless, for a reason that stands beside it, or refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from idsweep.models.folders import MODEL_WEIGHTS, read_config, shards_named, why_unreadable

logger = logging.getLogger(__name__)

FLOATS = ("F64", "F32", "F16", "BF16")
COUNTS = ("BOOL", "I16", "I32", "I64", "U16", "U32", "U64", "bool", "int16", "int32", "int64")  # of positions, masks
_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}

# Ends of the names of scales and zero points of quantised weights, as exporters and libraries write them.
SCALES = re.compile(
    r"(scale(_inv|s|_2)?|scale_shift|scb|absmax|zero_points?|qzeros|qweight|g_idx|quant_map|quant_state\..+|amax|weight_format)$",
    re.IGNORECASE,
)

HEADS = "it belongs to a head for another task, through which no hidden state passes"
SENSES = "it reads images or sound, of which a sweep has none"
# First modules of names -> why a model may do without them where it has none of that name.
HARMLESS_MODULES = {
    HEADS: (
        *("classification_head", "classifier", "cls", "cls.predictions", "cls.seq_relationship", "contact_head"),
        *("decoder.bias", "decoder.weight", "discriminator_predictions", "embed_out", "entity_predictions"),
        *("final_logits_bias", "generator_lm_head", "generator_predictions", "head", "lm_head", "lm_loss"),
        *("lm_predictions", "logits_proj", "mask_predictions", "multiple_choice_head", "pooler", "pre_classifier"),
        *("pred_layer", "predictions", "qa_classifier", "qa_outputs", "regression_head", "reward_head", "score"),
        *("seq_relationship", "sequence_summary", "sop_classifier", "v_head", "value_head", "vocab_layer_norm"),
        *("vocab_projector", "vocab_transform"),
        # trackers of dialogue states: TripPy-R's heads of attention, and TripPy's lines
        *("class_att", "token_att", "refer_att", "value_att", "class_layer_norm", "token_layer_norm"),
        *("token_layer_norm_proto", "h1c", "h2c", "h2r", "llc", "inform_projection", "ds_projection"),
        *("class_linear", "token_linear", "refer_linear"),
    ),
    SENSES: (
        *("audio_tower", "embed_audio", "embed_vision", "multi_modal_projector", "vision_embed_tokens"),
        *("vision_model", "vision_tower", "visual"),
    ),
}
TABLES = "the model computes this table from its config.json"
# Ends of names -> why no model needs them.
HARMLESS_ENDS = {
    r"(^|\.)(position_ids|token_type_ids)$": "positions and segments are counted anew for each sequence",
    r"(^|\.)(original_)?inv_freq$": TABLES,  # compared: see `_wrong_frequencies`
    r"rotary_emb(eddings)?\.(cos|sin)_cached$": TABLES,
    r"EncDecAttention\.relative_attention_bias\.weight$": "attention to the other sequence has no positions",
    r"(^|\.)(encoder|decoder)\.version$": "it is the number of a version of fairseq",
    r"(^|\.)_float_tensor$": "it only tells fairseq a dtype",
}
NOT_OF_ENCODERS = ("decoder.", "lm_head.", "final_logits_bias")  # how names of what follows an encoder begin
# Causal masks of old versions of transformers, which bear the name of a bias: (1, 1, n, n), and what is put where they forbid.
MASK = re.compile(r"(^|\.)(attn|attention|self_attn)(\.attention)?\.(bias|masked_bias)$")
FREQUENCIES = re.compile(r"(^|\.)inv_freq$")


class StoredTensor(NamedTuple):
    """A tensor in a weight file. name: there. dtype: as safetensors writes it ("F32", "F8_E4M3", "I8" …)."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_mask(self) -> bool:
        """Whether it can be a causal mask or the value that stands where one forbids; a bias is one-dimensional."""
        return len(self.shape) == 0 or (
            len(self.shape) == 4 and self.shape[:2] == (1, 1) and self.shape[2] == self.shape[3]
        )

    def __str__(self) -> str:
        return f"{self.name} (in {self.file.name})"


def files_read(files: Iterable[Path]) -> list[Path]:
    """Those of a folder's weight files that transformers reads: one for all, or the shards that the index names."""
    files = list(files)
    single = [path for path in files if path.name in MODEL_WEIGHTS]
    if single or not files:
        return single
    named: set[str] = set()
    for index in files[0].parent.glob(f"*{files[0].suffix}.index.json"):
        named |= shards_named(index)
    return [path for path in files if path.name in named]


def stored_tensors(files: Iterable[Path], prefix: str | None = None) -> dict[str, StoredTensor]:
    """Name -> tensor of weight files, without reading any.

    prefix: only those under `prefix.` are taken, and named without it.

    Raises ValueError if a file cannot be read, holds more than tensors, or holds a name that another one holds as well.
    """
    start = "" if prefix is None else f"{prefix.removesuffix('.')}."
    found: dict[str, StoredTensor] = {}
    for path in files:
        for tensor in _in_file(path):
            if tensor.name.startswith(start):
                name = tensor.name.removeprefix(start)
                if name in found:
                    raise ValueError(
                        f"{path.parent} holds {tensor.name} twice, in {found[name].file.name} and in {path.name}, as files of "
                        "two checkpoints in one folder would. Fetch the model again into an empty folder."
                    )
                found[name] = tensor
    return found


def check_all_placed(
    folder: str | Path,
    model: Any,
    part: Any,
    stored: Mapping[str, StoredTensor],
    unexpected: Collection[str],
) -> None:
    """Look whether all that is stored reached the model, or is known to be harmless.

    model: a `PreTrainedModel`, as loaded. part: that of it which is run, as the encoder of an encoder-decoder.
    unexpected: names of weights without a place, as transformers tells them.

    Raises ValueError, with keys and files, if two stored tensors claim one place, if weights are codes of a
    quantisation that nothing decodes, if some that have no place are not known to be harmless, or if stored rotary
    frequencies are not those that the model computes.
    """
    places = _Places(model)
    _check_one_each(folder, places, stored)
    _check_decoded(folder, places, stored)
    lost, reasons = [], {}
    for name in sorted(unexpected):
        tensor = _stored_under(name, places, stored)
        if reason := _why_harmless(name, tensor, model, part, places):
            reasons.setdefault(reason, []).append(name)
        else:
            lost.append((name, tensor))
    for reason, names in reasons.items():
        logger.info("%s: %s and %d more are left out: %s.", folder, names[0], len(names) - 1, reason)
    if lost:
        raise ValueError(_told(folder, model, places, stored, lost))
    if wrong := _wrong_frequencies(model, stored):
        raise ValueError(
            f"{folder} holds rotary frequencies, {wrong}, other than those that {type(model).__name__} computes from "
            "config.json: the base of the rotation is lost, or stands there under a name that transformers does not read. "
            "Write it as rope_theta (GPT-NeoX: rotary_emb_base)."
        )


def absent(model: Any, stored: Mapping[str, StoredTensor]) -> set[str]:
    """Names of the model's tensors that no file holds, though its own code says that nothing is to be told of them.

    transformers initialises such weights at random. Classes of transformers itself are believed.
    """
    ignored = getattr(model, "_keys_to_ignore_on_load_missing", None)
    if not ignored or not type(model).is_custom_code():
        return set()
    pattern = re.compile("|".join(f"({one})" for one in ignored))
    places = _Places(model)
    filled = {id(places.tensors[place]) for name in stored if (place := places.of(name))}
    return {name for name, tensor in places.tensors.items() if pattern.search(name) and id(tensor) not in filled}


class _Places:
    """Where in a model a stored name belongs: names may begin with that of the headless model, or lack it."""

    def __init__(self, model: Any) -> None:
        self.tensors = model.state_dict(keep_vars=True)
        self.computed = {name: tensor for name, tensor in model.named_buffers() if name not in self.tensors}
        self.modules = {name for name, _ in model.named_modules()} | self.tensors.keys()
        self._start = f"{model.base_model_prefix}." if model.base_model_prefix else ""

    def of(self, name: str) -> str | None:
        return next((place for place in self.alternatives(name) if place in self.tensors), None)

    def alternatives(self, name: str) -> list[str]:
        return [name, name.removeprefix(self._start), f"{self._start}{name}"]

    def parts(self, name: str) -> set[str]:
        """A name, without that of the headless model, and all beginnings of it that end before a dot."""
        words = name.removeprefix(self._start).removeprefix("model.").split(".")
        return {".".join(words[: i + 1]) for i in range(len(words))}

    def has(self, module: str) -> bool:
        return any(name in self.modules for name in (*self.alternatives(module), f"model.{module}"))


def _in_file(path: Path) -> Iterable[StoredTensor]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                part = file.get_slice(name)
                yield StoredTensor(path, name, part.get_dtype(), tuple(part.get_shape()))
        return
    try:
        content = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {why_unreadable(error)}.") from error
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{path} holds {name!r}, which is no tensor but {type(value).__name__}: it is no file of weights by name, but a "
                "trainer's. Save the model's state_dict() alone, or use save_pretrained."
            )
        yield StoredTensor(
            path, name, _NAMES.get(value.dtype, str(value.dtype).removeprefix("torch.")), tuple(value.shape)
        )


def _read(tensor: StoredTensor) -> torch.Tensor:
    if tensor.file.suffix == ".safetensors":
        with safe_open(tensor.file, framework="pt") as file:
            return file.get_tensor(tensor.name)
    return torch.load(tensor.file, map_location="cpu", weights_only=True)[tensor.name]


def _stored_under(name: str, places: _Places, stored: Mapping[str, StoredTensor]) -> StoredTensor | None:
    """The stored tensor that transformers speaks of, which may have renamed how its name begins."""
    if name in stored:
        return stored[name]
    ends = (name, ".".join(name.split(".")[1:]), name.rpartition(".")[2])
    for end in filter(None, ends):
        found = [tensor for key, tensor in stored.items() if f".{key}".endswith(f".{end}") and places.of(key) is None]
        if len(found) == 1:
            return found[0]
    return None


def _check_one_each(folder: str | Path, places: _Places, stored: Mapping[str, StoredTensor]) -> None:
    taken: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        place = places.of(name)
        if place is None:
            continue
        other = taken.setdefault(place, tensor)
        if other is not tensor and not torch.equal(_read(other), _read(tensor)):
            raise ValueError(
                f"{folder}: {other} and {tensor} are different weights for one place, {place}. Only one of them can be "
                "the model's: take the other out of the file."
            )


def _check_decoded(folder: str | Path, places: _Places, stored: Mapping[str, StoredTensor]) -> None:
    """Raise ValueError if weights are stored as codes, unless transformers has decoded them."""
    from transformers.quantizers import AutoHfQuantizer

    quantization = read_config(folder).get("quantization_config")
    if quantization and AutoHfQuantizer.supports_quant_method(quantization):
        return
    coded = [tensor for name, tensor in stored.items() if _is_code(name, tensor, places)]
    if coded:
        said = "does not say how to decode them"
        if quantization:
            said = f"names quant_method {quantization.get('quant_method')!r}, which transformers does not know"
        raise ValueError(
            f"{folder} holds quantised weights, as {coded[0]} of dtype {coded[0].dtype}, {len(coded)} in all, and its "
            f"config.json {said}: read as they are they would be off by their scales. Take the model in float32, "
            "bfloat16 or float16, or a config.json whose quantization_config transformers knows."
        )


def _is_code(name: str, tensor: StoredTensor, places: _Places) -> bool:
    if (place := places.of(name)) is not None:
        return tensor.dtype not in FLOATS and places.tensors[place].is_floating_point()
    # Weights that transformers puts together from several, as of experts, have no place by name.
    return tensor.dtype not in FLOATS + COUNTS and len(tensor.shape) > 1 and not tensor.is_mask


def _why_harmless(name: str, tensor: StoredTensor | None, model: Any, part: Any, places: _Places) -> str | None:
    """Why the model's hidden states do not need a stored tensor that has no place in it; None if they may."""
    if tensor is not None and 0 in tensor.shape:
        return "it has no numbers"
    if part is not model and name.removeprefix("model.").startswith(NOT_OF_ENCODERS):
        return "of an encoder-decoder the encoder alone is run"
    if MASK.search(name) and tensor is not None and tensor.is_mask:
        return "causal masks are made anew for each batch"
    for pattern, reason in HARMLESS_ENDS.items():
        if re.search(pattern, name):
            return reason
    for place in places.alternatives(name):
        if place in places.computed and tensor is not None and _agree(_read(tensor), places.computed[place]):
            return TABLES
    for reason, modules in HARMLESS_MODULES.items():
        if any(module in modules and not places.has(module) for module in places.parts(name)):
            return reason
    return None


def _wrong_frequencies(model: Any, stored: Mapping[str, StoredTensor]) -> StoredTensor | None:
    """Stored frequencies of a rotary embedding that are not among those that the model computes."""
    kinds = [module.rope_type for module in model.modules() if hasattr(module, "rope_type")]
    computed = [buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    if not computed or any(kind != "default" for kind in kinds):
        return None  # scaled ones were stored before scaling by some versions of transformers, and after it by others
    for name, tensor in stored.items():
        if FREQUENCIES.search(name) and not any(_agree(_read(tensor), table) for table in computed):
            return tensor
    return None


def _agree(stored: torch.Tensor, computed: torch.Tensor) -> bool:
    """Whether two tables are the same but for rounding to 16 bits, as far as both go."""
    if stored.dim() != computed.dim():
        return False
    common = tuple(slice(min(sizes)) for sizes in zip(stored.shape, computed.shape, strict=True))
    return torch.allclose(stored[common].double(), computed[common].double(), rtol=1e-2, atol=1e-6)


def _told(
    folder: str | Path,
    model: Any,
    places: _Places,
    stored: Mapping[str, StoredTensor],
    lost: list[tuple[str, StoredTensor | None]],
) -> str:
    names = ", ".join(str(tensor or name) for name, tensor in lost[:3])
    more = f" and {len(lost) - 3} more" if lost[3:] else ""
    message = f"{folder} holds weights that have no place in {type(model).__name__} and may shape its hidden states: {names}{more}."
    if any(SCALES.search(name) for name, _ in lost):
        return (
            f"{message} By their names they scale quantised weights, which would be wrong without them: take the model in "
            "float32, bfloat16 or float16, or a config.json whose quantization_config transformers knows."
        )
    starts = {name.split(".")[0] for name, _ in lost}
    bodies = sorted({name.split(".")[0] for name in stored if places.of(name) and "." in name})
    prefix = ""
    if bodies and not any(map(places.has, starts)):
        prefix = f" If they are a head of your own, write `prefix: {bodies[0]}`, which leaves them out."
    return f"{message} Check that config.json is this model's (number of layers, model_type), and `kind`.{prefix}"
