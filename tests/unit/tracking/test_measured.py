"""What is measured is what a tracker reads, token by token."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from builders.model_folders import MINILM
from builders.sweeps import complaints_of, sweep_of
from builders.tokenizers import roberta
from idsweep.data.corpora import read_corpus
from idsweep.data.dialogues import utterances
from idsweep.data.entries import check_entry
from idsweep.data.generated_dialogues import write_release
from idsweep.data.tokens import sample_tokens
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.examples import example
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import label
from idsweep.tracking.measured import compose

LENGTH = 120


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_release(folder, 20, 0)
    pq.write_table(utterances(folder, "multiwoz"), folder / "utterances.parquet")
    return folder / "utterances.parquet"


def entry(file: Path) -> dict[str, Any]:
    return {
        "loader": "parquet",
        "release": "multiwoz",
        "path": str(file.parent),
        "split": "validation",
        "compose": "turns",
    }


def test_sequences_are_the_inputs_of_the_training(file: Path) -> None:
    tokenizer, spec = roberta(), entry(file)
    corpus = read_corpus(spec, file, ids=True, composed=compose(spec, file, tokenizer, LENGTH))
    sampled = sample_tokens(
        corpus, tokenizer, number=None, max_length=LENGTH, seed=0, select="all", without=["eos", "pad"]
    )
    composer = Composer(tokenizer, LENGTH)
    turns = list(chain.from_iterable(read_dialogues(spec, file)))
    trained = [example(turn, label(turn), composer).read.token_ids.tolist() for turn in turns]
    assert sampled.sequences["input_ids"].to_pylist() == trained
    assert max(map(len, trained)) in range(LENGTH - 30, LENGTH + 1) and len(trained) > 5
    tokens = {*sampled.points["token"].to_pylist()}
    assert "<s>" in tokens and "</s>" not in tokens


def test_sequences_are_drawn_as_texts_are(file: Path) -> None:
    spec = entry(file)
    ids = compose(spec, file, roberta(), LENGTH)
    some = read_corpus(spec, file, number=4, seed=3, ids=True, composed=ids)
    assert some.texts == [ids[place] for place in some.index] and len(some.texts) == 4
    assert read_corpus(spec, file, number=2, choose="first", ids=True, composed=ids).texts == ids[:2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"release": "emowoz"}, "compose: it needs a release with states: multiwoz, convlab"),
        ({"where": {"speaker": "user"}}, "where: turns are composed of all that was said"),
        ({"label_column": "emotion"}, "label_column: turns are composed"),
    ],
)
def test_what_does_not_fit_is_refused(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_entry(entry(file) | changes)


def test_nothing_else_is_trained_on_them(file: Path) -> None:
    with pytest.raises(ValueError, match=r"gives token ids.* \(without `compose`\)"):
        read_corpus(entry(file), file)


def of_lengths(measured: int, trained: int, **tokenizer: int) -> dict[str, Any]:
    turns = {"loader": "parquet", "release": "made_up", "dialogues": 20, "compose": "turns"}
    tracker = {
        "train": "dialogue_state_tracker",
        "base": "small",
        "kind": "encoder",
        "training": {"dataset": "turns:train", "validation": "turns:validation", "max_length": trained, "epochs": 1},
        "checkpoints": "epoch{0,1}",
    }
    package, folder = MINILM
    small = {"package": package, "folder": folder, "kind": "encoder"} | ({"tokenizer": tokenizer} if tokenizer else {})
    return {
        "sweep": "s",
        "models": {"tracker": None, "small": None},
        "datasets": ["turns:test"],
        "tokens": {"max_length": measured},
        "catalog": {"models": {"tracker": tracker, "small": small}, "datasets": {"turns": turns}},
    }


def test_turns_are_measured_at_the_length_that_trackers_are_trained_on() -> None:
    (said,) = complaints_of(of_lengths(128, 180))
    assert said.startswith(
        "tokens.max_length: 128 tokens of turns:test would be measured, but tracker is trained on turns cut to 180; set both"
    )
    (said,) = complaints_of(of_lengths(180, 180, max_length=100))
    assert said.startswith("catalog.models.small.tokenizer.max_length: 100 tokens of turns:test")
    assert sweep_of(of_lengths(180, 180)).models
    assert sweep_of(of_lengths(100, 180, max_length=180)).models
    plain = of_lengths(128, 180)
    plain["datasets"] = ["lee_news"]
    assert sweep_of(plain).models, "texts that are not composed may have any length"
