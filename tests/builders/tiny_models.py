"""Small models of many families with random weights, and points and sequences to run them on."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import torch
import transformers
from idsweep.extraction.forward import extract_hidden_states
from idsweep.files.columns import POINTS, SEQUENCES
from idsweep.files.representations import BEFORE_FINAL_NORM
from transformers import AutoConfig

VOCABULARY = 99
MASK = 3
LONGEST = 40
WINDOW = 8  # of families with local attention: sequences are several times as long
LAYERS = [0, 1, 2, 3]
_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST,
}
_GROUPED = _SHAPE | {"num_key_value_heads": 2, "head_dim": 8}
_SPECIAL = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4, "decoder_start_token_id": 0}
_BART = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 4} | {
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": LONGEST,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
}
CAUSAL = {
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "cohere": _GROUPED | {"logit_scale": 3.0},
    "gemma2": _GROUPED | {"sliding_window": WINDOW, "final_logit_softcapping": 1.5, "query_pre_attn_scalar": 8},
    "gemma3_text": _GROUPED | {"sliding_window": WINDOW, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": LONGEST},
    "gpt_neox": _SHAPE,
    "granite": _GROUPED | {"logits_scaling": 4.0},
    "llama": _GROUPED,
    "mistral": _GROUPED | {"sliding_window": WINDOW},
    "mixtral": _GROUPED | {"num_local_experts": 3},
    "olmo": _GROUPED,
    "olmo2": _GROUPED,
    "opt": {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    | {"ffn_dim": 48, "max_position_embeddings": LONGEST},
    "phi": _SHAPE,
    "qwen2": _GROUPED,
    "qwen3": _GROUPED,
    "smollm3": _GROUPED,
}
MASKED = {
    "bert": _SHAPE,
    "convbert": _SHAPE | {"embedding_size": 32, "conv_kernel_size": 9, "head_ratio": 2},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": LONGEST},
    "fnet": _SHAPE,
    "mobilebert": _SHAPE | {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": _SHAPE
    | {"local_attention": WINDOW, "global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2},
    "roberta": _SHAPE | {"max_position_embeddings": LONGEST + 2, "pad_token_id": 1},
    "roformer": _SHAPE | {"embedding_size": 32},
}
ENCODERS = {"bart": _BART, "t5": _T5}
FAMILIES = {**CAUSAL, **MASKED, **ENCODERS}


def tiny(model_type: str, **shape: int) -> torch.nn.Module:
    """A model with its head, or the encoder of an encoder-decoder. Its norms and biases are not those of a fresh one."""
    config = AutoConfig.for_model(model_type, **(_SPECIAL | FAMILIES[model_type] | shape))
    kind = "ForCausalLM" if model_type in CAUSAL else "ForMaskedLM" if model_type in MASKED else ""
    torch.manual_seed(0)
    model = getattr(transformers, f"AutoModel{kind}").from_config(config)
    for parameter in model.parameters():  # as initialised, biases are zero and norms the identity
        torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    return (model.get_encoder() if model_type in ENCODERS else model).eval()


def tables(sequences: int = 15, longest: int = LONGEST, seed: int = 0, mean: bool = False) -> tuple[pa.Table, pa.Table]:
    """Points and sequences, numbered 0, 7, 14 …; the first token of each is sampled, and its mean if asked for."""
    random = np.random.default_rng(seed)
    ids = [random.integers(MASK + 1, VOCABULARY, random.integers(1, longest + 1)).tolist() for _ in range(sequences)]
    places = [(7 * s, p) for s in range(sequences) for p in range(len(ids[s])) if p == 0 or random.random() < 0.4]
    if mean:
        places = sorted(places + [(7 * s, -1) for s in range(sequences)])
    random.shuffle(places)
    columns = {
        "point": range(len(places)),
        "sequence": [s for s, _ in places],
        "position": [p for _, p in places],
        "token_id": [ids[s // 7][p] for s, p in places],
        "token": ["" for _ in places],
        "special": [False for _ in places],
        "token_class": [None for _ in places],
        "count": [None for _ in places],
        "drawn": range(len(places)),
    }
    held = [{"sequence": 7 * s, "text": "", "input_ids": row} for s, row in enumerate(ids)]
    points = pa.Table.from_pydict({name: columns[name] for name in POINTS.names}, schema=POINTS)
    return points, pa.Table.from_pylist(held, schema=SEQUENCES)


def extract(model, points, sequences, layers=LAYERS, **options):
    """Extracted vectors in the order of points, layer or name -> (N, D), and the losses; every point came once."""
    chunks = []
    losses = extract_hidden_states(
        model, points, sequences, lambda *chunk: chunks.append(chunk), layers=layers, **options
    )
    ids = np.concatenate([ids for ids, _ in chunks])
    assert ids.dtype == np.int32
    assert sorted(ids) == list(range(points.num_rows))
    names = [*layers, *([BEFORE_FINAL_NORM] if options.get("before_final_norm") else [])]
    assert all(list(vectors) == names for _, vectors in chunks)
    return {name: np.concatenate([v[name] for _, v in chunks])[np.argsort(ids)] for name in names}, losses


def plain_loop(
    model, points, sequences, layers=LAYERS, masked=False, renewed=False
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """What transformers gives for one sequence, or one masked copy of it, at a time, without padding.

    renewed: by a copy of the model for each, which has run nothing before.

    Returns the states, layer -> (N, D), and log-probabilities of the sampled tokens (N,): NaN without a head and
    where a causal model has none.
    """
    rows = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    outputs = {}
    states = {layer: [] for layer in layers}
    predicted = np.full(points.num_rows, np.nan)
    for place, point in enumerate(points.to_pylist()):
        ids, position = list(rows[point["sequence"]]), point["position"]
        token = ids[position]
        if masked:
            ids[position] = MASK
        if tuple(ids) not in outputs:
            with torch.no_grad():
                once = copy.deepcopy(model) if renewed else model
                outputs[tuple(ids)] = once(input_ids=torch.tensor([ids]), output_hidden_states=True)
        output = outputs[tuple(ids)]
        for layer in layers:
            state = output.hidden_states[layer][0].float()
            states[layer].append((state.mean(0) if position == -1 else state[position]).numpy())
        predicts = position if masked else position - 1
        if "logits" in output and predicts >= 0:
            predicted[place] = output.logits[0, predicts].double().log_softmax(-1)[token]
    return {layer: np.stack(vectors) for layer, vectors in states.items()}, predicted


def assert_close(found, expected, tolerance=1e-5):
    for layer in expected:
        assert found[layer].dtype == np.float32
        error = np.linalg.norm(found[layer] - expected[layer], axis=1) / np.linalg.norm(expected[layer], axis=1)
        assert error.max() < tolerance, f"layer {layer}: {error.max():.1e}"
