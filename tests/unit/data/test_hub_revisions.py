"""Datasets on the hub are read at the commit that their revision names, or not at all; the hub is a server on this machine.

The clients are the real `datasets` and `huggingface_hub`, in processes of their own, since they read their environment when
they are imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
from builders.hub_server import HubServer

READ = """
import json, sys
from idsweep.data.corpora import read_corpus
for entry in json.loads(sys.argv[1]):
    try:
        corpus = read_corpus(entry, number=50, labels=True)
        print(json.dumps([corpus.texts, corpus.commit, corpus.labels]))
    except ValueError as error:
        print(json.dumps(str(error)))
"""
CARD = """---
dataset_info:
  features:
  - {name: text, dtype: string}
  - name: label
    dtype:
      class_label:
        names: {'0': neg, '1': pos}
---
"""
# Clients that find no hub try for half a minute each.
NO_WAITS = "import time\ntime.sleep = lambda seconds: None\n"
WORDS = {"loader": "hub", "hub": "someone/words"}
TABLE = {"loader": "hub", "hub": "someone/table"}
TALKS = {"loader": "hub", "hub": "someone/talks"}
FILES = {"loader": "parquet", "hub": "someone/words", "file": "data/*.parquet"}
LINES = {"loader": "json", "hub": "someone/talks", "file": "{split}.jsonl"}
STREAMED = {"revision": "old", "streaming": True}


class Served:
    """A hub with three datasets in two revisions each, and what was read of it where there is a network and then without."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self._hub, self._home = hub, folder / "home"
        self.commits = {}
        for revision in ("old", "main"):
            words = folder / revision / "words"
            (words / "data").mkdir(parents=True)
            for shard in range(2):
                rows = pa.table({"text": [f"{revision} {2 * shard + i}" for i in range(2)]})
                pq.write_table(rows, words / f"data/train-{shard:05}-of-00002.parquet")
            table = folder / revision / "table"
            table.mkdir()
            (table / "README.md").write_text(CARD)
            (table / "train.csv").write_text(f"text,label\n{revision},1\nNA,0\n007,-1\n")
            talks = folder / revision / "talks"
            talks.mkdir()
            said = [{"text": revision}, {"text": "2024-01-02"}, {"text": "null"}]
            (talks / "train.jsonl").write_text("\n".join(map(json.dumps, said)))
            (talks / "test.jsonl").write_text('{"text": "one"}\n{"text": 42}\n')
            for name in ("words", "table", "talks"):
                if name != "table":
                    (folder / revision / name / "README.md").write_text("# A dataset\n")
                self.commits[name, revision] = hub.add(f"someone/{name}", revision, folder / revision / name)

    def read(self, *entries: dict, **environment: str) -> list:
        said = self.run(NO_WAITS + READ, json.dumps(entries), **environment)
        return [json.loads(line) for line in said.splitlines()]

    def run(self, code: str, *arguments: str, **environment: str) -> str:
        given = {"HF_ENDPOINT": self._hub.url, "HF_HOME": str(self._home), "PYTHONPATH": ":".join(sys.path)}
        env = {"PATH": os.environ["PATH"], **warm.environment(), **given, **environment}
        done = subprocess.run(
            [warm.python(), "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with HubServer() as hub:
        yield Served(hub, tmp_path_factory.mktemp("hub"))


def test_what_a_revision_names_is_read_and_told(served: Served) -> None:
    old, main = served.commits["words", "old"], served.commits["words", "main"]
    by_commit = WORDS | {"revision": old}
    entries = [WORDS, WORDS | {"revision": "old"}, by_commit, WORDS | STREAMED, FILES, FILES | STREAMED]
    read = served.read(
        *entries, WORDS | {"revision": "new"}, WORDS | {"revision": "c" * 40}, FILES | {"file": "no/*.parquet"}
    )
    texts = {old: [f"old {i}" for i in range(4)], main: [f"main {i}" for i in range(4)]}
    commits = [main, old, old, old, main, old]
    assert read[:6] == [[texts[commit], commit, None] for commit in commits]
    assert "someone/words at revision new cannot be read: there is no such revision" in read[6]
    assert f"Revision '{'c' * 40}' doesn't exist for dataset 'someone/words'" in read[7]
    assert f"someone/words at commit {main} has no file 'no/*.parquet'" in read[8]

    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    missing = WORDS | {"revision": "new"}
    lost = WORDS | {"revision": "c" * 40}
    read = served.read(WORDS | {"revision": "old"}, WORDS, by_commit, WORDS | STREAMED, missing, lost, FILES, **offline)
    assert read[:4] == [[texts[commit], commit, None] for commit in (old, main, old, old)]
    assert "which commit the revision 'new' is" in read[4] and "set 'revision' to a commit" in read[4]
    assert f"commit {'c' * 40} is needed, but the cache of datasets" in read[5] and old in read[5] and main in read[5]
    assert "which files match 'data/*.parquet' is known to the hub alone" in read[6]

    # Without the hub, `datasets` takes the latest of its cache, whatever was asked for.
    read = served.read(by_commit, WORDS | {"revision": main}, lost, HF_ENDPOINT="http://127.0.0.1:9")
    assert read[:2] == [[texts[commit], commit, None] for commit in (old, main)]
    assert f"commit {'c' * 40} is needed, but the cache of datasets" in read[2]


def test_files_of_text_are_read_as_they_are_also_from_the_hub(served: Served) -> None:
    label = {"label_column": "label", "where": {"label": [0, 1]}}
    streamed = TABLE | STREAMED
    test = TALKS | {"split": "test"}
    entries = [
        TABLE,
        TABLE | label,
        streamed,
        TALKS,
        LINES,
        LINES | STREAMED,
        test,
        LINES | {"split": "test"},
        TALKS | {"split": "no"},
    ]
    read = served.read(*entries)
    assert read[0] == [["main", "NA", "007"], served.commits["table", "main"], None]
    assert read[1] == [["main", "NA"], served.commits["table", "main"], ["pos", "neg"]]
    assert read[2] == [["old", "NA", "007"], served.commits["table", "old"], None]
    assert read[3] == read[4] == [["main", "2024-01-02", "null"], served.commits["talks", "main"], None]
    assert read[5] == [["old", "2024-01-02", "null"], served.commits["talks", "old"], None]
    assert "row 2: column 'text' holds 42, which is no text" in read[6] and "row 2: column 'text'" in read[7]
    assert "someone/talks has no split 'no'; it has train, test" in read[8]


def test_a_cache_that_datasets_made_of_csv_is_not_read(served: Served) -> None:
    fill = f"""
from datasets import load_dataset
load_dataset("someone/table", revision={served.commits["table", "main"]!r}, split="train")
"""
    served.run(fill)
    [said] = served.read(TABLE, HF_HUB_OFFLINE="1")
    assert "made from CSV, with types that were guessed" in said


def test_a_local_folder_has_no_revision(tmp_path: Path) -> None:
    from idsweep.data.corpora import read_corpus

    (tmp_path / "train.txt").write_text("one\n")
    assert read_corpus({"loader": "hub", "hub": str(tmp_path)}).commit is None
    with pytest.raises(ValueError, match=r"revision: .* is a local folder, which has none"):
        read_corpus({"loader": "hub", "hub": str(tmp_path), "revision": "main"})
