"""The catalog of models against what is published of their architectures, counted on torch's meta device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import pytest
import yaml
from builders.project import CONFIG
from builders.sweeps import NEWS, sweep_of
from idsweep.config import steps

MODELS = yaml.safe_load((CONFIG / "catalog" / "models.yaml").read_text(encoding="utf-8"))
HUB = {name: entry for name, entry in MODELS.items() if "hub" in entry}
CLASSES = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
}


@dataclass(frozen=True)
class Published:
    """An architecture by its published config, and how its files hold it.

    item: bytes a parameter. extra: further bytes a block, which older files hold beside the parameters (causal masks).
    twice: whether tied embeddings are stored twice. blocks: the config's keys for the number of blocks.
    inside: the part of the config that these keys are in.
    """

    model_type: str
    layers: int
    width: int
    config: dict[str, Any]
    item: int
    extra: int = 0
    twice: bool = False
    blocks: tuple[str, ...] = ("num_hidden_layers",)
    inside: str | None = None
    kind: str = "causal"


def neox(
    layers: int, width: int, heads: int, vocabulary: int = 50304, item: int = 2, extra: int = 2048**2
) -> Published:
    sizes = {"num_attention_heads": heads, "intermediate_size": 4 * width, "vocab_size": vocabulary}
    return Published("gpt_neox", layers, width, {"hidden_size": width, **sizes}, item, extra)


def gated(
    model_type: str,
    layers: int,
    width: int,
    heads: int,
    groups: int,
    inner: int,
    vocabulary: int,
    tied: bool,
    item: int = 2,
    twice: bool = False,
    **more: Any,
) -> Published:
    """Llama's relatives: gated feed-forward layers, `groups` heads of keys and values."""
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_key_value_heads": groups}
    sizes |= {"intermediate_size": inner, "vocab_size": vocabulary, "tie_word_embeddings": tied}
    return Published(model_type, layers, width, sizes | more, item, twice=twice)


def gpt2(layers: int, width: int, heads: int, item: int = 4, extra: int = 4 * 1024**2) -> Published:
    sizes = {"n_embd": width, "n_head": heads, "vocab_size": 50257}
    return Published("gpt2", layers, width, sizes, item, extra, blocks=("n_layer",))


def bloom(layers: int, width: int, heads: int) -> Published:
    sizes = {"hidden_size": width, "n_head": heads, "vocab_size": 250880}
    return Published("bloom", layers, width, sizes, 2, blocks=("n_layer",))


def bert(layers: int, width: int, vocabulary: int, model_type: str = "bert", **more: Any) -> Published:
    sizes = {"num_attention_heads": width // 64, "intermediate_size": 4 * width, "vocab_size": vocabulary}
    return Published(model_type, layers, width, {"hidden_size": width, **sizes, **more}, 4, kind="masked")


def t5(layers: int, width: int, heads: int) -> Published:
    sizes = {"d_model": width, "num_heads": heads, "d_ff": 4 * width, "vocab_size": 32128}
    stacks = ("num_layers", "num_decoder_layers")
    return Published("t5", layers, width, sizes, 4, blocks=stacks, kind="encoder-decoder")


def gemma(layers: int, width: int, heads: int, groups: int, inner: int) -> Published:
    """Gemma 3 with its image encoder (SigLIP)."""
    text = gated("gemma3_text", layers, width, heads, groups, inner, 262208, tied=True, head_dim=256).config
    image = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    image |= {"image_size": 896, "patch_size": 14, "vision_use_head": False}
    return Published("gemma3", layers, width, {"text_config": text, "vision_config": image}, 2, inside="text_config")


# Numbers from the models' published config.json.
PYTHIA = {
    "14m": neox(6, 128, 4, item=4, extra=0),
    "31m": neox(6, 256, 8, item=4, extra=0),
    "70m": neox(6, 512, 8),
    "160m": neox(12, 768, 12),
    "410m": neox(24, 1024, 16),
    "1b": neox(16, 2048, 8),
    "1.4b": neox(24, 2048, 16),
    "2.8b": neox(32, 2560, 32),
    "6.9b": neox(32, 4096, 32, vocabulary=50432),
    "12b": neox(36, 5120, 40, vocabulary=50688),
}
SMOLLM2 = {
    "135m": gated("llama", 30, 576, 9, 3, 1536, 49152, tied=True),
    "360m": gated("llama", 32, 960, 15, 5, 2560, 49152, tied=True),
    "1.7b": gated("llama", 24, 2048, 32, 32, 8192, 49152, tied=True),
}
SMOLLM3 = gated("smollm3", 36, 2048, 16, 4, 11008, 128256, tied=True)
BLOOM = {"560m": bloom(24, 1024, 16), "1b1": bloom(24, 1536, 16), "1b7": bloom(24, 2048, 16)}
QWEN3 = {
    "0.6b": (28, 1024, 16, 8, 3072, 151936, True),
    "1.7b": (28, 2048, 16, 8, 6144, 151936, True),
    "4b": (36, 2560, 32, 8, 9728, 151936, True),
    "8b": (36, 4096, 32, 8, 12288, 151936, False),
}
MISTRAL = [
    "alias-gpt2-small-x21",
    "battlestar-gpt2-small-x49",
    "caprica-gpt2-small-x81",
    "darkmatter-gpt2-small-x343",
    "expanse-gpt2-small-x777",
]
PUBLISHED = {
    **{f"pythia-{size}{deduped}": model for size, model in PYTHIA.items() for deduped in ("", "-deduped")},
    "polypythia-14m": neox(6, 128, 4),
    "polypythia-31m": neox(6, 256, 8),
    **{f"polypythia-{size}": PYTHIA[size] for size in ("70m", "160m", "410m")},
    **{f"polypythia-160m-{changed}": PYTHIA["160m"] for changed in ("data", "weight")},
    "olmo-1b-hf": gated("olmo", 16, 2048, 16, 16, 8192, 50304, tied=True),
    "olmo-7b-hf": gated("olmo", 32, 4096, 32, 32, 11008, 50304, tied=False, item=4),
    "olmo-1b-0724-hf": gated("olmo", 16, 2048, 16, 16, 8192, 50304, tied=False, item=4),
    "olmo-7b-0724-hf": gated("olmo", 32, 4096, 32, 32, 11008, 50304, tied=False, item=4),
    "olmo-2-0425-1b-early-training": gated("olmo2", 16, 2048, 16, 16, 8192, 100352, tied=False, item=4),
    "olmo-2-0425-1b": gated("olmo2", 16, 2048, 16, 16, 8192, 100352, tied=False, item=4),
    "olmo-2-1124-7b": gated("olmo2", 32, 4096, 32, 32, 11008, 100352, tied=False, item=4),
    "olmo-2-1124-13b": gated("olmo2", 40, 5120, 40, 40, 13824, 100352, tied=False, item=4),
    "olmo-3-1025-7b": gated("olmo3", 32, 4096, 32, 32, 11008, 100278, tied=False),
    **{f"smollm2-{size}": model for size, model in SMOLLM2.items()},
    **{f"smollm2-{size}-intermediate-checkpoints": model for size, model in SMOLLM2.items()},
    **{f"smollm3-3b-{which}": SMOLLM3 for which in ("base", "checkpoints")},
    "tinyllama-1.1b": gated("llama", 22, 2048, 32, 4, 5632, 32000, tied=False, item=4),
    "amber": gated("llama", 32, 4096, 32, 32, 11008, 32000, tied=False, item=4),
    **{f"bloom-{size}{which}": model for size, model in BLOOM.items() for which in ("", "-intermediate")},
    "gpt2": gpt2(12, 768, 12),
    "gpt2-medium": gpt2(24, 1024, 16),
    "gpt2-large": gpt2(36, 1280, 20),
    "gpt2-xl": gpt2(48, 1600, 25),
    **dict.fromkeys(MISTRAL, gpt2(12, 768, 12, item=2, extra=1024**2)),
    "llama-3.1-8b": gated("llama", 32, 4096, 32, 8, 14336, 128256, tied=False),
    "llama-3.2-1b": gated("llama", 16, 2048, 32, 8, 8192, 128256, tied=True),
    "llama-3.2-3b": gated("llama", 28, 3072, 24, 8, 8192, 128256, tied=True),
    "gemma-3-270m": gated("gemma3_text", 18, 640, 4, 1, 2048, 262144, tied=True, head_dim=256),
    "gemma-3-1b-pt": gated("gemma3_text", 26, 1152, 4, 1, 6912, 262144, tied=True, head_dim=256),
    "gemma-3-1b-it": gated("gemma3_text", 26, 1152, 4, 1, 6912, 262144, tied=True, head_dim=256),
    "gemma-3-4b-pt": gemma(34, 2560, 8, 4, 10240),
    "gemma-3-12b-pt": gemma(48, 3840, 16, 8, 15360),
    "phi-3.5-mini-instruct": gated("phi3", 32, 3072, 32, 32, 8192, 32064, tied=False),
    "phi-4": gated("phi3", 40, 5120, 40, 10, 17920, 100352, tied=False),
    "phi-4-mini-instruct": gated("phi3", 32, 3072, 24, 8, 8192, 200064, tied=True),
    "qwen2.5-0.5b": gated("qwen2", 24, 896, 14, 2, 4864, 151936, tied=True),
    "qwen2.5-1.5b": gated("qwen2", 28, 1536, 12, 2, 8960, 151936, tied=True),
    "qwen2.5-3b": gated("qwen2", 36, 2048, 16, 2, 11008, 151936, tied=True),
    "qwen2.5-7b": gated("qwen2", 28, 3584, 28, 4, 18944, 152064, tied=False),
    **{f"qwen3-{size}-base": gated("qwen3", *sizes, head_dim=128) for size, sizes in QWEN3.items()},
    **{
        f"qwen3-{size}": gated("qwen3", *sizes, head_dim=128, twice=size in ("0.6b", "1.7b"))
        for size, sizes in QWEN3.items()
    },
    "bert-base-uncased": bert(12, 768, 30522),
    "bert-base-cased": bert(12, 768, 28996),
    "bert-large-uncased": bert(24, 1024, 30522),
    "bert-large-cased": bert(24, 1024, 28996),
    "multiberts": bert(12, 768, 30522),
    "multiberts-checkpoints": bert(12, 768, 30522),
    "roberta-base": bert(12, 768, 50265, "roberta", max_position_embeddings=514, type_vocab_size=1),
    "roberta-large": bert(24, 1024, 50265, "roberta", max_position_embeddings=514, type_vocab_size=1),
    "modernbert-base": bert(22, 768, 50368, "modernbert", intermediate_size=1152),
    "modernbert-large": bert(28, 1024, 50368, "modernbert", intermediate_size=2624),
    "t5-small": t5(6, 512, 8),
    "t5-base": t5(12, 768, 12),
    "t5-large": t5(24, 1024, 16),
}
# Parameters as model cards and the headers of safetensors files state them (docs/what_was_checked.md).
PARAMETERS = {
    "pythia-31m": 30_494_720,
    "pythia-1.4b": 1_414_647_808,
    "olmo-3-1025-7b": 7_298_011_136,
    "olmo-2-0425-1b": 1_484_916_736,
    "smollm2-360m": 361_821_120,
    "smollm3-3b-base": 3_075_098_624,
    "tinyllama-1.1b": 1_100_048_384,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-3b": 3_212_749_824,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b-pt": 999_885_952,
    "gemma-3-4b-pt": 4_300_079_472,
    "phi-3.5-mini-instruct": 3_821_079_552,
    "phi-4": 14_659_507_200,
    "phi-4-mini-instruct": 3_836_021_760,
    "qwen3-0.6b-base": 596_049_920,
    "qwen3-1.7b-base": 1_720_574_976,
    "modernbert-base": 149_655_232,
}


def vocabulary_of(name: str) -> int:
    model = PUBLISHED[name]
    return (model.config[model.inside] if model.inside else model.config)["vocab_size"]


@cache
def counted(name: str) -> tuple[int, int]:
    """Parameters of the whole model, and those of its input embeddings.

    Blocks are alike (the first may lack a norm), so that models of one and of two blocks say the rest.
    """
    model = PUBLISHED[name]
    (one, _), (two, embeddings) = (_parameters(model, blocks) for blocks in (1, 2))
    return one + (model.layers - 1) * (two - one), embeddings


def _parameters(model: Published, blocks: int) -> tuple[int, int]:
    import torch
    import transformers

    config = {key: dict(value) if isinstance(value, dict) else value for key, value in model.config.items()}
    (config[model.inside] if model.inside else config).update(dict.fromkeys(model.blocks, blocks))
    with torch.device("meta"):
        built = getattr(transformers, CLASSES[model.kind]).from_config(
            transformers.AutoConfig.for_model(model.model_type, **config)
        )
    return sum(p.numel() for p in built.parameters()), built.get_input_embeddings().weight.numel()


def checkpoints_of(entry: dict[str, Any]) -> dict[str, int | None]:
    """Name -> step, in the catalog's order."""
    named = entry["checkpoints"]
    return steps.expand(named) if isinstance(named, str) else named


WITH_CHECKPOINTS = [name for name, entry in HUB.items() if "checkpoints" in entry]


def test_every_hub_model_is_checked() -> None:
    assert PUBLISHED.keys() == HUB.keys()


def test_a_sweep_over_all_hub_models_is_accepted_and_has_all_their_checkpoints() -> None:
    sweep = sweep_of(NEWS | {"models": dict.fromkeys(HUB)})
    expected = sum(
        len(entry.get("seeds", [0])) * len(checkpoints_of(entry) if "checkpoints" in entry else [0])
        for entry in HUB.values()
    )
    assert len(sweep.models) == sum(len(entry.get("seeds", [0])) for entry in HUB.values())
    assert sum(len(model.checkpoints) for model in sweep.models.values()) == expected


def test_names_are_safe_and_follow_the_hub_ids() -> None:
    for name, entry in HUB.items():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._{}-]+", entry["hub"])
        if "{" not in entry["hub"]:
            assert name == entry["hub"].split("/")[1].lower()


@pytest.mark.parametrize("name", PARAMETERS)
def test_architectures_have_the_published_number_of_parameters(name: str) -> None:
    assert counted(name)[0] == PARAMETERS[name]


@pytest.mark.parametrize("name", HUB)
def test_kind_layers_width_and_size(name: str) -> None:
    entry, model = HUB[name], PUBLISHED[name]
    assert (entry["kind"], entry["layers"], entry["width"]) == (model.kind, model.layers, model.width)
    parameters, embeddings = counted(name)
    stored = (parameters + model.twice * embeddings) * model.item + model.extra * model.layers
    assert entry["size_gb"] == pytest.approx(stored / 1e9, rel=0.03)


def test_shared_tokenizers_are_there_and_every_token_has_an_embedding() -> None:
    for name, entry in HUB.items():
        if owner := entry.get("tokenizer", {}).get("of"):
            assert "tokenizer" not in HUB[owner]
            assert "seeds" not in HUB[owner]
            assert vocabulary_of(name) >= vocabulary_of(owner)


def test_placeholders_have_what_fills_them() -> None:
    for entry in HUB.values():
        assert ("{seed}" in entry["hub"]) == ("seeds" in entry)
        assert "{checkpoint}" not in entry["hub"] or isinstance(entry["checkpoints"], dict)
        assert set(re.findall(r"\{.*?\}", entry["hub"])) <= {"{seed}", "{checkpoint}"}


@pytest.mark.parametrize("name", WITH_CHECKPOINTS)
def test_checkpoints_are_in_order_and_bear_their_steps(name: str) -> None:
    named = checkpoints_of(HUB[name])
    assert list(named.values()) == sorted(set(named.values()))
    for checkpoint, step in named.items():
        number, thousands = re.search(r"(?:step_?|step-|checkpoint-|ckpt_)(\d+)([kK]?)", checkpoint).groups()
        assert step == int(number) * (1000 if thousands else 1)


@pytest.mark.parametrize(
    ("name", "number", "first", "last"),
    [
        ("pythia-70m", 154, "step0", "step143000"),
        ("polypythia-14m", 154, "step0", "step143000"),
        ("smollm2-135m-intermediate-checkpoints", 8, "step-240000", "step-1920000"),
        ("smollm2-360m-intermediate-checkpoints", 16, "step-160000", "step-2560000"),
        ("smollm2-1.7b-intermediate-checkpoints", 41, "step-125000", "step-5125000"),
        ("smollm3-3b-checkpoints", 86 + 19 + 13, "stage1-step-40000", "stage3-step-4720000"),
        ("alias-gpt2-small-x21", 609, "checkpoint-0", "checkpoint-400000"),
        ("multiberts-checkpoints", 29, "step_0k", "step_2000k"),
        ("olmo-3-1025-7b", 13, "stage1-step0", "stage1-step1413814"),
        ("bloom-560m-intermediate", 8, "global_step1000", "global_step600000"),
    ],
)
def test_checkpoints_are_as_many_as_published(name: str, number: int, first: str, last: str) -> None:
    named = list(checkpoints_of(HUB[name]))
    assert (len(named), named[0], named[-1]) == (number, first, last)


def test_all_pythias_have_the_same_checkpoints() -> None:
    patterns = {entry["checkpoints"] for name, entry in HUB.items() if "pythia" in name}
    assert len(patterns) == 1
    expected = [0, *(2**power for power in range(10)), *range(1000, 143001, 1000)]
    assert list(steps.expand(patterns.pop()).values()) == expected


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("olmo-2-0425-1b-early-training", 512 * 4096),
        ("olmo-2-0425-1b", 512 * 4096),
        ("olmo-2-1124-7b", 1024 * 4096),
        ("olmo-2-1124-13b", 2048 * 4096),
    ],
)
def test_olmo_2_names_hold_the_tokens_seen(name: str, tokens: int) -> None:
    for checkpoint, step in HUB[name]["checkpoints"].items():
        assert checkpoint == f"stage1-step{step}-tokens{ceil(step * tokens / 1e9)}B"
