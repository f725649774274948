"""The slots of MultiWOZ that are tracked, and what a tracker says of each in a turn.

Budzianowski et al. 2018 (MultiWOZ); the 30 slots and the classes are those of TripPy-R (Heck et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CLASSES = ("none", "dontcare", "copy_value", "true", "false", "refer", "inform", "request")
NONE, DONTCARE, COPY, TRUE, FALSE, REFER, INFORM, REQUEST = CLASSES


class Slot(NamedTuple):
    """A slot.

    description: in words, which the tracker reads.
    values: those that the classes true and false stand for, None if it has others.
    refers: whether its value may be said to be that of another slot.
    """

    description: str
    values: tuple[str, str] | None = None
    refers: bool = True


# In alphabetical order, which is that of a tracker's outputs.
SLOTS: Mapping[str, Slot] = MappingProxyType(
    {
        "attraction-area": Slot("part of the city where the attraction lies"),
        "attraction-name": Slot("name of the attraction"),
        "attraction-type": Slot("kind of attraction, such as a museum or a park"),
        "hotel-area": Slot("part of the city where the hotel lies"),
        "hotel-book day": Slot("day of the week on which the stay in the hotel begins"),
        "hotel-book people": Slot("number of people who stay in the hotel"),
        "hotel-book stay": Slot("number of nights in the hotel"),
        "hotel-internet": Slot("whether the hotel has free internet", ("yes", "no"), refers=False),
        "hotel-name": Slot("name of the hotel"),
        "hotel-parking": Slot("whether the hotel has free parking", ("yes", "no"), refers=False),
        "hotel-price range": Slot("how expensive the hotel is"),
        "hotel-stars": Slot("number of stars of the hotel", refers=False),
        "hotel-type": Slot("whether it is a hotel or a guest house", ("hotel", "guest house")),
        "restaurant-area": Slot("part of the city where the restaurant lies"),
        "restaurant-book day": Slot("day of the week of the table in the restaurant"),
        "restaurant-book people": Slot("number of people who eat in the restaurant"),
        "restaurant-book time": Slot("time of the table in the restaurant"),
        "restaurant-food": Slot("kind of food that the restaurant serves"),
        "restaurant-name": Slot("name of the restaurant"),
        "restaurant-price range": Slot("how expensive the restaurant is"),
        "taxi-arrive by": Slot("time by which the taxi arrives"),
        "taxi-departure": Slot("place where the taxi departs"),
        "taxi-destination": Slot("place where the taxi goes"),
        "taxi-leave at": Slot("time at which the taxi leaves"),
        "train-arrive by": Slot("time by which the train arrives"),
        "train-book people": Slot("number of people who travel by train"),
        "train-day": Slot("day of the week on which the train travels"),
        "train-departure": Slot("place where the train departs"),
        "train-destination": Slot("place where the train goes"),
        "train-leave at": Slot("time at which the train leaves"),
    }
)
UNTRACKED = frozenset({"hospital", "police", "bus", "booking", "general", "profile"})
UNTRACKED_SLOTS = frozenset(
    {"ticket", "phone", "postcode", "address", "reference", "ref", "car", "type of car", "entrance fee"}
)

# How the releases call a slot within its domain, in lower case without spaces.
_SPELLINGS = {
    "price": "price range",
    "pricerange": "price range",
    "arriveby": "arrive by",
    "arrive": "arrive by",
    "leaveat": "leave at",
    "leave": "leave at",
    "dest": "destination",
    "depart": "departure",
    "people": "book people",
    "bookpeople": "book people",
    "stay": "book stay",
    "bookstay": "book stay",
    "time": "book time",
    "booktime": "book time",
    "bookday": "book day",
}


def slot_name(domain: str, slot: str) -> str | None:
    """The name in `SLOTS` of a slot of a release, None if it is not tracked.

    Example: `slot_name("Hotel", "Price")` and `slot_name("hotel", "pricerange")` are "hotel-price range".
    """
    domain, plain = domain.lower(), slot.lower().replace(" ", "")
    within = _SPELLINGS.get(plain, plain)
    if within == "day" and domain != "train":
        within = "book day"
    name = f"{domain}-{within}"
    return name if name in SLOTS else None


def may_refer(slot: str, other: str) -> bool:
    """Whether the value of `slot` may be said to be that of `other`. A number of nights is none of people."""
    counts = {slot.partition("-")[2], other.partition("-")[2]}
    return slot != other and SLOTS[slot].refers and SLOTS[other].refers and counts != {"book people", "book stay"}
