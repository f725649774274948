"""How a model folder (see `model_files`) becomes a torch module.

Nothing here reaches for the network (see `hub`), and code from a model's repository is run only where
`trust_remote_code` says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from idsweep.machine.uncounted import uncounted
from idsweep.models.folders import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    PADDED_POSITIONS,
    adapter_files,
    check_code,
    names_own_code,
    padding_of,
    read_architecture,
    read_config,
    weight_files,
    why_unreadable,
)
from idsweep.models.patterns import check_patterns
from idsweep.models.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

AUTO_CLASSES = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "encoder": "AutoModel",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
}
DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
# From here on `dtype: auto` is bfloat16.
MANY_PARAMETERS = 10**9
# A model may have so many weights that no file holds, and so many for each that one does, as queries, keys and values. With more
# config.json is another model's, and it would take long to find out which are absent.
FEW_WEIGHTS, MOST_OF_ONE = 2000, 4


def load_model(
    folder: str | Path,
    *,
    kind: str,
    layers: int | None = None,
    dtype: str = "auto",
    device: str = "cpu",
    attention: str | None = None,
    prefix: str | None = None,
    adapter: str | Path | None = None,
    base_name: str | None = None,
    trust_remote_code: bool = False,
) -> torch.nn.Module:
    """The model of a folder, in evaluation mode, with its head where the kind has one.

    Parameters
    ----------
    kind
        One of `AUTO_CLASSES`. Of an encoder-decoder the encoder is returned, and the decoder dropped.
    layers
        The number of blocks that it must have, if known beforehand.
    dtype
        One of `DTYPES`. "auto" is float32 for models of fewer than 1e9 parameters, and bfloat16 for others. What counts is
        the whole module of this kind (with its head, and with an encoder-decoder's decoder; tied weights once), built from the
        config without memory for its weights, so that the choice is the same for all checkpoints of a model.
    attention
        One of `ATTENTIONS`; None leaves the choice to transformers: SDPA where the architecture has it.
    prefix
        For checkpoints that wrap the model in another module: only weights under `prefix.` are taken, without it.
    adapter
        Folder of a PEFT adapter that is merged into the weights, in their dtype. The folder is left as it is.
    base_name
        The model's id on the hub, if known: an adapter of a model with another name is refused.
    trust_remote_code
        Whether code that the folder brings may be run.

    Raises ValueError if the folder or adapter is incomplete or damaged, if the weights do not fit the config, if it
    has another number of layers, if some of the weights that this kind of model needs are not there (they would be
    random), if some that are there have no place in it or are codes of a quantisation (`stored_weights`), if its code
    computes tables that cannot be had again (`computed_tables`), if the adapter does not fit or cannot be merged, if the
    attention is not to be had, if the model needs code of its own, or from the hub, that it may not run, or if a causal one sees later
    tokens (a masked one none).
    """
    for key, value, known in (
        ("kind", kind, AUTO_CLASSES),
        ("dtype", dtype, DTYPES),
        ("attention", attention, ATTENTIONS),
    ):
        if value not in known and not (key == "attention" and value is None):
            raise ValueError(f"{key}: {value!r} is not known; choose one of {', '.join(known)}.")
    files = weight_files(folder)
    if not trust_remote_code:
        check_code(folder)
    if (Path(folder) / ADAPTER_CONFIG).exists():
        raise ValueError(
            f"{folder} holds a model and an adapter. Move {ADAPTER_CONFIG} and {' or '.join(ADAPTER_WEIGHTS)} "
            "to a folder of their own. To measure the adapter, name that folder as `path` of another entry of the catalog, "
            "with this model as its `base`."
        )
    if adapter is not None:
        adapter_files(adapter)
    if layers is not None and (found := read_architecture(folder).layers) != layers:
        raise ValueError(f"{folder} has {found} layers, not {layers}: mend `layers` of this model in the catalog.")
    import torch

    from idsweep.models.attention import choose_anew
    from idsweep.models.causality import check_sight
    from idsweep.models.computed_tables import restore_tables
    from idsweep.models.stored_weights import absent, check_all_placed, files_read, stored_tensors

    files = files_read(files)
    with quiet_transformers():
        stored = stored_tensors(files, prefix)
        most = FEW_WEIGHTS + MOST_OF_ONE * len(stored)
        skeleton = _skeleton(folder, kind, trust_remote_code, most)
        _check_quantization(folder, skeleton)
        dtype = _automatic_dtype(skeleton) if dtype == "auto" else dtype
        skeleton.config.dtype = getattr(torch, dtype)  # on which attention depends
        options = {}
        if attention is not None:
            _check_attention(skeleton, attention, dtype, device)
            options["attn_implementation"] = attention
        if prefix is not None:
            options["state_dict"] = _weights_under(prefix, files, folder)
        try:
            model, loading = type(skeleton).from_pretrained(
                folder if prefix is None else None,
                config=skeleton.config,
                dtype=getattr(torch, dtype),
                use_safetensors=files[0].suffix == ".safetensors",
                weights_only=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
        except Exception as error:
            raise ValueError(f"{folder} cannot be loaded as a model of kind {kind}: {why_unreadable(error)}") from error
        part = _wanted_part(model, kind)
        unsaved = absent(model, stored)
        buffers = {name for name, _ in model.named_buffers()}
        _check_nothing_missing(
            folder, kind, model, part, loading["missing_keys"] | (unsaved - buffers), loading, prefix
        )
        check_all_placed(folder, model, part, stored, loading["unexpected_keys"])
        restore_tables(
            model, skeleton, lambda: _skeleton(folder, kind, trust_remote_code, most, seed=1), unsaved & buffers
        )
        if adapter is not None:
            # By name: what this module imports counts as code of every forward pass, adapter or not.
            merge = uncounted("idsweep.models.adapters").merge
            # Adapters of encoder-decoders name their modules from the whole model on.
            part = _wanted_part(merge(model, part, folder, adapter, base_name), kind)
        choose_anew(part.eval().to(device))
        check_sight(part, kind, folder)
    return part


def number_of_parameters(model: torch.nn.Module) -> int:
    """All weights, tied ones once; of what `load_model` gives, thus with a head where the kind has one."""
    return sum(parameter.numel() for parameter in model.parameters())


def _wanted_part(model: PreTrainedModel, kind: str) -> torch.nn.Module:
    if kind != "encoder-decoder":
        return model
    encoder = model.get_encoder()
    if not hasattr(encoder, "config"):  # FSMT's
        encoder.config = model.config
    return encoder


def _check_nothing_missing(
    folder: str | Path,
    kind: str,
    model: PreTrainedModel,
    part: torch.nn.Module,
    missing: set[str],
    loading: dict[str, Any],
    prefix: str | None,
) -> None:
    needed = {id(tensor) for tensor in part.state_dict(keep_vars=True).values()}
    unneeded = {name for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) not in needed}
    # No hidden state passes through the pooler, and many encoders are published without it.
    missing = sorted(key for key in missing if key not in unneeded and "pooler" not in key)
    if not missing:
        return
    message = (
        f"{folder} lacks weights that a model of kind {kind} needs: {missing[0]} and {len(missing) - 1} more. "
        f"Its config.json names {', '.join(model.config.architectures or ['no architecture'])}: "
        f"check 'kind' ({', '.join(AUTO_CLASSES)})"
    )
    unused = ", ".join(_beginnings(loading["unexpected_keys"])) or "none"
    under = "" if prefix is None else f" under {prefix!r}"
    raise ValueError(f"{message} and 'prefix' (weights{under} that have no place in it begin with: {unused}).")


def _skeleton(folder: str | Path, kind: str, trust_remote_code: bool, most: int, seed: int = 0) -> PreTrainedModel:
    """The model without memory for its weights: its class, parameters, possibilities, and the tables that it computes.

    most: matrices and vectors of weights that it may have. seed: of the random numbers that it may draw.
    """
    import torch
    import transformers

    from idsweep.models import equation_decoder  # noqa: F401 (makes it known to transformers)
    from idsweep.models.computed_tables import without_weights

    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
        _drop_lost_padding(config, folder)
        with without_weights(seed, most):
            auto_class = getattr(transformers, AUTO_CLASSES[kind])
            return auto_class.from_config(config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    except Exception as error:
        if names_own_code(Path(folder) / CONFIG) and not trust_remote_code:
            raise ValueError(
                f"{folder} brings code of its own (auto_map in its config.json), which is not run unless this model's "
                f"`trust_remote_code` is true: read the code, then set it. Without, it cannot be loaded: {error}"
            ) from error
        model_type = read_config(folder).get("model_type")
        raise ValueError(f"{folder}, of model_type {model_type!r}, has no model of kind {kind}: {error}") from error


def _drop_lost_padding(config: PreTrainedConfig, folder: str | Path) -> None:
    """Leave out a padding token that no embedding has, as the -1 of some published configs: it means that there is none.

    Raises ValueError for families that count positions from it.
    """
    if config.model_type in PADDED_POSITIONS:
        padding_of(config.to_dict(), folder)
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        pad, size = getattr(part, "pad_token_id", None), getattr(part, "vocab_size", None)
        if isinstance(pad, int) and isinstance(size, int) and not 0 <= pad < size:
            part.pad_token_id = None


def _check_quantization(folder: str | Path, skeleton: PreTrainedModel) -> None:
    """Raise ValueError if patterns of a config's quantisation, as of modules to leave out, never come to an end."""
    said = read_config(folder).get("quantization_config")
    try:
        check_patterns({"quantization_config": said}, [name for name, _ in skeleton.named_modules()])
    except ValueError as error:
        raise ValueError(f"{Path(folder) / CONFIG}: {error}.") from error


def _automatic_dtype(skeleton: PreTrainedModel) -> str:
    return "float32" if number_of_parameters(skeleton) < MANY_PARAMETERS else "bfloat16"


def _check_attention(skeleton: PreTrainedModel, attention: str, dtype: str, device: str) -> None:
    """Raises ValueError if the model, the installed packages, the dtype or the device do not have this attention."""
    try:
        skeleton.get_correct_attn_implementation(attention, is_init_check=True)
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"attention: {attention!r} is not available for {type(skeleton).__name__} here; "
            f"choose another of {', '.join(ATTENTIONS)}, or leave the key out. {error}"
        ) from error
    if attention == "flash_attention_2" and (dtype == "float32" or not str(device).startswith("cuda")):
        raise ValueError(
            f"attention: 'flash_attention_2' needs dtype bfloat16 or float16 and a CUDA device, not {dtype} on {device}."
        )


def _weights_under(prefix: str, files: list[Path], folder: str | Path) -> dict[str, torch.Tensor]:
    from transformers.modeling_utils import load_state_dict

    try:
        weights = {name: tensor for path in files for name, tensor in load_state_dict(path, weights_only=True).items()}
    except Exception as error:
        raise ValueError(f"{folder}: the weights cannot be read: {why_unreadable(error)}") from error
    start = f"{prefix.removesuffix('.')}."
    taken = {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}
    if not taken:
        raise ValueError(
            f"prefix: {folder} has no weights under {prefix!r}; its weights begin with: {', '.join(_beginnings(weights))}."
        )
    return taken


def _beginnings(names: Any) -> list[str]:
    """The modules that names of weights begin with, two levels deep where there are two."""
    return sorted({".".join(name.split(".")[:-1][:2]) or name for name in names})
