"""Task-oriented dialogues that are made up, in MultiWOZ 2.1's form or ConvLab's, for sweeps that need no download.

Travellers look for hotels, restaurants, sights, trains and taxis in a town that does not exist. What they say holds all that a tracker has
to tell apart: values that are said, in other words or corrected later, what does not matter, what is wanted or not, what the system
offered, what another domain has already, what is asked for, and now and then a value that nobody said.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

AREAS = ("north", "south", "east", "west", "centre")
PRICES = ("cheap", "moderate", "expensive")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FOODS = ("italian", "indian", "korean", "turkish", "vegetarian", "seafood", "thai", "portuguese")
SIGHTS = ("museum", "park", "theatre", "gallery", "tower", "garden")
TOWNS = ("larkford", "westmere", "oldbridge", "stonehaven", "maplewick", "kings harbour")
FIRST = ("red", "silver", "old", "quiet", "royal", "green", "crooked", "golden", "little", "northern")
SECOND = ("lantern", "anchor", "willow", "falcon", "mill", "harp", "compass", "orchard", "bell", "otter")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
DOMAINS = ("hotel", "restaurant", "attraction", "train", "taxi")
BOOKED = {"hotel": ("day", "people", "stay"), "restaurant": ("day", "people", "time"), "train": ("people",)}
SEMI = {
    "hotel": ("name", "area", "parking", "pricerange", "stars", "internet", "type"),
    "restaurant": ("food", "pricerange", "name", "area"),
    "attraction": ("type", "name", "area"),
    "train": ("leaveAt", "destination", "day", "arriveBy", "departure"),
    "taxi": ("leaveAt", "destination", "departure", "arriveBy"),
}
UNIFIED = {"pricerange": "price range", "price": "price range", "leaveat": "leave at", "arriveby": "arrive by"}
CHATTER = (
    "I have been looking forward to this trip for months and I want it to go well.",
    "My family is coming along and everyone has other wishes, as it always is.",
    "Thank you for all the help so far, you have been very patient with me.",
    "We have heard so many good things about this town from our friends at home.",
)


def write_release(folder: str | Path, dialogues: int, seed: int) -> None:
    """Write a release of MultiWOZ 2.1's form: data.json, valListFile.txt, testListFile.txt and ontology.json.

    Of the dialogues a tenth each, one at least, are for validation and for testing. The same numbers give the same bytes.
    Raises ValueError for fewer than 10 dialogues.
    """
    logs = _logs(dialogues, seed)
    splits = _splits(list(logs))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: {"goal": {}, "log": log} for name, log in logs.items()}
    (folder / "data.json").write_text(json.dumps(given), encoding="utf-8")
    values = {f"{domain}-{slot}": found for (domain, slot), found in _values(logs).items()}
    (folder / "ontology.json").write_text(json.dumps(values), encoding="utf-8")
    for file, split in (("valListFile.txt", "validation"), ("testListFile.txt", "test")):
        listed = "".join(f"{name}\n" for name in logs if splits[name] == split)
        (folder / file).write_text(listed, encoding="utf-8")


def write_unified(file: str | Path, dialogues: int, seed: int) -> None:
    """Write the same dialogues as a data.zip of ConvLab's unified format: data/dialogues.json and data/ontology.json.

    The same numbers give the same bytes. Raises ValueError as `write_release` does.
    """
    logs = _logs(dialogues, seed)
    splits, counts = _splits(list(logs)), dict.fromkeys(("train", "validation", "test"), 0)
    unified = []
    for name, log in logs.items():
        split = splits[name]
        unified.append(_unified(log, split, f"made_up-{split}-{counts[split]}", name))
        counts[split] += 1
    slots: dict[str, dict[str, Any]] = {}
    for (domain, slot), values in _values(logs).items():
        slots.setdefault(domain, {})[slot] = {"is_categorical": False, "possible_values": values}
    ontology = {"domains": {domain: {"slots": of_domain} for domain, of_domain in slots.items()}}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for member, content in (("data/dialogues.json", unified), ("data/ontology.json", ontology)):
            packed.writestr(zipfile.ZipInfo(member), json.dumps(content), zipfile.ZIP_DEFLATED)


def _logs(dialogues: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Name -> turns of each dialogue, as data.json has them."""
    if dialogues < 10:
        raise ValueError(
            f"dialogues: {dialogues} do not make a training, a validation and a test part; ask for 10 at least."
        )
    return {
        f"GEN{place:05}.json": _Dialogue(np.random.Generator(np.random.PCG64([seed, place]))).log
        for place in range(dialogues)
    }


def _splits(names: Sequence[str]) -> dict[str, str]:
    tenth = len(names) // 10
    first = {name: "validation" for name in names[:tenth]} | {name: "test" for name in names[tenth : 2 * tenth]}
    return dict.fromkeys(names, "train") | first


def _values(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], list[str]]:
    """(domain, slot) -> the values that it takes."""
    found: dict[tuple[str, str], set[str]] = {}
    for turn in (turn for log in logs.values() for turn in log):
        for domain, values in _state(turn["metadata"]).items():
            for slot, value in values.items():
                found.setdefault((domain, slot), set()).update({value} - {""})
    return {key: sorted(values) for key, values in sorted(found.items())}


def _state(metadata: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """A system turn's metadata as domain -> slot -> value, by the names of the unified format; empty values are kept."""
    return {
        domain: {_unified_slot(slot): value for slot, value in parts["semi"].items()}
        | {f"book {slot}": value for slot, value in parts["book"].items() if slot != "booked"}
        for domain, parts in metadata.items()
    }


def _unified_slot(slot: str) -> str:
    return UNIFIED.get(slot.lower(), slot.lower())


def _unified(log: Sequence[Mapping[str, Any]], split: str, name: str, original: str) -> dict[str, Any]:
    turns = []
    for place, turn in enumerate(log):
        acts = [
            {
                "intent": (of_acts := key.partition("-"))[2].lower(),
                "domain": of_acts[0].lower(),
                "slot": _unified_slot(slot),
                "value": "" if value == "?" else value,
            }
            for key, pairs in turn["dialog_act"].items()
            for slot, value in pairs
        ]
        speaker = ("user", "system")[place % 2]
        more = {"state": _state(log[place + 1]["metadata"])} if speaker == "user" else {"booked": {}}
        given = {"categorical": [], "non-categorical": acts, "binary": []}
        turns.append({"speaker": speaker, "utterance": turn["text"], "utt_idx": place, "dialogue_acts": given} | more)
    kept = {"dataset": "made_up", "data_split": split, "dialogue_id": name, "original_id": original}
    return kept | {"domains": [], "goal": {}, "turns": turns}


class _Dialogue:
    """One dialogue. `log` holds its turns; `state` is domain -> slot -> value, as the releases spell them."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self.log: list[dict[str, Any]] = []
        self.state: dict[str, dict[str, str]] = {}
        self._chatty = self._chance(0.1)
        number = 1 + int(random.choice(3, p=[0.3, 0.4, 0.3]))
        domains = [str(domain) for domain in random.permutation(DOMAINS[:4])[:number]]
        if {"hotel", "restaurant", "attraction"} & {*domains} and self._chance(0.5):
            domains.append("taxi")
        for domain in domains:
            of_domain: Mapping[str, Callable[[], None]] = {
                "hotel": self._hotel,
                "restaurant": self._restaurant,
                "attraction": self._attraction,
                "train": self._train,
                "taxi": self._taxi,
            }
            of_domain[domain]()
            if self._chance(0.04):
                break  # some end early, a few after one turn
        if self._chance(0.7):
            self._turn("Thank you, that is all.", "You are welcome. Have a nice stay.")

    def _chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def _one_of(self, values: Sequence[Any]) -> Any:
        return values[int(self._random.integers(len(values)))]

    def _turn(
        self,
        said: str,
        answer: str,
        requests: Sequence[tuple[str, str]] = (),
        answers: Sequence[tuple[str, str, str, str]] = (),
    ) -> None:
        """requests: (domain, slot) that the user asks for. answers: (domain, intent, slot, value) of the system's answer."""
        if self._chatty:
            said = f"{self._one_of(CHATTER)} {said}"
        acts: dict[str, list[list[str]]] = {}
        for domain, slot in requests:
            acts.setdefault(f"{domain.capitalize()}-Request", []).append([slot, "?"])
        self.log.append({"text": said, "metadata": {}, "dialog_act": acts})
        acts = {}
        for domain, intent, slot, value in answers:
            acts.setdefault(f"{domain.capitalize()}-{intent}", []).append([slot, value])
        self.log.append({"text": answer, "metadata": self._metadata(), "dialog_act": acts})

    def _metadata(self) -> dict[str, Any]:
        metadata = {}
        for domain, semi in SEMI.items():
            has, booked = self.state.get(domain, {}), BOOKED.get(domain, ())
            metadata[domain] = {
                "semi": {slot: has.get(slot, "") for slot in semi},
                "book": {"booked": []} | {slot: has.get(f"book {slot}", "") for slot in booked},
            }
        return metadata

    def _set(self, domain: str, **values: str) -> None:
        of_domain = self.state.setdefault(domain, {})
        of_domain.update({slot.replace("book_", "book "): value for slot, value in values.items()})

    def _name(self, suffix: str = "") -> str:
        return f"{self._one_of(FIRST)} {self._one_of(SECOND)}{suffix}"

    def _area(self, domain: str) -> str:
        """What is said of the area, which may be that of another domain, not matter, or be left unsaid."""
        others = [other for other, has in self.state.items() if other != domain and has.get("area", "") in AREAS]
        kind = self._random.random()
        if others and kind < 0.25:
            other = self._one_of(others)
            self._set(domain, area=self.state[other]["area"])
            return f"in the same area as the {other}"
        if kind < 0.4:
            self._set(domain, area="dontcare")
            return self._one_of(("in any part of town", "anywhere in town"))
        area = self._one_of(AREAS)
        self._set(domain, area=area)
        if kind > 0.98:
            return "where we always stay"  # a value that nobody said
        if area == "centre":
            return self._one_of(("in the centre", "in the city center", "in the center of town"))
        return f"in the {area}"

    def _price(self, domain: str) -> str:
        if self._chance(0.12):
            self._set(domain, pricerange="dontcare")
            return "at any price"
        price = self._one_of(PRICES)
        self._set(domain, pricerange=price)
        word = {
            "cheap": ("cheap", "inexpensive"),
            "moderate": ("moderate", "moderately priced"),
            "expensive": ("expensive", "upscale"),
        }
        return f"that is {self._one_of(word[price])}"

    def _people(self, domain: str) -> str:
        others = [other for other, has in self.state.items() if other != domain and "book people" in has]
        if others and self._chance(0.5):
            self._set(domain, book_people=self.state[self._one_of(others[:1])]["book people"])
            return self._one_of(("for the same group", "for the same number of people"))
        number = int(self._random.integers(1, 7))
        self._set(domain, book_people=str(number))
        if number == 1:
            return self._one_of(("just for me: 1 person", "for one person"))
        return f"for {self._one_of((str(number), NUMBERS[number]))} people"

    def _day(self, domain: str, slot: str = "book day") -> str:
        others = [
            has[key]
            for other, has in self.state.items()
            if other != domain
            for key in ("book day", "day")
            if key in has
        ]
        day = self._one_of(others) if others and self._chance(0.4) else None
        if day is not None:
            self._set(domain, **{slot.replace(" ", "_"): day})
            return "on the same day"
        self._set(domain, **{slot.replace(" ", "_"): (day := self._one_of(DAYS))})
        return f"on {day}"

    def _time(self) -> tuple[str, str]:
        """A time and how it is said."""
        hour, minute = int(self._random.integers(6, 23)), self._one_of(("00", "15", "30", "45"))
        half = f"{(hour - 1) % 12 + 1}{'' if minute == '00' else ':' + minute} {'pm' if hour >= 12 else 'am'}"
        return f"{hour:02}:{minute}", self._one_of((f"{hour:02}:{minute}", half))

    def _take_offer(self, domain: str, name: str, offer: str, requests: tuple[str, str], answer: str) -> None:
        """The system offers a name; the user takes it, names it, or asks for something first."""
        if self._chance(0.4):
            answers = [(domain, "Inform", "Name", name)]
            self._turn(f"What is the {requests[1]}?", f"{answer} The {name} is free.", [(domain, requests[0])], answers)
        if self._chance(0.6):
            self._set(domain, name=name)
            self._turn(self._one_of(("That one sounds good.", "Great, I take it.", "Yes please, that is fine.")), offer)
        else:
            self._set(domain, name=name)
            self._turn(f"Tell me about {name} then.", offer)

    def _hotel(self) -> None:
        kind = self._one_of(("hotel", "guest house"))
        said = [self._area("hotel"), *([self._price("hotel")] if self._chance(0.7) else [])]
        asks = kind if self._chance(0.5) else "place to stay"
        if asks != "place to stay":
            self._set("hotel", type=kind)
        if self._chance(0.4):
            is_wanted = self._chance(0.7)
            self._set("hotel", parking="yes" if is_wanted else "no")
            said.append("with free parking" if is_wanted else "without parking")
        if self._chance(0.4):
            is_wanted = self._chance(0.7)
            self._set("hotel", internet="yes" if is_wanted else "no")
            said.append("with wifi" if is_wanted else "and I do not need wifi")
        if self._chance(0.3):
            stars = int(self._random.integers(1, 6))
            self._set("hotel", stars=str(stars))
            said.append(f"of {self._one_of((str(stars), NUMBERS[stars]))} stars")
        name = self._name(self._one_of((" hotel", " guest house", " lodge")))
        self._turn(
            f"I am looking for a {asks} {' '.join(said)}.",
            f"How about the {name}? It has good reviews.",
            answers=[("hotel", "Recommend", "Name", f"the {name}")],
        )
        self._take_offer("hotel", name, f"The {name} has rooms.", ("Price", "price range"), "It is moderate.")
        if self._chance(0.7):
            nights = int(self._random.integers(1, 7))
            said = [self._people("hotel"), self._day("hotel")]
            self._set("hotel", book_stay=str(nights))
            self._turn(
                f"Book it {' '.join(said)} and {self._one_of((str(nights), NUMBERS[nights]))} nights.",
                "It is booked. Your reference is A1B2.",
            )
            self._correct("hotel")

    def _correct(self, domain: str) -> None:
        if self._chance(0.3):
            before = self.state[domain]["book day"]
            day = self._one_of([day for day in DAYS if day != before])
            self._set(domain, book_day=day)
            self._turn(f"Sorry, not {before}. Make it {day} instead.", "No problem, I have changed it.")

    def _restaurant(self) -> None:
        food = self._one_of(FOODS)
        self._set("restaurant", food="dontcare" if self._chance(0.1) else food)
        kind = "any kind of" if self.state["restaurant"]["food"] == "dontcare" else food
        said = [self._area("restaurant"), *([self._price("restaurant")] if self._chance(0.6) else [])]
        name = self._name(self._one_of((" restaurant", " kitchen", "")))
        self._turn(
            f"I would like to eat {kind} food {' '.join(said)}.",
            f"{name} would suit you.",
            answers=[("restaurant", "Inform", "Name", name)],
        )
        self._take_offer(
            "restaurant", name, f"{name} has a table.", ("Food", "kind of food"), "It serves what you asked for."
        )
        if self._chance(0.7):
            time, said_time = self._time()
            said = [self._people("restaurant"), self._day("restaurant")]
            self._set("restaurant", book_time=time)
            self._turn(f"A table {' '.join(said)} at {said_time}, please.", "The table is yours.")
            self._correct("restaurant")

    def _attraction(self) -> None:
        kind = self._one_of(SIGHTS)
        self._set("attraction", type=kind)
        name = self._name(f" {kind}")
        self._turn(
            f"Is there a {kind} {self._area('attraction')}?",
            f"Yes, the {name}.",
            answers=[("attraction", "Inform", "Name", name)],
        )
        self._take_offer("attraction", name, f"The {name} is open all day.", ("Area", "area"), "It is near the river.")

    def _train(self) -> None:
        start, end = (str(town) for town in self._random.permutation(TOWNS)[:2])
        self._set("train", departure=start, destination=end)
        day = self._day("train", "day")
        time, said_time = self._time()
        if self._chance(0.5):
            self._set("train", leaveAt=time)
            said = f"leaving after {said_time}"
        else:
            self._set("train", arriveBy=time)
            said = f"arriving by {said_time}"
        self._turn(f"I need a train from {start} to {end} {day}, {said}.", "There is one that fits. Shall I book it?")
        if self._chance(0.6):
            self._turn(f"Yes, {self._people('train')}.", "Done. Your reference is C3D4.")

    def _taxi(self) -> None:
        places = [(domain, has["name"]) for domain, has in self.state.items() if has.get("name")]
        time, said_time = self._time()
        if len(places) >= 2:
            (start, start_name), (end, end_name) = places[0], places[1]
            self._set("taxi", departure=start_name, destination=end_name, leaveAt=time)
            said = f"I also need a taxi from the {start} to the {end} at {said_time}."
        elif places and self._chance(0.5):
            town = self._one_of(TOWNS)
            self._set("taxi", departure=places[0][1], destination=town, leaveAt=time)
            said = f"I also need a taxi from the {places[0][0]} to {town} at {said_time}."
        else:
            start, end = (str(town) for town in self._random.permutation(TOWNS)[:2])
            self._set("taxi", departure=start, destination=end, arriveBy=time)
            said = f"Get me a taxi from {start} to {end}, I have to be there by {said_time}."
        self._turn(said, "A yellow car will come.")
