"""PEFT adapters, merged into the weights of the model that they were trained on."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.model_files import ADAPTER_CONFIG, read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def merge(model: PreTrainedModel, folder: str | Path, adapter: str | Path) -> PreTrainedModel:
    """The model, loaded from `folder`, with the changes of the adapter in its weights.

    An adapter of the model with a head, as a classifier, fits the model without any: its head is left out.

    Raises ValueError if the adapter cannot be read, does not fit, or changes no weights.
    """
    import warnings

    from peft import PeftConfig, PeftModel

    problem = f"The adapter {adapter} cannot be merged into the model {folder}"
    try:
        config = PeftConfig.from_pretrained(str(adapter), local_files_only=True)
    except Exception as error:
        raise ValueError(f"{problem}: its {ADAPTER_CONFIG} cannot be read: {error}") from error
    if config.is_prompt_learning:
        raise ValueError(f"{problem}: {config.peft_type.value} changes the input and not the weights.")
    of_base, of_adapter = read_config(folder).get("_name_or_path"), config.base_model_name_or_path
    if of_base and of_adapter and of_adapter not in (of_base, str(folder)):
        logger.warning(
            "The adapter %s was trained on %s and is merged into %s, whose config names %s.",
            *(adapter, of_adapter, folder, of_base),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what will have another name
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
        return with_adapter.merge_and_unload()
    except KeyError as error:  # of a module that the adapter replaces as a whole
        raise ValueError(f"{problem}: its weight {error} is absent.") from error
    except Exception as error:
        raise ValueError(f"{problem}: {error}.") from error
