"""Releases of task-oriented dialogues as one table of utterances, and how they are fetched.

Each is read as a zip file or as the folder unpacked from it:

- MultiWOZ 2.1 (Eric et al. 2020): data.json, {id: {log: [{text, metadata, dialog_act}]}}, user and system in turn; the ids of
  validation and test are the lines of valListFile and testListFile (.json or .txt); all others are train. A turn of the system
  has the state after the user's turn before it.
- SGD (Rastogi et al. 2020): {train, dev, test}/dialogues_001.json …, each a list of {dialogue_id,
  turns: [{speaker, utterance}]}.
- EmoWOZ (Feng et al. 2022): emowoz-multiwoz.json and emowoz-dialmage.json in MultiWOZ's form; turns of the user
  have four annotations `emotion`, the fourth of which is the final label, by majority or by hand. data-split.json
  is {train, dev, test: {multiwoz, dialmage: [id]}}.
- ConvLab (Zhu et al. 2023), the unified format of many datasets: dialogues.json, a list of {data_split, dialogue_id,
  original_id, turns: [{speaker, utterance, state, dialogue_acts}]}; only turns of the user have a state, {domain: {slot: value}}.
"""

from __future__ import annotations

import json
import logging
import re
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from idsweep.data import dialogue_states
from idsweep.data.entries import MORE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

EMOTIONS = ("neutral", "fearful", "dissatisfied", "apologetic", "abusive", "excited", "satisfied")
FINAL_ANNOTATION = 3
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
NEVER_BETTER = (400, 401, 403, 404, 405, 410)  # an HTTP status that no further attempt changes
BLOCK = 2**20


class _Utterance(NamedTuple):
    text: str
    split: str
    dialogue: str
    turn: int
    speaker: str
    emotion: str | None = None
    original_id: str | None = None
    state: str | None = None
    acts: str | None = None


def utterances(release: str | Path, format: str) -> pa.Table:
    """All utterances of a release, in the order of its files, dialogue by dialogue.

    format: multiwoz, sgd, emowoz or convlab; made_up is of multiwoz's.

    Columns: text, split (train, validation, test), dialogue (its id), turn (int32, from 0), speaker (user, system)
    and emotion (null where the release has none: every utterance but those of EmoWOZ's users). Of multiwoz and convlab also state
    (what the user wants after this turn, of turns of the user) and acts, as JSON texts as `dialogue_states` says, null where a turn has none;
    of convlab also original_id (of the dialogue, in the release that it was made from).

    Raises ValueError if the format is not known, or if the release is missing or lacks a file or a field.
    """
    import pyarrow as pa

    if format not in READERS:
        raise ValueError(f"release: {format!r} is not known; choose one of {', '.join(READERS)}.")
    try:
        rows = list(READERS[format](_Files(Path(release))))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{release} is no release of {format}: {type(error).__name__}: {error}.") from error
    except (ValueError, zipfile.BadZipFile, zlib.error) as error:  # those of json and of this module
        raise ValueError(f"{release} is no release of {format}: {error}") from error
    if not rows:
        raise ValueError(f"{release} holds no utterance.")
    columns = dict(zip(_Utterance._fields, zip(*rows, strict=True), strict=True))
    more = {name for names in MORE_COLUMNS.values() for name in names} - {*MORE_COLUMNS.get(format, ())}
    names = [name for name in columns if name not in more]
    return pa.table({name: pa.array(columns[name], pa.int32() if name == "turn" else pa.string()) for name in names})


class _Files:
    """The files of a zip file or folder, found by their names at any depth."""

    def __init__(self, release: Path) -> None:
        self._release = release
        if release.is_dir():
            names = [file.relative_to(release).as_posix() for file in release.rglob("*") if file.is_file()]
        elif zipfile.is_zipfile(release):
            with zipfile.ZipFile(release) as packed:
                names = packed.namelist()
        else:
            raise ValueError("it is neither a folder nor a zip file.")
        self.paths = sorted(map(PurePosixPath, names), key=lambda path: (len(path.parts), path.parts))

    def find(self, *names: str) -> PurePosixPath | None:
        """The file with one of these names that lies least deep, or None."""
        return next((path for path in self.paths if path.name in names), None)

    def read(self, path: PurePosixPath) -> str:
        if self._release.is_dir():
            return (self._release / path).read_text(encoding="utf-8")
        with zipfile.ZipFile(self._release) as packed:
            return packed.read(str(path)).decode("utf-8")

    def json(self, *names: str) -> Any:
        return self.parsed(self.needed(*names))

    def parsed(self, path: PurePosixPath) -> Any:
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}. Was it written to its end?") from error

    def needed(self, *names: str) -> PurePosixPath:
        if (path := self.find(*names)) is None:
            raise ValueError(f"there is no {' or '.join(names)} in it.")
        return path


def _multiwoz(files: _Files) -> Iterator[_Utterance]:
    dialogues = files.json("data.json")
    split_of = {}
    for split, stem in (("validation", "valListFile"), ("test", "testListFile")):
        listed = _ids(files.read(files.needed(f"{stem}.json", f"{stem}.txt")))
        if not listed & set(map(_plain_id, dialogues)):
            raise ValueError(f"{stem} names no dialogue of data.json.")
        split_of |= dict.fromkeys(listed, split)
    for name, dialogue in dialogues.items():
        log, before, about = dialogue["log"], {}, None
        for said in _log(log, split_of.get(_plain_id(name), "train"), name):
            at = f"turn {said.turn} of {name}"
            user, acts = said.speaker == "user", log[said.turn].get("dialog_act")
            # the system's next turn has the state; a dialogue that ends with its user has none for that turn
            metadata = log[said.turn + 1].get("metadata") if user and said.turn + 1 < len(log) else None
            state = before if metadata is None else _readable(dialogue_states.of_metadata, metadata, at)
            named = [act.partition("-")[0] for act in acts] if isinstance(acts, Mapping) else []
            about = dialogue_states.domain_of(state, before, named) or about
            acts = _readable(dialogue_states.acts_of_original, acts, at, about)
            yield said._replace(state=None if metadata is None else _as_json(state), acts=_as_json(acts))
            before = state


def _ids(listed: str) -> set[str]:
    return set(map(_plain_id, listed.split()))


def _plain_id(name: str) -> str:
    return name.removesuffix(".json")


def _log(log: list[Mapping[str, Any]], split: str, dialogue: str) -> Iterator[_Utterance]:
    for i, turn in enumerate(log):
        yield _Utterance(turn["text"], split, dialogue, i, ("user", "system")[i % 2])


def _sgd(files: _Files) -> Iterator[_Utterance]:
    named = [path for path in files.paths if re.fullmatch(r"dialogues_\d+\.json", path.name)]
    named = [path for path in named if path.parent.name in SPLITS]
    if not named:
        raise ValueError("there is no {train,dev,test}/dialogues_001.json in it.")
    root = named[0].parent.parent  # variants such as SGD-X lie deeper
    for folder, split in SPLITS.items():
        for path in (path for path in named if path.parent == root / folder):
            for dialogue in files.parsed(path):
                for i, turn in enumerate(dialogue["turns"]):
                    speaker = {"USER": "user", "SYSTEM": "system"}[turn["speaker"]]
                    yield _Utterance(turn["utterance"], split, dialogue["dialogue_id"], i, speaker)


def _emowoz(files: _Files) -> Iterator[_Utterance]:
    ids = files.json("data-split.json")
    parts = {"multiwoz": files.json("emowoz-multiwoz.json")}
    if files.find("emowoz-dialmage.json"):
        parts["dialmage"] = files.json("emowoz-dialmage.json")
    for key, split in SPLITS.items():
        for part, dialogues in parts.items():
            for name in ids[key][part]:
                log = dialogues[name]["log"]
                for said, turn in zip(_log(log, split, name), log, strict=True):
                    yield said if said.speaker == "system" else said._replace(emotion=_emotion(turn, said))


def _emotion(turn: Mapping[str, Any], said: _Utterance) -> str:
    try:
        return EMOTIONS[turn["emotion"][FINAL_ANNOTATION]["emotion"]]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"turn {said.turn} of {said.dialogue} has no final emotion: {turn.get('emotion')!r}."
        ) from error


def _convlab(files: _Files) -> Iterator[_Utterance]:
    for dialogue in files.json("dialogues.json"):
        for i, turn in enumerate(dialogue["turns"]):
            speaker, at = turn["speaker"], f"turn {i} of {dialogue['dialogue_id']}"
            if speaker not in ("user", "system"):
                raise ValueError(f"{at} has the speaker {speaker!r}, neither user nor system.")
            yield _Utterance(
                turn["utterance"],
                dialogue["data_split"],
                dialogue["dialogue_id"],
                i,
                speaker,
                original_id=dialogue.get("original_id"),
                state=_as_json(_readable(dialogue_states.of_unified, turn.get("state"), at)),
                acts=_as_json(_readable(dialogue_states.acts_of_unified, turn.get("dialogue_acts"), at)),
            )


def _readable(read: Callable[..., Any], given: Any, at: str, *more: Any) -> Any:
    """What a function reads of a turn, None of None; what is wrong about it is told with the turn."""
    try:
        return None if given is None else read(given, *more)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{at}: its state or acts cannot be read: {error}") from error


def _as_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


READERS: Mapping[str, Callable[[_Files], Iterator[_Utterance]]] = {
    "multiwoz": _multiwoz,
    "sgd": _sgd,
    "emowoz": _emowoz,
    "convlab": _convlab,
    "made_up": _multiwoz,
}


def fetch_release(url: str, file: str | Path, *, attempts: int = 5, pause: float = 2.0) -> None:
    """Download `url` to `file`, whole or not at all.

    A connection that breaks is tried again up to `attempts` times, after `pause`, twice as long each time; from
    where it broke, if the server says by a strong ETag that the file is still the same.

    Raises ValueError if the URL is not of HTTP(S) or the file cannot be had.
    """
    from idsweep.files.atomic import whole_or_nothing

    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url: {url!r} does not start with http:// or https://. Name a local file by 'path'.")
    with whole_or_nothing(file) as unfinished:
        tag = None
        for attempt in range(attempts):
            try:
                with _request(url, unfinished, tag) as response:
                    tag = response.headers.get("ETag")
                    _write(response, unfinished)
                return
            except (OSError, HTTPException) as error:
                status = getattr(error, "code", None)
                if attempt + 1 == attempts or status in NEVER_BETTER:
                    raise ValueError(
                        f"{url} cannot be fetched: {error}. Fetch it in another way and set 'path' instead of 'url'."
                    ) from error
                logger.warning("%s: %s; trying again.", url, error)
                time.sleep(pause * 2**attempt)


def _request(url: str, unfinished: Path, tag: str | None) -> Any:
    headers = {"User-Agent": "idsweep"}
    if tag and not tag.startswith("W/") and unfinished.is_file():
        headers |= {"Range": f"bytes={unfinished.stat().st_size}-", "If-Range": tag}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)


def _write(response: Any, unfinished: Path) -> None:
    """Append to the file if the server sends the rest, else begin anew; an end that comes too early is an OSError."""
    rest = response.status == 206
    before = unfinished.stat().st_size if rest else 0
    with unfinished.open("ab" if rest else "wb") as into:
        while block := response.read(BLOCK):
            into.write(block)
    length = response.headers.get("Content-Length")
    written = unfinished.stat().st_size - before
    if length is not None and written != int(length):
        raise OSError(f"the connection broke after {written} of {length} bytes")
