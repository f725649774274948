"""Measures of tokens against scipy on single rows of logits, and against transformers' own loss."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest
import torch
from builders.copied_library import check_copy, copy_library
from builders.project import CONFIG
from builders.tiny_models import MASK, extract, tables, tiny
from idsweep.config.load import ConfigError, load
from idsweep.extraction import losses
from idsweep.extraction.losses import TOKEN_MEASURES
from idsweep.extraction.measures import MEASURES, names
from idsweep.files.columns import POINTS, SEQUENCES
from scipy import special, stats


def by_hand(logits: np.ndarray, target: int) -> dict[str, float]:
    """Each measure of one token, in float64."""
    logits = logits.astype(np.float64)
    best = np.sort(logits)[::-1]
    return {
        "log_probability": special.log_softmax(logits)[target],
        "entropy": stats.entropy(special.softmax(logits)),
        "rank": stats.rankdata(-logits, method="min")[target],
        "margin": best[0] - best[1] if len(logits) > 1 else np.nan,
    }


def measured(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, np.ndarray]:
    given = logits.float().log_softmax(-1)
    kept = given.clone()
    found = {name: measure(given, targets).numpy() for name, measure in MEASURES.items()}
    assert torch.equal(given, kept)
    assert all(values.shape == targets.shape for values in found.values())
    return found


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in table[name].to_pylist()])


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 50, 3000])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_each_measure_is_scipy_s(vocabulary: int, spread: float) -> None:
    random = np.random.default_rng(vocabulary)
    logits = (spread * random.standard_normal((40, vocabulary)) + 5).astype(np.float32)
    targets = random.integers(vocabulary, size=40)
    found = measured(torch.from_numpy(logits), torch.from_numpy(targets))
    assert list(found) == names() == ["log_probability", "entropy", "rank", "margin"]
    for row, target in enumerate(targets):
        for name, expected in by_hand(logits[row], target).items():
            np.testing.assert_allclose(found[name][row], expected, rtol=2e-5, atol=2e-5, err_msg=name)


def test_ties_share_the_best_rank_and_leave_no_margin() -> None:
    logits = torch.tensor([[2.0, 2.0, 1.0, 1.0, 0.0]]).expand(5, 5)
    found = measured(logits, torch.arange(5))
    assert found["rank"].tolist() == [1, 1, 3, 3, 5]
    assert found["margin"].tolist() == [0.0] * 5


def test_tokens_that_cannot_come_add_nothing_to_the_entropy() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [5.0, -torch.inf, -torch.inf]])
    found = measured(logits, torch.tensor([2, 0]))
    np.testing.assert_allclose(found["entropy"], [np.log(2), 0.0], rtol=1e-6)
    assert not np.signbit(found["entropy"]).any()
    assert found["rank"].tolist() == [3, 1]
    assert found["margin"].tolist() == [0.0, np.inf] and found["log_probability"].tolist() == [-np.inf, 0.0]


def test_log_probabilities_are_cross_entropies_bit_by_bit() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for vocabulary in (1, 2, 99, 5003):
            logits = (8 * torch.randn(64, vocabulary)).to(dtype)
            targets = torch.randint(vocabulary, (64,))
            expected = -torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
            assert measured(logits, targets)["log_probability"].tobytes() == expected.numpy().tobytes()


def of_rows(model: torch.nn.Module, points: pa.Table, sequences: pa.Table, masked: bool) -> dict[str, np.ndarray]:
    """Each measure of each point, from the logits of one sequence at a time; NaN where a causal model has none."""
    rows = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    found = {name: np.full(len(points), np.nan) for name in MEASURES}
    for place, point in enumerate(points.to_pylist()):
        ids, position = list(rows[point["sequence"]]), point["position"]
        target = ids[position]
        if masked:
            ids[position] = MASK
        predicts = position if masked else position - 1
        if predicts >= 0:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, predicts]
            for name, value in by_hand(logits.numpy(), target).items():
                found[name][place] = value
    return found


def check_extracted(found: pa.Table, expected: dict[str, np.ndarray]) -> None:
    assert found.schema == TOKEN_MEASURES
    for name, values in expected.items():
        # Two tokens whose logits differ by rounding alone may change places.
        tolerance = 1 if name == "rank" else 2e-4
        np.testing.assert_allclose(column(found, name), values, atol=tolerance, err_msg=name)
    there = ~np.isnan(expected["rank"])
    assert (column(found, "rank") == expected["rank"])[there].mean() > 0.95


@pytest.mark.parametrize("model_type", ["gpt_neox", "gemma2", "opt"])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_measures_of_a_causal_model_are_of_what_comes_before(model_type: str, padding_side: str) -> None:
    model, (points, sequences) = tiny(model_type), tables(mean=True)
    options = {"batch_tokens": 200, "padding_side": padding_side, "losses": True}
    _, found = extract(model, points, sequences, **options)
    check_extracted(found.tokens, of_rows(model, points, sequences, masked=False))
    nothing = [position <= 0 for position in points["position"].to_pylist()]
    for name in MEASURES:
        assert [value is None for value in found.tokens[name].to_pylist()] == nothing


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_measures_of_a_masked_model_are_at_its_mask(model_type: str) -> None:
    model, (points, sequences) = tiny(model_type), tables(7)
    _, found = extract(model, points, sequences, masked=True, mask_token=MASK, losses=True, batch_tokens=200)
    check_extracted(found.tokens, of_rows(model, points, sequences, masked=True))


def test_the_mean_log_probability_is_transformers_own_loss() -> None:
    model, (_, sequences) = tiny("gpt_neox"), tables()
    every = every_token(sequences)
    _, found = extract(model, every, sequences, losses=True)
    log_probability = column(found.tokens, "log_probability")
    for row in sequences.to_pylist():
        here = np.array(every["sequence"]) == row["sequence"]
        if len(row["input_ids"]) > 1:
            ids = torch.tensor([row["input_ids"]])
            with torch.no_grad():
                loss = model(input_ids=ids, labels=ids).loss.item()
            assert -np.nanmean(log_probability[here]) == pytest.approx(loss, rel=1e-5)


def every_token(sequences: pa.Table) -> pa.Table:
    places = [(row["sequence"], at, id) for row in sequences.to_pylist() for at, id in enumerate(row["input_ids"])]
    columns = {
        "point": range(len(places)),
        "sequence": [sequence for sequence, _, _ in places],
        "position": [position for _, position, _ in places],
        "token_id": [id for *_, id in places],
        "token": ["" for _ in places],
        "special": [False for _ in places],
        "token_class": [None for _ in places],
        "count": [None for _ in places],
        "drawn": range(len(places)),
    }
    return pa.table({name: list(columns[name]) for name in POINTS.names}, schema=POINTS)


@pytest.mark.parametrize("vocabulary", [1, 2])
def test_in_a_vocabulary_of_one_the_margin_is_undefined_and_counted(
    vocabulary: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny("gpt2", vocab_size=vocabulary)
    rows = [{"sequence": 0, "text": "", "input_ids": [0, vocabulary - 1, 0, 0]}]
    sequences = pa.Table.from_pylist(rows, schema=SEQUENCES)
    with caplog.at_level(logging.WARNING, logger="idsweep.extraction.losses"):
        _, found = extract(model, every_token(sequences), sequences, losses=True)
    margin = found.tokens["margin"].to_pylist()
    assert margin[0] is None
    assert np.isnan(margin[1:]).all() == (vocabulary == 1)
    assert ("margin is undefined at 3 of 3 tokens" in caplog.text) == (vocabulary == 1)
    assert column(found.tokens, "rank")[1:].max() <= vocabulary
    if vocabulary == 1:
        assert (
            found.tokens["log_probability"].to_pylist() == found.tokens["entropy"].to_pylist() == [None, 0.0, 0.0, 0.0]
        )


def test_measures_are_made_at_sampled_tokens_alone_and_of_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (points, sequences) = tiny("gpt2"), tables()
    shapes = []

    def looking(log_probabilities: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(log_probabilities.shape))
        return MEASURES["entropy"](log_probabilities, targets)

    _, expected = extract(model, points, sequences, losses=True)
    monkeypatch.setattr(losses, "MEASURES", MEASURES | {"rank": looking})
    monkeypatch.setattr(losses, "MEASURED_BYTES", 5 * 4 * model.config.vocab_size)
    _, found = extract(model, points, sequences, losses=True)
    predicted = np.count_nonzero(points["position"].to_numpy() > 0)
    assert sum(rows for rows, _ in shapes) == predicted < sum(found.sequences["n_tokens"].to_pylist())
    assert max(rows for rows, _ in shapes) == 5
    np.testing.assert_array_equal(column(found.tokens, "rank"), column(expected.tokens, "entropy"))
    assert found.tokens["log_probability"].equals(expected.tokens["log_probability"])


def test_an_unknown_measure_is_refused_with_those_there_are() -> None:
    given = {
        "sweep": "s",
        "models": {"minilm": None},
        "datasets": ["lee_news"],
        "figures": {"losses": {"measure": "entorpy"}},
    }
    with pytest.raises(
        ConfigError, match=r"figures\.losses\.measure: 'entorpy' is not known; did you mean 'entropy'"
    ) as error:
        load(given, CONFIG)
    assert "allowed: log_probability, entropy, rank, margin" in str(error.value)


def test_a_new_measure_is_one_function(tmp_path) -> None:
    """It is a column, an option of figures and a part of plans; and its name is known without torch."""
    library = copy_library(tmp_path)
    with (library / "extraction/measures.py").open("a") as file:
        file.write(
            "\n\n@measure\ndef surprise(log_probabilities, targets):\n    return -log_probability(log_probabilities, targets)\n"
        )
    check_copy(
        tmp_path,
        """
        import sys
        from pathlib import Path
        from idsweep.config.load import load
        given = {"sweep": "s", "models": {"mini": None}, "datasets": ["lee_news"], "figures": {"losses": {"measure": "surprise"}}}
        given["catalog"] = {"models": {"mini": {"path": "nowhere", "kind": "causal"}}}
        assert load(given, Path(sys.argv[1]))["figures"] == given["figures"]
        assert not {"torch", "transformers", "pandas"} & sys.modules.keys()
        from idsweep.extraction.losses import TOKEN_MEASURES
        assert TOKEN_MEASURES.names[-1] == "surprise"
        """,
    )
