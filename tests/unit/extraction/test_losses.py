"""Log-probabilities and losses are those of a plain loop over the model's own logits."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from builders.tiny_models import CAUSAL, MASK, MASKED, assert_close, extract, plain_loop, tables, tiny
from idsweep.extraction import losses
from idsweep.extraction.losses import SEQUENCE_LOSSES, TOKEN_MEASURES
from transformers import AutoConfig, AutoModel, GPTNeoXForCausalLM


def ids_of(sequences) -> dict[int, list[int]]:
    return {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}


def column(table, name: str) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in table[name].to_pylist()], dtype=np.float64)


def plain_losses(model, ids: dict[int, list[int]]) -> dict[int, float]:
    """Mean of -log p over all tokens but the first, NaN where there is no other."""
    found = {}
    for sequence, tokens in ids.items():
        with torch.no_grad():
            predicted = model(input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(-1)
        found[sequence] = -predicted[range(len(tokens) - 1), tokens[1:]].mean().item()
    return found


def check_causal(model, points, sequences, tolerance=1e-5, **options):
    states, found = extract(model, points, sequences, losses=True, **options)
    expected_states, predicted = plain_loop(model, points, sequences)
    assert_close(states, expected_states)
    assert found.tokens.schema == TOKEN_MEASURES and found.sequences.schema == SEQUENCE_LOSSES
    assert found.tokens["point"].to_pylist() == list(range(points.num_rows))
    np.testing.assert_allclose(column(found.tokens, "log_probability"), predicted, atol=tolerance)
    ids = ids_of(sequences)
    assert found.sequences["sequence"].to_pylist() == sorted(ids)
    assert found.sequences["n_tokens"].to_pylist() == [len(ids[sequence]) - 1 for sequence in sorted(ids)]
    expected = plain_losses(model, ids)
    np.testing.assert_allclose(
        column(found.sequences, "loss"), [expected[sequence] for sequence in sorted(ids)], atol=tolerance
    )


@pytest.mark.parametrize("model_type", CAUSAL)
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_causal_model_predicts_each_token_from_those_before_it(model_type, padding_side, caplog):
    points, sequences = tables(mean=True)
    assert min(map(len, ids_of(sequences).values())) == 1  # a sequence without a loss
    with caplog.at_level(logging.INFO, logger="idsweep.extraction.losses"):
        check_causal(tiny(model_type), points, sequences, batch_tokens=200, padding_side=padding_side)
    assert "run twice" not in caplog.text


@pytest.mark.parametrize("model_type", MASKED)
def test_a_masked_model_predicts_each_token_at_its_mask(model_type, caplog):
    model, (points, sequences) = tiny(model_type), tables(7)
    with caplog.at_level(logging.INFO, logger="idsweep.extraction.losses"):
        _, found = extract(model, points, sequences, masked=True, mask_token=MASK, losses=True, batch_tokens=200)
    assert "run twice" not in caplog.text
    _, predicted = plain_loop(model, points, sequences, masked=True)
    np.testing.assert_allclose(column(found.tokens, "log_probability"), predicted, atol=1e-5)
    of_point = points["sequence"].to_numpy()
    numbers = np.unique(of_point)
    assert found.sequences["sequence"].to_pylist() == numbers.tolist()
    assert found.sequences["n_tokens"].to_pylist() == [int((of_point == number).sum()) for number in numbers]
    expected = [-predicted[of_point == number].mean() for number in numbers]
    np.testing.assert_allclose(column(found.sequences, "loss"), expected, atol=1e-5)


def test_only_sequences_that_are_run_have_a_loss():
    model, (points, sequences) = tiny("gpt2"), tables()
    of_one = points.slice(0, 1)  # its point is number 0
    _, found = extract(model, of_one, sequences, losses=True)
    assert found.sequences["sequence"].to_pylist() == of_one["sequence"].to_pylist()


def test_few_logits_are_held_at_a_time(monkeypatch):
    model, (points, sequences) = tiny("gemma2"), tables()
    rows = []
    model.lm_head.register_forward_hook(lambda _, args, out: rows.append(out.shape[:-1].numel()))
    monkeypatch.setattr(losses, "LOGITS_BYTES", 20 * 4 * model.config.vocab_size)
    _, found = extract(model, points, sequences, losses=True)
    assert max(rows) <= 20
    monkeypatch.undo()
    _, expected = extract(model, points, sequences, losses=True)
    np.testing.assert_allclose(
        column(found.tokens, "log_probability"), column(expected.tokens, "log_probability"), atol=1e-6
    )


class Smeared(GPTNeoXForCausalLM):
    """A model whose head looks at the token before as well."""

    def forward(self, input_ids, attention_mask=None, **options):
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask, **options)
        before = torch.nn.functional.pad(output.logits, (0, 0, 1, 0))[:, :-1]
        if attention_mask is not None:
            before = before * torch.nn.functional.pad(attention_mask, (1, 0))[:, :-1, None]
        output.logits = output.logits + before
        return output


class WithoutBase(GPTNeoXForCausalLM):
    """A model that does not say what its head stands on."""

    base_model_prefix = "nothing"

    def get_input_embeddings(self):
        return self.gpt_neox.embed_in


@pytest.mark.parametrize("kind", [Smeared, WithoutBase])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_head_that_needs_whole_sequences_gets_them(kind, padding_side, caplog):
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(0)
    model = kind(AutoConfig.for_model("gpt_neox", vocab_size=99, **shape)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    with caplog.at_level(logging.INFO, logger="idsweep.extraction.losses"):
        check_causal(model, *tables(8), padding_side=padding_side)
    assert f"The head of {kind.__name__} needs whole sequences" in caplog.text


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_logits_are_normalised_in_float32(dtype):
    model, (points, sequences) = tiny("gpt_neox").to(dtype), tables(8)
    _, found = extract(model, points, sequences, losses=True, batch_tokens=1)
    _, predicted = plain_loop(model, points, sequences)
    np.testing.assert_allclose(column(found.tokens, "log_probability"), predicted, atol=0.1)
    # 16-bit log-probabilities of about -5 would be multiples of 2^-6 (bfloat16) or 2^-9 (float16)
    grid = column(found.tokens, "log_probability") * 2**9
    grid = grid[~np.isnan(grid)]
    assert np.abs(grid - np.round(grid)).max() > 1e-3


def test_out_of_memory_changes_no_loss(caplog):
    model, (points, sequences) = tiny("gpt2"), tables()
    _, expected = extract(model, points, sequences, losses=True)
    rows = []

    def scarce(_, args, out):
        rows.append(out.shape[:-1].numel())
        if rows[-1] > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.lm_head.register_forward_hook(scarce)
    with caplog.at_level(logging.WARNING, logger="idsweep.extraction.forward"):
        _, found = extract(model, points, sequences, losses=True)
    assert "Out of memory" in caplog.text
    np.testing.assert_allclose(
        column(found.tokens, "log_probability"), column(expected.tokens, "log_probability"), atol=1e-6
    )
    np.testing.assert_allclose(column(found.sequences, "loss"), column(expected.sequences, "loss"), atol=1e-6)


def test_a_nan_among_the_logits_is_told():
    model, (points, sequences) = tiny("gpt2"), tables(1)
    model.lm_head.register_forward_hook(lambda _, args, out: torch.full_like(out, torch.nan))
    with pytest.raises(ValueError, match="A log-probability of sequence 0 is NaN"):
        extract(model, points, sequences, losses=True)


def test_a_nan_among_the_states_is_told_as_such():
    model, (points, sequences) = tiny("gpt2"), tables(1)
    model.transformer.h[0].register_forward_hook(lambda _, args, out: torch.full_like(out, torch.nan))
    with pytest.raises(ValueError, match="A hidden state of layer 1, sequence 0, is NaN or infinite"):
        extract(model, points, sequences, losses=True)


def test_the_model_is_left_as_it_was():
    model, (points, sequences) = tiny("gpt2"), tables()
    before, _ = plain_loop(model, points, sequences)
    extract(model, points, sequences, losses=True)
    assert "forward" not in vars(model.base_model)
    assert_close(plain_loop(model, points, sequences)[0], before, 1e-9)


def test_losses_of_models_that_do_not_predict_are_refused():
    points, sequences = tables()
    with pytest.raises(ValueError, match="BertForMaskedLM does not predict the next token"):
        extract(tiny("bert"), points, sequences, losses=True)
    with pytest.raises(ValueError, match="T5Stack does not predict the next token"):
        extract(tiny("t5"), points, sequences, losses=True)
    with pytest.raises(ValueError, match="GPT2LMHeadModel does not predict masked tokens"):
        extract(tiny("gpt2"), points, sequences, losses=True, masked=True, mask_token=MASK)
    encoder = AutoModel.from_config(tiny("bert").config)
    with pytest.raises(ValueError, match="BertModel does not predict masked tokens"):
        extract(encoder, points, sequences, losses=True, masked=True, mask_token=MASK)
