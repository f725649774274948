"""Original releases of dialogues become one table of utterances; files are fetched whole or not at all."""

from __future__ import annotations

import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from idsweep.data.corpora import read_corpus
from idsweep.data.dialogues import EMOTIONS, READERS, fetch_release, utterances
from idsweep.data.entries import MORE_COLUMNS, RELEASE_COLUMNS, RELEASES


def said(*texts: str) -> dict:
    """A dialogue in the form of MultiWOZ."""
    return {"goal": {}, "log": [{"text": text, "metadata": {}} for text in texts]}


MULTIWOZ = {
    "MULTIWOZ2.1/data.json": json.dumps(
        {
            "SNG01.json": said("hi", "hello", "a café ?"),
            "PMUL2.json": said("taxi", "booked"),
            "SNG03.json": said("bye"),
        }
    ),
    "MULTIWOZ2.1/valListFile.json": "SNG03.json\n",
    "MULTIWOZ2.1/testListFile.json": "PMUL2.json\nGONE.json\n",
    "MULTIWOZ2.1/ontology.json": "{}",
    "__MACOSX/MULTIWOZ2.1/._data.json": "\0\1",
}
UTTERED = [
    ("hi", "train", "SNG01.json", 0, "user", None),
    ("hello", "train", "SNG01.json", 1, "system", None),
    ("a café ?", "train", "SNG01.json", 2, "user", None),
    ("taxi", "test", "PMUL2.json", 0, "user", None),
    ("booked", "test", "PMUL2.json", 1, "system", None),
    ("bye", "validation", "SNG03.json", 0, "user", None),
]


def schema_guided(name: str, *turns: tuple[str, str]) -> dict:
    told = [{"frames": [], "speaker": speaker, "utterance": text} for speaker, text in turns]
    return {"dialogue_id": name, "services": [], "turns": told}


SGD = {
    "sgd-master/train/dialogues_002.json": json.dumps([schema_guided("2_00000", ("USER", "third"))]),
    "sgd-master/train/dialogues_001.json": json.dumps(
        [
            schema_guided("1_00000", ("USER", "first"), ("SYSTEM", "ok")),
            schema_guided("1_00001", ("SYSTEM", "second")),
        ]
    ),
    "sgd-master/train/schema.json": "[]",
    "sgd-master/dev/dialogues_001.json": json.dumps([schema_guided("9_00000", ("USER", "fourth"))]),
    "sgd-master/test/dialogues_001.json": json.dumps([schema_guided("8_00000", ("USER", "fifth"))]),
    "sgd-master/sgd_x/v1/train/dialogues_001.json": json.dumps([schema_guided("1_00000", ("USER", "variant"))]),
}


def emotional(*turns: tuple[str, int | None]) -> dict:
    """Three annotators who disagree with the final label, as far as they can."""
    log = []
    for text, final in turns:
        votes = [{"id": "0a1b2c3d", "emotion": 0, "sentiment": 0}] * 3 + [{"id": "final", "emotion": final}]
        log.append({"text": text, "emotion": [] if final is None else votes})
    return {"log": log}


EMOWOZ = {
    "emowoz-multiwoz.json": json.dumps(
        {
            "A.json": emotional(("thanks !", 6), ("welcome", None)),
            "B.json": emotional(("no .", 2)),
            "C.json": emotional(("well", 0)),
        }
    ),
    "emowoz-dialmage.json": json.dumps({"DMAGE1.json": emotional(("idiot", 4), ("sorry", None), ("me too", 3))}),
    "data-split.json": json.dumps(
        {
            "train": {"multiwoz": ["B.json"], "dialmage": ["DMAGE1.json"]},
            "dev": {"multiwoz": ["C.json"], "dialmage": []},
            "test": {"multiwoz": ["A.json"], "dialmage": []},
        }
    ),
}


def unified(name: str, split: str, original: str, *turns: dict) -> dict:
    """A dialogue in ConvLab's unified format."""
    told = [{"speaker": ("user", "system")[i % 2], "utt_idx": i, **turn} for i, turn in enumerate(turns)]
    kept = {"dataset": "multiwoz21", "data_split": split, "dialogue_id": name, "original_id": original}
    return kept | {"domains": ["hotel"], "goal": {}, "turns": told}


ACTS = {"categorical": [], "non-categorical": [{"intent": "inform", "slot": "area", "value": "nörth"}], "binary": []}
CONVLAB = {
    "data/dialogues.json": json.dumps(
        [
            unified(
                "multiwoz21-train-0",
                "train",
                "SNG01.json",
                {"utterance": "a nörth hotel", "dialogue_acts": ACTS, "state": {"hotel": {"area": "nörth|south"}}},
                {"utterance": "which?", "dialogue_acts": {"binary": []}, "booked": {}},
            ),
            unified("multiwoz21-test-0", "test", "PMUL2.json", {"utterance": "taxi", "state": {}}),
            unified("multiwoz21-validation-0", "validation", "SNG03.json", {"utterance": "bye"}),
        ]
    ),
    "data/ontology.json": "{}",
    "dummy_data.json": "[]",
}


def folder_of(files: dict[str, str], folder: Path) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def zip_of(files: dict[str, str], folder: Path) -> Path:
    with zipfile.ZipFile(folder / "release.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return folder / "release.zip"


def rows_of(release: Path, format: str) -> list[tuple]:
    """The columns that all releases have."""
    return [tuple(row[name] for name in RELEASE_COLUMNS) for row in utterances(release, format).to_pylist()]


@pytest.mark.parametrize("release_of", [zip_of, folder_of])
def test_multiwoz_alternates_and_its_lists_say_the_split(tmp_path, release_of):
    assert rows_of(release_of(MULTIWOZ, tmp_path), "multiwoz") == UTTERED


def test_multiwoz_s_lists_may_be_text_files(tmp_path):
    renamed = {name.replace("ListFile.json", "ListFile.txt"): text for name, text in MULTIWOZ.items()}
    assert rows_of(zip_of(renamed, tmp_path), "multiwoz") == UTTERED


@pytest.mark.parametrize("release_of", [zip_of, folder_of])
def test_sgd_comes_split_by_split_in_the_order_of_its_files_without_variants(tmp_path, release_of):
    assert rows_of(release_of(SGD, tmp_path), "sgd") == [
        ("first", "train", "1_00000", 0, "user", None),
        ("ok", "train", "1_00000", 1, "system", None),
        ("second", "train", "1_00001", 0, "system", None),
        ("third", "train", "2_00000", 0, "user", None),
        ("fourth", "validation", "9_00000", 0, "user", None),
        ("fifth", "test", "8_00000", 0, "user", None),
    ]


def test_emowoz_gives_the_final_emotion_of_the_user_s_turns(tmp_path):
    assert rows_of(folder_of(EMOWOZ, tmp_path), "emowoz") == [
        ("no .", "train", "B.json", 0, "user", "dissatisfied"),
        ("idiot", "train", "DMAGE1.json", 0, "user", "abusive"),
        ("sorry", "train", "DMAGE1.json", 1, "system", None),
        ("me too", "train", "DMAGE1.json", 2, "user", "apologetic"),
        ("well", "validation", "C.json", 0, "user", "neutral"),
        ("thanks !", "test", "A.json", 0, "user", "satisfied"),
        ("welcome", "test", "A.json", 1, "system", None),
    ]
    assert len(EMOTIONS) == 7


def test_emowoz_without_dialmage_is_its_multiwoz_part(tmp_path):
    files = {name: text for name, text in EMOWOZ.items() if "dialmage" not in name}
    assert [row[0] for row in rows_of(zip_of(files, tmp_path), "emowoz")] == ["no .", "well", "thanks !", "welcome"]


def test_states_and_acts_of_multiwoz_are_those_of_the_turn(tmp_path):
    """The state stands in the system's next turn; a booked value counts before the one that was asked for."""
    hotel = {
        "semi": {"area": "North", "name": "not mentioned", "stars": "", "type": "do n't care"},
        "book": {"booked": [], "day": ""},
    }
    booked = {
        "semi": {"area": "north", "type": "dont care"},
        "book": {"day": "monday", "booked": [{"day": "tuesday", "ref": "X"}]},
    }
    log = [
        {"text": "a", "metadata": {}, "dialog_act": {"Hotel-Inform": [["Area", "north"]]}},
        {"text": "b", "metadata": {"hotel": hotel}, "dialog_act": {"general-greet": [["none", "none"]]}},
        {"text": "c", "metadata": {}, "dialog_act": "No Annotation"},
        {"text": "d", "metadata": {"hotel": booked}, "dialog_act": {"Booking-Book": [["Ref", "X"]]}},
        {"text": "e", "metadata": {}, "dialog_act": {}},
    ]
    release = changed(
        MULTIWOZ, "MULTIWOZ2.1/data.json", json.dumps({"A.json": {"log": log}, "SNG03.json": said("x", "y")})
    )
    release = changed(release, "MULTIWOZ2.1/testListFile.json", "SNG03.json")
    rows = utterances(zip_of(release, tmp_path), "multiwoz").to_pylist()[:5]
    states = [row["state"] and json.loads(row["state"]) for row in rows]
    assert states == [
        {"hotel": {"area": "north", "type": "do n't care"}},
        None,
        {"hotel": {"area": "north", "type": "dontcare", "book day": "tuesday"}},
        None,
        None,
    ]
    assert [json.loads(row["acts"]) for row in rows] == [
        [["hotel", "inform", "Area", "north"]],
        [["general", "greet", "none", "none"]],
        [],
        [["hotel", "book", "Ref", "X"]],
        [],
    ]
    log[1]["metadata"] = {"hotel": "north"}
    release = changed(
        release, "MULTIWOZ2.1/data.json", json.dumps({"A.json": {"log": log}, "SNG03.json": said("x", "y")})
    )
    with pytest.raises(
        ValueError, match=r"turn 0 of A.json: its state or acts cannot be read: the state of domain 'hotel'"
    ):
        utterances(zip_of(release, tmp_path), "multiwoz")


@pytest.mark.parametrize("release_of", [zip_of, folder_of])
def test_the_unified_format_comes_in_its_own_order_with_states_and_acts(tmp_path, release_of):
    table = utterances(release_of(CONVLAB, tmp_path), "convlab")
    basic = table.select(["text", "split", "dialogue", "turn", "speaker", "emotion"]).to_pylist()
    assert [tuple(row.values()) for row in basic] == [
        ("a nörth hotel", "train", "multiwoz21-train-0", 0, "user", None),
        ("which?", "train", "multiwoz21-train-0", 1, "system", None),
        ("taxi", "test", "multiwoz21-test-0", 0, "user", None),
        ("bye", "validation", "multiwoz21-validation-0", 0, "user", None),
    ]
    assert table["original_id"].to_pylist() == ["SNG01.json", "SNG01.json", "PMUL2.json", "SNG03.json"]
    assert [state and json.loads(state) for state in table["state"].to_pylist()] == [
        {"hotel": {"area": "nörth|south"}},
        None,
        {},
        None,
    ]
    assert json.loads(table["acts"][0].as_py()) == [["", "inform", "area", "nörth"]]
    assert [*table.column_names] == [*RELEASE_COLUMNS, *MORE_COLUMNS["convlab"]]
    assert rows_of(zip_of(MULTIWOZ, tmp_path), "multiwoz") == UTTERED
    assert [*utterances(zip_of(SGD, tmp_path), "sgd").column_names] == [*RELEASE_COLUMNS]


def test_a_split_that_a_release_lacks_is_told_with_those_that_are_there(tmp_path):
    table = utterances(folder_of(CONVLAB, tmp_path / "release"), "convlab")
    pq.write_table(table.filter(pc.field("split") != "test"), tmp_path / "utterances.parquet")
    entry = {"loader": "parquet", "release": "convlab", "path": str(tmp_path / "release")}

    def texts(**keys):
        return read_corpus(entry | keys, tmp_path / "utterances.parquet").texts

    assert texts(where={"speaker": "user"}) == ["a nörth hotel"]
    assert texts(split="train", where={"original_id": "SNG01.json"}) == ["a nörth hotel", "which?"]
    with pytest.raises(
        ValueError, match=r"split: the release convlab at .*release has no 'test'; .* 'train', 'validation'"
    ):
        texts(split="test")
    with pytest.raises(ValueError, match=r"A release has no column 'state'; its columns are text, .*emotion"):
        read_corpus(entry | {"release": "sgd", "column": "state"}, tmp_path / "utterances.parquet")


def changed(files: dict[str, str], name: str, text: str | None) -> dict[str, str]:
    return {key: value for key, value in files.items() if key != name} | ({} if text is None else {name: text})


@pytest.mark.parametrize(
    ("format", "files", "message"),
    [
        ("multiwoz", changed(MULTIWOZ, "MULTIWOZ2.1/data.json", None), "no data.json in it"),
        ("multiwoz", changed(MULTIWOZ, "MULTIWOZ2.1/testListFile.json", None), "no testListFile.json or testList"),
        ("multiwoz", changed(MULTIWOZ, "MULTIWOZ2.1/valListFile.json", "X.json"), "valListFile names no dialogue"),
        ("multiwoz", changed(MULTIWOZ, "MULTIWOZ2.1/data.json", "{"), "MULTIWOZ2.1/data.json is no JSON: Expecting"),
        ("sgd", MULTIWOZ, "no {train,dev,test}/dialogues_001.json"),
        ("sgd", changed(SGD, "sgd-master/dev/dialogues_001.json", '[{"turns": [{}]}]'), "KeyError: 'speaker'"),
        (
            "emowoz",
            changed(EMOWOZ, "emowoz-multiwoz.json", json.dumps({"B.json": {"log": [{"text": "a", "emotion": [1]}]}})),
            r"turn 0 of B.json has no final emotion: \[1\]",
        ),
        (
            "sgd",
            changed(SGD, "sgd-master/dev/dialogues_001.json", "[{"),
            "dev/dialogues_001.json is no JSON: .*its end",
        ),
        ("convlab", changed(CONVLAB, "data/dialogues.json", None), "no dialogues.json in it"),
        ("convlab", changed(CONVLAB, "data/dialogues.json", '[{"turns"'), "data/dialogues.json is no JSON: .*its end"),
        ("convlab", changed(CONVLAB, "data/dialogues.json", '[{"turns": [{}]}]'), "KeyError: 'speaker'"),
        (
            "convlab",
            changed(CONVLAB, "data/dialogues.json", '[{"dialogue_id": "a", "turns": [{"speaker": "wizard"}]}]'),
            "turn 0 of a has the speaker 'wizard', neither user nor system",
        ),
        ("dailydialog", EMOWOZ, "'dailydialog' is not known; choose one of multiwoz, sgd, emowoz, convlab"),
    ],
)
def test_what_is_no_release_is_told(tmp_path, format, files, message):
    with pytest.raises(ValueError, match=message):
        utterances(zip_of(files, tmp_path), format)


def test_a_release_that_is_no_zip_file_is_told(tmp_path):
    (tmp_path / "page.html").write_text("<html>Moved</html>")
    with pytest.raises(ValueError, match="neither a folder nor a zip file"):
        utterances(tmp_path / "page.html", "sgd")


def test_a_zip_file_with_damaged_bytes_is_told(tmp_path):
    release = zip_of(CONVLAB, tmp_path)
    content = bytearray(release.read_bytes())
    content[60:80] = bytes(20)  # inside the first file
    release.write_bytes(content)
    with pytest.raises(ValueError, match=r"release.zip is no release of convlab: "):
        utterances(release, "convlab")


def test_the_parquet_of_a_release_is_read_by_split_and_speaker(tmp_path):
    entry = {"loader": "parquet", "release": "multiwoz", "url": "https://example.org/MULTIWOZ2.1.zip"}
    table = utterances(zip_of(MULTIWOZ, tmp_path), entry["release"])
    pq.write_table(table, tmp_path / "utterances.parquet")

    def texts(**keys):
        return read_corpus(entry | keys, tmp_path / "utterances.parquet").texts

    assert texts() == ["hi", "hello", "a café ?"]
    assert texts(split="validation") == ["bye"]
    assert texts(split="test", where={"speaker": "user"}) == ["taxi"]
    assert tuple(READERS) == RELEASES


CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Sends CONTENT; `breaks` first answers break half-way. Says what was asked of it."""

    breaks, tag, resumes, asked = 0, '"one"', True, []

    def do_GET(self):
        kind = type(self)
        wanted = self.headers.get("Range")
        kind.asked.append(wanted)
        if self.path != "/release.zip":
            self.send_error(404)
            return
        resumed = kind.resumes and wanted and self.headers.get("If-Range") == kind.tag
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if resumed else 0
        self.send_response(206 if resumed else 200)
        if resumed:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("ETag", kind.tag)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        rest = CONTENT[begin:]
        if kind.breaks:
            kind.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**attributes) -> tuple[str, type[Server]]:
        kind = type("Kind", (Server,), {"asked": [], **attributes})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/release.zip", kind

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_broken_download_goes_on_where_it_broke(tmp_path, serve):
    url, server = serve(breaks=2)
    fetch_release(url, tmp_path / "release.zip", pause=0.01)
    assert (tmp_path / "release.zip").read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


@pytest.mark.parametrize(
    ("attributes", "asked"), [({"tag": 'W/"weak"'}, None), ({"resumes": False}, f"bytes={len(CONTENT) // 2}-")]
)
def test_a_server_that_cannot_go_on_begins_anew(tmp_path, serve, attributes, asked):
    url, server = serve(breaks=1, **attributes)
    fetch_release(url, tmp_path / "release.zip", pause=0.01)
    assert (tmp_path / "release.zip").read_bytes() == CONTENT
    assert server.asked == [None, asked]


def test_a_download_that_never_ends_leaves_nothing(tmp_path, serve):
    url, server = serve(breaks=9)
    with pytest.raises(ValueError, match=r"cannot be fetched: the connection broke after .* set 'path' instead"):
        fetch_release(url, tmp_path / "release.zip", attempts=3, pause=0.01)
    assert len(server.asked) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_asked_for_once(tmp_path, serve):
    url, server = serve()
    with pytest.raises(ValueError, match="404"):
        fetch_release(url.replace("release", "nowhere"), tmp_path / "release.zip", pause=60)
    with pytest.raises(ValueError, match="does not start with http"):
        fetch_release("ftp://example.org/a.zip", tmp_path / "release.zip")
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []
