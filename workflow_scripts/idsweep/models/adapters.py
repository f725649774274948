"""PEFT adapters, merged into the weights of the model that they were trained on."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.models.adapter_bounds import check_adapter
from idsweep.models.folders import ADAPTER_CONFIG, read_adapter_config, read_config, why_unreadable

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel

PROBED = 12  # tokens

logger = logging.getLogger(__name__)


def base_of(adapter: str | Path) -> str | None:
    """The name that an adapter gives the model that it was trained on: an id on the hub, a path, or none.

    Raises ValueError if its config cannot be read.
    """
    named = read_adapter_config(adapter).get("base_model_name_or_path")
    return named if isinstance(named, str) else None


def wrong_base(named: str | None, base: str) -> str | None:
    """What to say of an adapter that names another base than the one it is given; None if there is nothing to say.

    named: as of `base_of`; a path tells nothing. base: an id on the hub, or the name of a model that was trained here. Names
    are those of one model if they end alike, since models are copied to other accounts; case does not count.
    """
    if not named or _is_path(named) or _last_part(named) == _last_part(base):
        return None
    return (
        f"the adapter was trained on {named}, not on {base}. Give its entry in the catalog that model as `base`; if both are "
        f"the same weights, write {base} as base_model_name_or_path into its {ADAPTER_CONFIG}"
    )


def _is_path(name: str) -> bool:
    return name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1


def _last_part(name: str) -> str:
    return name.rpartition("/")[2].lower()


def merge(
    model: PreTrainedModel,
    part: torch.nn.Module,
    folder: str | Path,
    adapter: str | Path,
    base_name: str | None = None,
) -> PreTrainedModel:
    """The model, loaded from `folder`, with the changes of the adapter in its weights.

    An adapter of the model with a head, as a classifier, fits the model without any: its head is left out. Parameters that
    modules share are untied, so that an adapter of one of them changes no other. Hidden states and logits of a few tokens
    are compared before and after merging: a merged model computes what PEFT computes without merging, but for rounding.

    part: that of the model which is run, as the encoder of an encoder-decoder.
    base_name: the model's id on the hub. Where it is not known, the name in the model's config.json is compared with the
        adapter's, and a difference only warned of.

    Raises ValueError if the adapter cannot be read, asks for what is not done (`adapter_bounds`), needs a newer PEFT, was trained on another model (`wrong_base`), does not
    fit, changes no weights, or if the merged model is not the same.
    """
    import warnings

    import peft
    from peft import PeftConfig, PeftModel

    from idsweep.models.tied import tie_equal, untie

    problem = f"The adapter {adapter} cannot be merged into the model {folder}"
    try:
        check_adapter(
            read_adapter_config(adapter), [name for name, _ in [*model.named_modules(), *model.named_parameters()]]
        )
    except ValueError as error:
        raise ValueError(f"{problem}: {error}.") from error
    try:
        config = PeftConfig.from_pretrained(str(adapter), local_files_only=True)
    except Exception as error:
        raise ValueError(f"{problem}: its {ADAPTER_CONFIG} cannot be read: {error}") from error
    if config.is_prompt_learning:
        raise ValueError(f"{problem}: {config.peft_type.value} changes the input and not the weights.")
    if unknown := _unknown_settings(adapter, config):
        raise ValueError(
            f"{problem}: PEFT {peft.__version__} does not know {', '.join(unknown)} in its {ADAPTER_CONFIG}, and would leave out what "
            "that says. Install the version that it was made with (peft_version there), or a later one."
        )
    of_adapter = config.base_model_name_or_path
    if base_name is not None and (wrong := wrong_base(of_adapter, base_name)):
        raise ValueError(f"{problem}: {wrong}.")
    of_base = base_name or read_config(folder).get("_name_or_path")
    if of_base and of_adapter and of_adapter != str(folder) and _last_part(of_adapter) != _last_part(of_base):
        logger.warning(
            "The adapter %s was trained on %s and is merged into %s, which is %s by name.",
            *(adapter, of_adapter, folder, of_base),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what will have another name
            warnings.filterwarnings("ignore", "Model (has|with) `tie_word_embeddings=True`")  # it is untied below
            # PeftModel itself, not the class of the adapter's task: heads for tasks shape no hidden state.
            with_adapter = PeftModel(model, config)
        # A model with a head holds the headless one under a name, which then begins the names of the adapter's weights.
        headless = model.base_model is model and bool(model.base_model_prefix)
        renamed = {rf"^{re.escape(model.base_model_prefix)}\.": ""} if headless else None
        loading = with_adapter.load_adapter(
            str(adapter), "default", torch_device="cpu", local_files_only=True, key_mapping=renamed
        )
        here = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        heads = tuple(set(config.modules_to_save or ()) - here)  # a classifier, say: no hidden state passes through it
        placeless = [key for key in loading.unexpected_keys if not any(part.endswith(heads) for part in key.split("."))]
        if loading.missing_keys or placeless:
            raise ValueError(
                f"{len(loading.missing_keys)} of its weights are absent and {len(placeless)} have no place, as "
                f"{[*loading.missing_keys, *placeless][0]}. "
                "Check 'kind': it must give the class that the adapter was trained on, or one with the same names of modules"
            )
        before = _probe(part, config)
        # Not before PEFT has put its modules in: some adapters of one of two tied matrices are meant for both.
        untied = untie(model)
        merged = with_adapter.merge_and_unload()
        tie_equal(merged, untied)
    except KeyError as error:  # of a module that the adapter replaces as a whole
        raise ValueError(f"{problem}: its weight {error} is absent.") from error
    except Exception as error:
        raise ValueError(f"{problem}: {why_unreadable(error)}.") from error
    if (difference := _difference(before, _probe(part, config))) is not None:
        raise ValueError(
            f"{problem}: with merged weights {difference}, so that numbers would not be the adapter's. Merge it with the "
            "tool that trained it, and name the merged model as `path`."
        )
    return merged


def _unknown_settings(adapter: str | Path, config: PeftConfig) -> list[str]:
    """Keys of adapter_config.json that say something and that the installed PEFT does not know."""
    said = read_adapter_config(adapter)
    return sorted(key for key, value in said.items() if value and not hasattr(config, key))


def _probe(part: torch.nn.Module, config: PeftConfig) -> dict[str, torch.Tensor]:
    """Hidden states of all layers, and logits where there are any, for tokens from all over the vocabulary."""
    import torch

    part.eval()
    size = part.get_input_embeddings().weight.shape[0]
    trained = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None) or ()
    trained = [one for ids in trained.values() for one in ids] if isinstance(trained, dict) else trained
    ids = sorted({*range(1, size, max(1, size // PROBED)), *trained[:PROBED]})
    with torch.inference_mode():
        output = part(input_ids=torch.tensor([ids]), output_hidden_states=True, return_dict=True)
    found = {f"layer {i}": state for i, state in enumerate(output.hidden_states)}
    return found | ({"logits": output.logits} if getattr(output, "logits", None) is not None else {})


def _difference(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> str | None:
    """What differs by more than rounding, at any token, relative to the mean over tokens; None if nothing does."""
    import torch

    for name, expected in before.items():
        tolerance = max(1e-3, 16 * torch.finfo(expected.dtype).eps)
        error = (after[name].float() - expected.float()).norm(dim=-1).max() / expected.float().norm(dim=-1).mean()
        if not error <= tolerance:
            return f"{name} differs by {100 * error.item():.2g} % from what it is with the adapter beside the weights"
    return None
