"""Sequences of token ids are measured as they are, from wherever they lie, and are never taken for texts."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from builders.model_folders import MINILM
from builders.sweeps import complaints_of
from idsweep.data.corpora import read_corpus
from idsweep.data.entries import corpus_files
from idsweep.data.tokens import sample_tokens
from idsweep.models.tokenizers import load_tokenizer

IDS = [[101, 7592, 2088, 102, 0], [101, 2748, 102, 0, 0], [101, 2053, 2748, 2053, 102]]
MASKS = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
KEPT = [[101, 7592, 2088, 102], [101, 2748, 102], [101, 2053, 2748, 2053, 102]]
NAMES = ["train-0-0", "train-0-1", "train-1-0"]


def tensors(folder: Path, **changes: Any) -> Path:
    content = {
        "input_ids": torch.tensor(IDS, dtype=torch.int32),
        "attention_mask": torch.tensor(MASKS, dtype=torch.int32),
        "dialogue_ids": NAMES,
    }
    torch.save(content | changes, folder / "ids.pt")
    return folder / "ids.pt"


def parquet(folder: Path) -> Path:
    pq.write_table(pa.table({"input_ids": IDS, "attention_mask": MASKS, "dialogue_ids": NAMES}), folder / "ids.parquet")
    return folder / "ids.parquet"


def saved(folder: Path) -> Path:
    datasets.Dataset.from_dict({"input_ids": IDS, "attention_mask": MASKS, "dialogue_ids": NAMES}).save_to_disk(
        folder / "saved"
    )
    return folder / "saved"


def of_splits(folder: Path) -> Path:
    part = datasets.Dataset.from_dict({"input_ids": IDS, "attention_mask": MASKS, "dialogue_ids": NAMES})
    datasets.DatasetDict({"train": part, "test": part.select([0])}).save_to_disk(folder / "splits")
    return folder / "splits"


@pytest.fixture
def tokenizer():
    package, folder = MINILM
    return load_tokenizer(Path(find_spec(package).submodule_search_locations[0]) / folder)


@pytest.mark.parametrize("place", [tensors, parquet, saved, of_splits])
def test_ids_are_sampled_as_they_stand(tmp_path: Path, tokenizer, place) -> None:
    path = place(tmp_path)
    entry = {"loader": "token_ids", "path": str(path)}
    sampled = sample_tokens(read_corpus(entry, ids=True), tokenizer, number=None, max_length=512, seed=0, select="all")
    assert sampled.sequences["input_ids"].to_pylist() == KEPT
    assert sampled.sequences["text"].to_pylist()[0] == tokenizer.decode(KEPT[0])
    assert sampled.points["token_id"].to_pylist() == [id for row in KEPT for id in row]
    assert sampled.points["token"].to_pylist()[:3] == ["[CLS]", "hello", "world"]
    text = sample_tokens(read_corpus(entry, ids=True), tokenizer, number=None, max_length=3, seed=0, select="text")
    assert text.points["token"].to_pylist() == ["hello", "world", "yes", "no", "yes"], (
        "special ones are known by their ids"
    )
    assert corpus_files(entry) and all(file.is_file() for file in corpus_files(entry))


def test_rows_and_splits_are_chosen_as_others(tmp_path: Path) -> None:
    entry = {
        "loader": "token_ids",
        "path": str(tensors(tmp_path)),
        "where": {"dialogue_ids": ["train-0-1", "train-1-0"]},
    }
    assert read_corpus(entry, ids=True).texts == ["101 2748 102", "101 2053 2748 2053 102"]
    entry = {"loader": "token_ids", "path": str(of_splits(tmp_path)), "split": "test"}
    assert read_corpus(entry, ids=True).texts == ["101 7592 2088 102"]
    with pytest.raises(ValueError, match="has no 'dev'; it has train, test"):
        read_corpus(entry | {"split": "dev"}, ids=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attention_mask": torch.full((3, 5), 2)},
            "row 1: its attention_mask must hold a 0 or 1 for each of its 5 ids",
        ),
        ({"attention_mask": torch.ones(3, 4)}, "row 1: its attention_mask must hold"),
        ({"attention_mask": torch.ones(2, 5)}, "attention_mask has 2 rows, and input_ids 3"),
        ({"input_ids": torch.full((3, 5), -1)}, "row 1: its input_ids are not all whole numbers from 0 on"),
        ({"input_ids": torch.full((3, 5), 0.5)}, "row 1: its input_ids are not all whole numbers"),
        ({"input_ids": 3}, "has no 'input_ids'; it has attention_mask, dialogue_ids"),
    ],
)
def test_what_is_no_sequence_is_told_with_its_row(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_corpus({"loader": "token_ids", "path": str(tensors(tmp_path, **changes))}, ids=True)


def test_ids_beyond_the_vocabulary_are_told(tmp_path: Path, tokenizer) -> None:
    path = tensors(tmp_path, input_ids=torch.tensor(IDS) + 30_000)
    corpus = read_corpus({"loader": "token_ids", "path": str(path)}, ids=True)
    with pytest.raises(ValueError, match="Sequence 0 has token id 37592, and the tokenizer 30522 tokens"):
        sample_tokens(corpus, tokenizer, number=None, max_length=512, seed=0, select="all")
    with pytest.raises(ValueError, match="select: first_pieces needs texts"):
        sample_tokens(corpus, tokenizer, number=None, max_length=512, seed=0, select="first_pieces")


class _Harmful:
    def __reduce__(self):
        return (print, ("ran",))


def test_a_pickle_that_holds_code_is_refused_by_name_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.pt").write_bytes(pickle.dumps({"input_ids": _Harmful()}))
    with pytest.raises(ValueError, match=r"ids\.pt is no file of tensors: .* may hold code, none of which was run"):
        read_corpus({"loader": "token_ids", "path": str(tmp_path / "ids.pt")}, ids=True)
    assert capsys.readouterr().out == ""


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, message in (("ids.txt", r"no \.pt or \.parquet file"), ("ids.parquet", "cannot be read as parquet")):
        (tmp_path / name).write_text("1 2 3")
        with pytest.raises(ValueError, match=message):
            read_corpus({"loader": "token_ids", "path": str(tmp_path / name)}, ids=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is no folder that `save_to_disk`"):
        read_corpus({"loader": "token_ids", "path": str(tmp_path / "empty")}, ids=True)


def test_nothing_is_trained_on_ids(tmp_path: Path) -> None:
    path = tensors(tmp_path)
    with pytest.raises(ValueError, match="gives token ids, which can be measured"):
        read_corpus({"loader": "token_ids", "path": str(path)})
    config = {
        "sweep": "s",
        "models": {"tuned": None},
        "datasets": ["ids"],
        "catalog": {
            "datasets": {"ids": {"loader": "token_ids", "path": str(path)}},
            "models": {
                "tuned": {
                    "train": "fine_tuned_language_model",
                    "base": "minilm",
                    "kind": "masked",
                    "training": {"dataset": "ids", "validation": "lee_news", "max_length": 64, "steps": 2},
                    "checkpoints": "step{2}",
                }
            },
        },
    }
    said = complaints_of(config)
    assert any(line.startswith("catalog.models.tuned.training.dataset: ids holds token ids") for line in said), said
