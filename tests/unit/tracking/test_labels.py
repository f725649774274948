"""What is said of each slot, and the state that follows from it, in hand-made turns."""

from __future__ import annotations

import json

import pytest
from idsweep.tracking.decoding import Said, accuracy, carried, is_right, update
from idsweep.tracking.labels import label
from idsweep.tracking.slots import CLASSES, SLOTS, may_refer, slot_name
from idsweep.tracking.turns import Turn, turns_of
from idsweep.tracking.variants import last_place, variants


def row(place: int, text: str, state: dict | None = None, acts: list | None = None) -> dict:
    """An utterance; state and acts by the names of `SLOTS`, as "hotel-area"."""
    if state is not None:
        by_domain: dict = {}
        for slot, value in state.items():
            domain, _, within = slot.partition("-")
            by_domain.setdefault(domain, {})[within] = value
        state = by_domain
    acts = [[slot.partition("-")[0], intent, slot.partition("-")[2], value] for intent, slot, value in acts or []]
    return {
        "dialogue": "d1",
        "turn": place,
        "speaker": ("user", "system")[place % 2],
        "text": text,
        "state": json.dumps(state) if place % 2 == 0 and state is not None else None,
        "acts": json.dumps(acts),
    }


def dialogue(*said: tuple) -> list[Turn]:
    return list(turns_of([row(place, *each) for place, each in enumerate(said)]))


def changed(turn: Turn) -> dict[str, str]:
    return {slot: name for slot, name in label(turn).classes.items() if name != "none"}


def decoded(turns: list[Turn]) -> list[dict[str, str]]:
    """The states that the labels themselves give."""
    said = []
    for turn in turns:
        labels = label(turn)
        spans = {slot: " ".join(turn.parts[0][first:end]) for slot, (first, end) in labels.places.items()}
        said.append(Said(labels.classes, spans, labels.referred, turn.informed))
    return carried([turn.number == 0 for turn in turns], said)


def test_there_are_thirty_slots_and_eight_classes() -> None:
    assert len(SLOTS) == 30 and len(CLASSES) == 8
    assert list(SLOTS) == sorted(SLOTS)
    assert [slot.partition("-")[0] for slot in SLOTS].count("hotel") == 10
    assert {slot for slot, about in SLOTS.items() if about.values} == {"hotel-internet", "hotel-parking", "hotel-type"}


@pytest.mark.parametrize(
    ("domain", "slot", "name"),
    [
        ("hotel", "pricerange", "hotel-price range"),
        ("Hotel", "Price", "hotel-price range"),
        ("hotel", "day", "hotel-book day"),
        ("train", "day", "train-day"),
        ("train", "people", "train-book people"),
        ("restaurant", "book time", "restaurant-book time"),
        ("taxi", "leaveAt", "taxi-leave at"),
        ("train", "arriveBy", "train-arrive by"),
        ("hospital", "department", None),
        ("hotel", "phone", None),
    ],
)
def test_slots_are_known_by_all_their_spellings(domain: str, slot: str, name: str | None) -> None:
    assert slot_name(domain, slot) == name


def test_what_the_user_says_is_copied_where_it_stands_last() -> None:
    (turn,) = dialogue(
        ("Not north, I mean a cheap place in the north, cheaply", {"hotel-area": "north", "hotel-price range": "cheap"})
    )
    labels = label(turn)
    assert changed(turn) == {"hotel-area": "copy_value", "hotel-price range": "copy_value"}
    said = turn.parts[0]
    assert labels.places["hotel-area"] == (len(said) - 4 + 1, len(said) - 2)
    assert said[slice(*labels.places["hotel-area"])] == ["north"]
    assert said[slice(*labels.places["hotel-price range"])] == ["cheaply"], "a variant counts"
    assert not labels.unpointable


def test_special_values() -> None:
    (turn,) = dialogue(
        (
            "Any area, free parking, no wifi, a guesthouse. What is the price?",
            {"hotel-area": "dontcare", "hotel-parking": "yes", "hotel-internet": "no", "hotel-type": "guest house"},
            [["request", "hotel-price range", None], ["request", "hotel-area", None]],
        )
    )
    assert changed(turn) == {
        "hotel-area": "dontcare",
        "hotel-parking": "true",
        "hotel-internet": "false",
        "hotel-type": "false",
        "hotel-price range": "request",
    }, "what is asked for is a request only where nothing else is said"


def test_what_the_system_told_is_informed() -> None:
    _, turn = dialogue(
        ("A hotel", {}),
        ("The Acorn Guest House is nice.", None, [["recommend", "hotel-name", "the acorn guest house"]]),
        ("That one is fine", {"hotel-name": "acorn guest house"}),
    )
    assert changed(turn) == {"hotel-name": "inform"}
    assert turn.informed == {"hotel-name": "the acorn guest house"}
    _, turn = dialogue(
        ("A hotel", {}),
        ("No", None, [["nooffer", "hotel-name", "acorn guest house"]]),
        ("Oh", {"hotel-name": "acorn guest house"}),
    )
    assert label(turn).unpointable == {"hotel-name"}, "what the system denies is not told"


def test_another_slot_s_value_is_referred_to() -> None:
    turns = dialogue(
        ("The Acorn guest house for 3 people", {"hotel-name": "acorn guest house", "hotel-book people": "3"}),
        ("ok", None),
        (
            "A taxi from there, and a table for the same group",
            {
                "hotel-name": "acorn guest house",
                "hotel-book people": "3",
                "taxi-departure": "acorn guest house",
                "restaurant-book people": "3",
                "hotel-book stay": "3",
                "hotel-stars": "3",
            },
        ),
    )
    labels = label(turns[1])
    assert labels.referred == {"taxi-departure": "hotel-name", "restaurant-book people": "hotel-book people"}
    assert labels.unpointable == {"hotel-book stay", "hotel-stars"}, "nights are none of people, stars never refer"
    assert not may_refer("hotel-book stay", "restaurant-book people") and may_refer("taxi-destination", "hotel-name")


def test_two_new_slots_do_not_refer_to_each_other() -> None:
    (turn,) = dialogue(("Both there", {"taxi-departure": "cambridge", "train-departure": "cambridge"}))
    assert label(turn).unpointable == {"taxi-departure", "train-departure"}


def test_a_slot_may_refer_to_one_of_the_same_turn_that_is_said() -> None:
    turns = dialogue(
        ("From Ely to my train there", {"taxi-departure": "ely", "train-departure": "ely", "taxi-destination": "ely"})
    )
    assert set(label(turns[0]).classes.values()) >= {"copy_value"}
    assert decoded(turns) == [turns[0].state]


def test_corrections_and_removals() -> None:
    turns = dialogue(
        ("north please", {"hotel-area": "north"}),
        ("ok", None),
        ("no, south", {"hotel-area": "south"}),
        ("ok", None),
        ("forget it", {}),
    )
    assert [changed(turn) for turn in turns] == [{"hotel-area": "copy_value"}, {"hotel-area": "copy_value"}, {}]
    assert label(turns[2]).unpointable == {"hotel-area"}
    assert decoded(turns)[:2] == [dict(turn.state) for turn in turns[:2]]


def test_the_state_is_decoded_from_the_labels() -> None:
    turns = dialogue(
        (
            "A cheap hotel in the city centre from 5 pm",
            {"hotel-area": "centre", "hotel-price range": "cheap", "taxi-leave at": "17:00"},
        ),
        ("Lodge?", None, [["inform", "hotel-name", "the lodge"]]),
        (
            "Yes, with parking",
            {
                "hotel-area": "centre",
                "hotel-price range": "cheap",
                "taxi-leave at": "17:00",
                "hotel-name": "lodge",
                "hotel-parking": "yes",
            },
        ),
    )
    states = decoded(turns)
    assert accuracy([turn.state for turn in turns], states).joint == 1
    assert accuracy([turn.state for turn in turns], [states[0], states[0]]).joint == 0.5
    assert accuracy([turn.state for turn in turns], [states[0], states[0]]).by_slot["hotel-name"] == 0.5
    assert accuracy([turn.state for turn in turns], [states[0], states[0]]).by_slot["hotel-area"] == 1


def test_a_dialogue_ends_where_a_speaker_goes_on() -> None:
    rows = [row(0, "hello", {}), {**row(1, "hm"), "speaker": "user", "state": "{}"}]
    assert len(list(turns_of(rows))) == 1


def test_parts_are_the_newest_first() -> None:
    turns = dialogue(("a", {}), ("b", None), ("c", {}), ("d", None), ("e", {}))
    assert [turn.parts for turn in turns] == [[["a"], []], [["c"], ["b"], ["a"]], [["e"], ["d"], ["c"], ["b"], ["a"]]]
    assert [turn.number for turn in turns] == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0, "a", None)], "dialogue d1, turn 0: the user's turn has no state"),
        ([row(0, "a", {"hotel-pool": "yes"})], "dialogue d1, turn 0: slot 'pool' of domain 'hotel' is not known"),
        ([row(0, "a", {"spa-area": "x"})], "dialogue d1, turn 0: slot 'area' of domain 'spa' is not known"),
        ([{**row(0, "a", {}), "acts": '[["hotel", "inform"]]'}], "dialogue d1, turn 0: its acts are no list of"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(rows: list[dict], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(turns_of(rows))


@pytest.mark.parametrize(
    ("slot", "gold", "predicted", "right"),
    [
        ("hotel-area", None, None, True),
        ("hotel-area", "north", None, False),
        ("hotel-area", None, "north", False),
        ("hotel-area", "centre", "center", True),
        ("hotel-area", "centre", "city centre", True),
        ("hotel-area", "center", "city centre", False),  # variants are those of the gold value alone
        ("restaurant-name", "the nandos", "nandos", True),
        ("restaurant-name", "nandos", "the nandos", True),
        ("taxi-leave at", "17:00", "5 pm", True),
        ("taxi-leave at", "17:00", "17 : 00", True),
        ("taxi-leave at", "05:00", "5 pm", False),
        ("hotel-book people", "2", "two", True),
        ("hotel-book people", "2", "3", False),
        ("hotel-area", "dontcare", "dontcare", True),
        ("hotel-area", "dontcare", "the dontcare", False),
        ("hotel-type", "guest house", "hotel", False),
    ],
)
def test_values_are_compared_as_the_metric_does(
    slot: str, gold: str | None, predicted: str | None, right: bool
) -> None:
    assert is_right(slot, gold, predicted) is right


def test_classes_that_do_not_fit_a_slot_keep_its_value() -> None:
    before = {"hotel-parking": "yes", "hotel-area": "north"}
    said = Said(
        {
            "hotel-parking": "dontcare",
            "hotel-area": "true",
            "hotel-name": "copy_value",
            "hotel-type": "inform",
            "taxi-departure": "refer",
        },
        {},
        {"taxi-departure": "hotel-name"},
        {},
    )
    assert update(before, said) == before


def test_variants() -> None:
    assert variants("hotel-area", "centre")[0] == "centre"
    assert "center" in variants("hotel-area", "centre") and "city center" in variants("hotel-area", "centre")
    assert "acorn" in variants("hotel-name", "the acorn guest house")
    assert "three" in variants("hotel-book stay", "3")
    assert last_place("hotel-area", "centre", ["the", "city", "centre", "or", "city", "centre"]) == (4, 6)
    assert last_place("hotel-area", "centre", ["central"]) is None


def test_states_that_cannot_be_compared_are_refused() -> None:
    for gold, predicted in (([], []), ([{}], [])):
        with pytest.raises(ValueError, match="cannot be compared"):
            accuracy(gold, predicted)
