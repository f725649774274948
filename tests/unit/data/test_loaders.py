"""Loaders of datasets: found by their files, read without what is slow to import, signed where they read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from idsweep.config.load import load
from idsweep.data import equations
from idsweep.data.entries import SHARED_KEYS, check_entry
from idsweep.data.loaders import registry
from idsweep.sweep.expand import expand
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.signature import Digests, code_of

PROJECT = Path(__file__).parents[3]
SCRIPTS = PROJECT / "workflow_scripts"
LOADERS = ("csv", "equations", "folder", "hub", "json", "parquet", "text", "token_ids")


def test_they_are_the_modules_of_their_folder() -> None:
    assert tuple(registry.names()) == LOADERS
    with pytest.raises(ValueError, match=r"loader: 'yaml' is not known; choose one of csv, equations, folder"):
        registry.get("yaml")


@pytest.mark.parametrize("name", LOADERS)
def test_each_says_what_it_reads_and_how(name: str) -> None:
    loader = registry.get(name)
    assert registry.about(name)
    assert (loader.rows is None) != (loader.generator is None)
    assert (loader.generator is None) == bool(loader.places) and loader.places <= {"local", "hub_files", "hub"}
    assert not registry.keys(name).keys() & SHARED_KEYS
    for part in registry.keys(name).values():
        jsonschema.Draft202012Validator.check_schema(part)
        assert part["description"]


def test_looking_at_loaders_imports_nothing_slow() -> None:
    code = "import sys\nfrom idsweep.data.loaders import registry\n"
    code += "[(registry.get(n), registry.keys(n), registry.about(n)) for n in registry.names()]\nprint(*sys.modules)"
    env = {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "idsweep.data.loaders.equations" in loaded
    assert not loaded & {"datasets", "torch", "transformers", "pandas", "pyarrow", "huggingface_hub"}


def test_what_is_made_is_what_it_says() -> None:
    made, entry = registry.get("equations").generator, {"loader": "equations", "task": "division", "modulus": 7}
    rows = list(made.texts(entry, None))
    assert [place for place, *_ in rows] == list(range(made.number(entry)))
    assert made.words(entry) == equations.vocabulary(equations.of_entry(entry))
    for _, text, spans in rows:
        assert len(text.split()) == made.tokens and [name for *_, name in spans] == list(made.classes)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"loader": "text", "path": "x", "task": "addition"}, r"task: it holds for the loader 'equations', not for 'text'"),
        ({"loader": "text", "path": "x", "colum": "a"}, r"A dataset has no key 'colum'; it may have .*column"),
        ({"loader": "hub", "path": "x"}, r"loader 'hub' does not read from 'path'; from 'hub' read hub, csv, json, parquet, text"),
        ({"loader": "folder", "hub": "x", "file": "y"}, r"loader 'folder' does not read from 'hub'"),
        ({"loader": "parquet", "path": "x", "encoding": "latin-1"}, r"encoding: it holds for csv, folder, json, text, not for parquet"),
    ],
)  # fmt: skip
def test_keys_of_others_are_told(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_entry(entry)


def test_what_reads_a_dataset_counts_for_its_jobs_alone() -> None:
    script = SCRIPTS / "sample_tokens.py"
    codes = {name: code_of(script, (registry.module_of(name),)) for name in LOADERS}
    assert "datasets" not in code_of(script)["versions"]
    assert {name for name, code in codes.items() if "datasets" in code["versions"]} == {"hub", "token_ids"}
    assert codes["folder"]["source"] != codes["equations"]["source"] != codes["text"]["source"]


def test_every_job_that_reads_texts_is_signed_by_their_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaders_of(sweep: Sweep, rule: str, **names: str) -> list[str]:
        """The loaders whose code is in the signature of a job; what it reads is signed before it."""
        signed: list[tuple[str, ...]] = []
        monkeypatch.setattr("idsweep.workflow.job_graph.code_of", lambda script, modules: signed.append(modules) or {})
        JobGraph(sweep, Digests(tmp_path / "d.json")).signature(rule, **names)
        return [name.rsplit(".", 1)[1] for name in signed[-1] if ".loaders." in name]

    sums = {"train": "grokking", "kind": "encoder", "checkpoints": "step{0,5}"}
    sums["architecture"] = {"model_type": "equation_decoder", "num_hidden_layers": 2}
    sums["training"] = {"dataset": "sums", "fraction": 0.5, "steps": 5, "batch_size": 8}
    tuned = {"train": "fine_tuned_language_model", "base": "tiny_neox", "base_checkpoint": "step0", "kind": "causal"}
    tuned |= {"training": {"dataset": "lee_news", "validation": "films", "max_length": 9, "steps": 5}}
    tuned |= {"checkpoints": "step{5}"}
    (tmp_path / "a.txt").write_text("a b c")
    catalog = {"models": {"s": sums, "t": tuned}, "datasets": {"films": {"loader": "folder", "path": str(tmp_path)}}}
    catalog["datasets"]["sums"] = {"loader": "equations", "task": "addition", "modulus": 7}
    catalog["datasets"]["said"] = {"loader": "parquet", "release": "multiwoz", "path": str(tmp_path)}
    given = {"sweep": "x", "models": {"s": None}, "datasets": ["trained_on"], "catalog": catalog}

    sweep = expand(load(given, PROJECT / "config"))
    assert loaders_of(sweep, "sample_tokens", tokenizer="s", dataset="trained_on") == ["equations"]
    assert loaders_of(sweep, "write_tokenizer", tokenizer="s") == ["equations"]
    assert loaders_of(sweep, "train_grokking", model="s") == ["equations"]

    given |= {"models": {"t": {"layers": [-1, "input_embeddings"]}}, "datasets": ["films", "said"]}
    given |= {"vocabulary": {"counted_in": "films"}, "tokens": {"max_length": 9}}
    sweep = expand(load(given, PROJECT / "config"))
    assert loaders_of(sweep, "sample_tokens", tokenizer="tiny_neox", dataset="films") == ["folder"]
    # What is prepared of a release is read as any other Parquet; preparing it is another job.
    assert loaders_of(sweep, "sample_tokens", tokenizer="tiny_neox", dataset="said") == ["parquet"]
    assert loaders_of(sweep, "prepare_dataset", release="said") == []
    assert loaders_of(sweep, "sample_vocabulary", tokenizer="tiny_neox") == ["folder"]
    assert loaders_of(sweep, "train_tokenizer", tokenizer="tiny_neox") == ["text"]
    assert loaders_of(sweep, "train_language_model", model="tiny_neox") == ["text"]
    assert loaders_of(sweep, "fine_tune_language_model", model="t") == ["folder", "text"]
