"""Made-up dialogues hold all that a tracker tells apart, and their labels give their states back."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from builders.sweeps import graph_of, sweep_of
from idsweep.data.dialogues import utterances
from idsweep.data.generated_dialogues import write_release
from idsweep.tracking.decoding import accuracy, carried
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.examples import collate, descriptions, example, history_kept, read_off
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import Labels, label
from idsweep.tracking.model import ABSENT, Predicted
from idsweep.tracking.slots import CLASSES, SLOTS
from idsweep.tracking.turns import Turn

from unit.tracking.test_inputs import roberta

DIALOGUES = 250


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    """Those of the training split, by the way of a prepared release."""
    folder = tmp_path_factory.mktemp("release")
    write_release(folder, DIALOGUES, 1)
    pq.write_table(utterances(folder, "multiwoz"), folder / "utterances.parquet")
    dialogues = read_dialogues({"release": "multiwoz", "split": "train"}, folder / "utterances.parquet")
    assert len(dialogues) == 0.8 * DIALOGUES
    return list(chain.from_iterable(dialogues))


@pytest.fixture(scope="module")
def labels(turns: list[Turn]) -> list[Labels]:
    return [label(turn) for turn in turns]


def test_all_domains_and_classes_come(turns: list[Turn], labels: list[Labels]) -> None:
    counts = Counter(name for of_turn in labels for name in of_turn.classes.values())
    assert set(counts) == set(CLASSES) and min(counts.values()) >= 10
    assert {slot.partition("-")[0] for turn in turns for slot in turn.state} == {
        *("hotel", "restaurant", "attraction", "train", "taxi"),
    }
    assert any(of_turn.unpointable for of_turn in labels)
    corrected = [t for t in turns if t.before.get("hotel-book day") not in (None, t.state.get("hotel-book day"))]
    assert corrected
    lengths = Counter(turn.dialogue for turn in turns)
    assert min(lengths.values()) == 1 and max(lengths.values()) >= 9


def test_the_labels_give_the_states_back_but_for_what_cannot_be_pointed_at(
    turns: list[Turn], labels: list[Labels]
) -> None:
    """Through the model's own way of saying it: logits of the classes, weights on pieces, logits of slots."""
    composer = Composer(roberta(), 3000)
    examples = [example(turn, of_turn, composer) for turn, of_turn in zip(turns, labels, strict=True)]
    said = []
    for begin in range(0, len(turns), 32):
        some = examples[begin : begin + 32]
        given, targets = collate(some, 1)
        place = torch.arange(given["input_ids"].shape[1])
        inside = (place >= targets.first[..., None]) & (place <= targets.last[..., None])
        inside = inside & (targets.first != ABSENT)[..., None]
        sure = Predicted(
            torch.nn.functional.one_hot(targets.classes, len(CLASSES)).float(),
            inside / inside.sum(-1, keepdim=True).clamp(min=1),
            torch.nn.functional.one_hot(targets.referred.clamp(min=0), len(SLOTS)).float(),
        )
        of_weights = read_off(sure, some, turns[begin : begin + 32])
        ends = torch.stack([place == targets.first[..., None], place == targets.last[..., None]], dim=2).float()
        assert read_off(sure._replace(places=ends), some, turns[begin : begin + 32]) == of_weights
        said += of_weights
    states = carried([turn.number == 0 for turn in turns], said)
    pointable: list[bool] = []
    missed: dict[str, str | None] = {}
    for turn, of_turn in zip(turns, labels, strict=True):
        missed = {} if turn.number == 0 else missed
        missed = {slot: value for slot, value in missed.items() if turn.state.get(slot) == value}
        missed |= {slot: turn.state.get(slot) for slot in of_turn.unpointable}
        pointable.append(not missed)
    assert 0.9 < np.mean(pointable) < 1
    gold = [turn.state for turn, good in zip(turns, pointable, strict=True) if good]
    assert accuracy(gold, [state for state, good in zip(states, pointable, strict=True) if good]).joint == 1
    assert accuracy([turn.state for turn in turns], states).joint == pytest.approx(np.mean(pointable), abs=0.01)


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        write_release(tmp_path / name, 20, seed)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "two", "three")]
    contents = [[file.read_bytes() for file in of_folder] for of_folder in files]
    assert contents[0] == contents[1] and contents[0][0] != contents[2][0]
    assert [file.name for file in files[0]] == ["data.json", "testListFile.txt", "valListFile.txt"]
    assert contents[0][2] == b"GEN00000.json\nGEN00001.json\n"
    with pytest.raises(ValueError, match="dialogues: 9 do not make"):
        write_release(tmp_path, 9, 0)


def test_a_place_that_was_cut_off_is_none() -> None:
    words = ["x"] * 8 + ["north"]
    turn = Turn("d", 0, [words, []], {}, {"hotel-area": "north"}, {}, frozenset())
    whole = example(turn, label(turn), Composer(roberta(), 60))
    cut = example(turn, label(turn), Composer(roberta(), 12))
    place = list(SLOTS).index("hotel-area")
    assert (whole.first[place], whole.last[place]) == (9, 13)
    assert cut.first[place] == cut.last[place] == ABSENT
    assert whole.classes[place] == cut.classes[place] == CLASSES.index("copy_value")


def test_histories_are_cut_with_the_probability_that_is_asked() -> None:
    generator = np.random.default_rng(0)
    kept = [history_kept(4, 0.1, generator) for _ in range(4000)]
    assert 0.08 < np.mean([number is not None for number in kept]) < 0.12
    assert {number for number in kept if number is not None} == {0, 1, 2, 3}
    assert history_kept(0, 1.0, generator) is None


def test_slots_are_described_to_the_tracker() -> None:
    given = descriptions(roberta(), 1)
    assert given["slot_ids"].shape == given["slot_mask"].shape and len(given["slot_ids"]) == len(SLOTS)
    assert (given["slot_ids"][:, 0] == 0).all() and ((given["slot_ids"] == 1) == (given["slot_mask"] == 0)).all()


def test_the_maker_counts_for_its_own_release_alone(tmp_path: Path) -> None:
    graph = graph_of(
        sweep_of(
            {
                "sweep": "s",
                "models": {"minilm": None},
                "datasets": ["made", "fetched"],
                "catalog": {
                    "datasets": {
                        "made": {"loader": "parquet", "release": "made_up", "dialogues": 20},
                        "fetched": {"loader": "parquet", "release": "multiwoz", "url": "https://somewhere.org/a.zip"},
                    }
                },
            }
        ),
        tmp_path,
    )
    loaded = {name: graph._job("prepare_dataset", (("release", name),)).loaded() for name in ("made", "fetched")}
    assert loaded == {"made": ("idsweep.data.generated_dialogues",), "fetched": ()}
