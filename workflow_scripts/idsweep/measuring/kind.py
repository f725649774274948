"""The kind of a model, told from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Ends of the names of transformers' classes, of which config.json names the one that was saved.
CAUSAL = ("ForCausalLM", "LMHeadModel")
MASKED = ("ForMaskedLM", "ForPreTraining")
OF_ADAPTERS = {"CAUSAL_LM": "causal", "SEQ_2_SEQ_LM": "encoder-decoder"}  # task_type of adapter_config.json


def kind_of(config: Mapping[str, Any]) -> str:
    """How a model is to be loaded: causal, masked, encoder or encoder-decoder, as the catalog's key `kind` has it.

    config: what its config.json holds. The class that was saved decides; without one, what transformers' classes for its family
    are made for. A model with another head, as of a classifier, is an encoder: its hidden states are measured, without a head.

    Examples
    --------
    >>> kind_of({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]})
    'causal'
    >>> kind_of({"model_type": "bert", "architectures": ["BertForSequenceClassification"]})
    'encoder'
    """
    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    saved = [name for name in config.get("architectures") or () if isinstance(name, str)]
    if saved:
        if saved[0].endswith(CAUSAL):
            return "causal"
        is_decoder = config.get("model_type") in _families()["causal"] - _families()["masked"]
        return "masked" if saved[0].endswith(MASKED) and not is_decoder else "encoder"
    return next((kind for kind, families in _families().items() if config.get("model_type") in families), "encoder")


def kind_of_adapter(config: Mapping[str, Any], base: str) -> str:
    """The kind of a model with an adapter. config: what adapter_config.json holds. base: the kind of the model below."""
    return OF_ADAPTERS.get(str(config.get("task_type")), base)


def _families() -> dict[str, frozenset[str]]:
    from transformers.models.auto import modeling_auto as known

    return {
        "masked": frozenset(known.MODEL_FOR_MASKED_LM_MAPPING_NAMES),
        "causal": frozenset(known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    }
