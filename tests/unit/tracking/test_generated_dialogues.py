"""Made-up dialogues hold all that a tracker tells apart, and their labels give their states back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from builders.sweeps import graph_of, sweep_of
from builders.tokenizers import roberta
from idsweep.data.dialogues import utterances
from idsweep.data.generated_dialogues import write_release, write_unified
from idsweep.tracking.decoding import accuracy, carried
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.examples import collate, descriptions, example, history_kept, read_off
from idsweep.tracking.inputs import Composer
from idsweep.tracking.labels import Labels, label
from idsweep.tracking.model import ABSENT, Predicted
from idsweep.tracking.slots import CLASSES, SLOTS
from idsweep.tracking.turns import Turn

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
    assert [file.name for file in files[0]] == ["data.json", "ontology.json", "testListFile.txt", "valListFile.txt"]
    assert contents[0][3] == b"GEN00000.json\nGEN00001.json\n"
    for name, seed in (("one.zip", 5), ("two.zip", 5), ("three.zip", 6)):
        write_unified(tmp_path / name, 20, seed)
    zips = [(tmp_path / name).read_bytes() for name in ("one.zip", "two.zip", "three.zip")]
    assert zips[0] == zips[1] != zips[2]
    with pytest.raises(ValueError, match="dialogues: 9 do not make"):
        write_release(tmp_path, 9, 0)


@pytest.mark.parametrize("packed", [False, True], ids=["a folder", "an archive"])
def test_the_original_form_and_the_unified_one_give_the_same_trainings(tmp_path: Path, packed: bool) -> None:
    """Turns with states, acts and histories, labels, and composed inputs, split by split."""
    write_release(tmp_path / "MULTIWOZ2.1", 30, 2)
    write_unified(tmp_path / "data.zip", 30, 2)
    original, unified = tmp_path, tmp_path / "data.zip"
    if packed:
        original = Path(shutil.make_archive(str(tmp_path / "MULTIWOZ2.1"), "zip", tmp_path, "MULTIWOZ2.1"))
    else:
        unified = tmp_path / "unpacked"
        shutil.unpack_archive(tmp_path / "data.zip", unified)
    entries = {"multiwoz": original, "convlab": unified}
    tables = {release: utterances(place, release) for release, place in entries.items()}
    assert tables["convlab"]["original_id"].to_pylist() == tables["multiwoz"]["dialogue"].to_pylist()
    for release, table in tables.items():
        pq.write_table(table, tmp_path / f"{release}.parquet")
    composer = Composer(roberta(), 120)
    for split, number in (("train", 24), ("validation", 3), ("test", 3)):
        both = [
            read_dialogues({"release": release, "split": split}, tmp_path / f"{release}.parquet") for release in entries
        ]
        assert len(both[0]) == len(both[1]) == number
        for one, other in zip(chain.from_iterable(both[0]), chain.from_iterable(both[1]), strict=True):
            assert one._replace(dialogue="") == other._replace(dialogue="")
            assert label(one) == label(other)
            ids = [composer.compose(turn.parts).token_ids.tolist() for turn in (one, other)]
            assert ids[0] == ids[1]
        assert any(turn.informed for turn in chain.from_iterable(both[0]))
        assert any(turn.requested for turn in chain.from_iterable(both[0])) or split != "train"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "MULTI.parquet: dialogue d-0, turn 0: the user's turn has no state"),
        ({"hotel": {"pool": "yes"}}, "MULTI.parquet: dialogue d-0, turn 0: slot 'pool' of domain 'hotel' is not known"),
        ({"spa": {"area": "north"}}, "MULTI.parquet: dialogue d-0, turn 0: slot 'area' of domain 'spa' is not known"),
    ],
)
def test_what_is_wrong_is_told_with_file_dialogue_and_turn(tmp_path: Path, state: dict | None, message: str) -> None:
    told = {"data_split": "train", "dialogue_id": "d-0", "turns": [{"speaker": "user", "utterance": "hi"}]}
    told["turns"][0] |= {} if state is None else {"state": state}
    (tmp_path / "dialogues.json").write_text(json.dumps([told]))
    pq.write_table(utterances(tmp_path, "convlab"), tmp_path / "MULTI.parquet")
    with pytest.raises(ValueError, match=message):
        read_dialogues({"release": "convlab", "split": "train"}, tmp_path / "MULTI.parquet")


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
