"""Datasets by the real `snakemake`: the commit of one on a hub is told, and one that holds no texts stops a run before it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from builders.hub_server import HubServer
from idsweep.files.parquet import provenance, read_table

from workflow.checkout import Project


def test_the_commit_of_a_dataset_and_what_is_no_text_are_told(fresh: Project, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "train.csv").write_text("text\n007\nNA and other words\n")
    (fresh.folder / "chat.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "Hello"}]}))
    entries = {
        "words": {"loader": "hub", "hub": "someone/words", "revision": "v1"},
        "chat": {"loader": "json", "path": "chat.jsonl", "column": "messages"},
    }
    fresh.configure(datasets=["words"], catalog__datasets=entries)
    tokens, sequences = (f"results/mini/{kind}/minilm/words.parquet" for kind in ("tokens", "sequences"))
    with HubServer() as hub:
        commit = hub.add("someone/words", "v1", repository)
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        done = fresh.snakemake(tokens, env=environment)
        assert done.returncode == 0, done.stdout
        assert [provenance(fresh.folder / path)["dataset_commit"] for path in (tokens, sequences)] == [commit, commit]
        assert read_table(fresh.folder / sequences)["text"].to_pylist() == ["007", "NA and other words"]

        fresh.configure(datasets=["words", "chat"], catalog__datasets=entries)
        refused = fresh.snakemake("--dry-run", env=environment)
    assert refused.returncode != 0
    said = refused.stdout.partition("The configuration cannot be run:")[2]
    assert "catalog.datasets.chat: chat.jsonl, row 1: column 'messages' holds [{'role': 'user'" in said
    assert 'template: "{messages[0][content]}"' in said
    assert not (fresh.folder / "results/mini/tokens/minilm/chat.parquet").exists()
