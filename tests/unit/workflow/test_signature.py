"""Signatures follow what shapes numbers: names and values, code that is reached, versions, content of files."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import pytest
from builders.project import SCRIPTS
from idsweep.training import kinds
from idsweep.workflow import signature
from idsweep.workflow.signature import Digests, code_of, digest


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small library `idsweep` of its own: script -> a -> sub.b, and c that nothing reaches."""
    root = tmp_path / "idsweep"
    (root / "sub").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "sub/__init__.py").write_text("")
    (root / "a.py").write_text("def f():\n    from idsweep.sub import b\n    return b.X\n")
    (root / "sub/b.py").write_text("import torch\nX = 1\n")
    (root / "c.py").write_text("X = 1\n")
    (tmp_path / "script.py").write_text("from idsweep.a import f\nf()\n")
    monkeypatch.setattr(signature, "LIBRARY", root)
    return root


def code(library: Path, *modules: str) -> dict:
    for cached in (code_of, signature._imports, signature._read, signature._source_hash, signature._content):
        cached.cache_clear()
    return code_of(library.parent / "script.py", modules)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "a.py",
            "# words\ndef f():\n\n    '''Words.'''\n    from idsweep.sub import (\n        b,\n    )\n    return (b.X)\n",
        ),
        ("sub/b.py", '"""Words."""\nimport torch  # more\nX = (1)\n'),
        ("c.py", "X = 2\n"),
    ],
    ids=["comments, docstring, layout", "module docstring", "module that is not reached"],
)
def test_what_changes_no_code_changes_nothing(library: Path, file: str, text: str) -> None:
    before = code(library)
    (library / file).write_text(text)
    assert code(library) == before


@pytest.mark.parametrize("file", ["a.py", "sub/b.py", "../script.py"])
def test_a_change_of_reached_code_is_seen(library: Path, file: str) -> None:
    before = code(library)
    with (library / file).open("a") as end:
        end.write("Y = 0\n")
    assert code(library) != before


@pytest.mark.parametrize("name", ["TRAINING", "KEYS"])
def test_what_a_module_tells_registries_is_none_of_what_it_does(library: Path, name: str) -> None:
    seen = []
    for text in (
        "",
        f"{name} = {{'about': 'one'}}\n",
        f"{name} = {{'about': 'two'}}\n",
        f"{name} = dict(about='one')\n",
    ):
        (library / "sub/b.py").write_text(f"import torch\n{text}X = 1\n")
        seen.append(code(library)["source"])
    assert seen[0] == seen[1] == seen[2] != seen[3]


def test_no_code_reads_what_modules_tell_registries() -> None:
    """Else a change of it could change what a job does, and no signature would tell."""
    for path in (SCRIPTS / "idsweep").rglob("*.py"):
        tree = ast.parse(path.read_text())
        told = {target.id for node in tree.body if signature._is_told_to_registries(node) for target in node.targets}
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert not told & read, path
        taken = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("idsweep.training", "idsweep.data"))
            for alias in node.names
        }
        assert not taken & set(signature.TOLD_TO_REGISTRIES), path


def test_modules_loaded_by_name_count_where_they_are_named(library: Path) -> None:
    before = code(library, "idsweep.c")
    (library / "c.py").write_text("X = 2\n")
    assert code(library, "idsweep.c") != before


def test_versions_are_those_of_reached_computing_packages(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "1", "transformers": "1"}
    monkeypatch.setattr(signature, "_version", versions.__getitem__)
    assert code(library)["versions"] == {"torch": "1"}
    before = code(library)
    versions["transformers"] = "2"
    assert code(library) == before
    versions["torch"] = "2"
    assert code(library) != before


def test_only_the_jobs_that_run_a_model_depend_on_torch() -> None:
    needs_torch = {p.stem for p in SCRIPTS.glob("*.py") if "torch" in code_of(p)["versions"]}
    assert "extract_embeddings" in needs_torch
    assert not needs_torch & {"collect_estimates", "draw_figure", "sample_tokens", "train_tokenizer", "train_model"}
    trained = {name for name in kinds.names() if "torch" in training_code(name)["versions"]}
    assert trained == set(kinds.names()) - {"word_vectors"}


def training_code(name: str) -> dict:
    return code_of(SCRIPTS / "train_model.py", (kinds.get(name).module,))


def test_a_training_s_code_reaches_only_jobs_that_do_it() -> None:
    codes = [training_code(name)["source"] for name in kinds.names()]
    assert len(set(codes)) == len(codes)
    closure, _ = signature._closure(SCRIPTS / "train_model.py", (kinds.get("grokking").module,))
    assert "idsweep.training.grokking" in closure
    assert not {"idsweep.training.language_model", "idsweep.training.kinds", "idsweep.data.corpora"} & set(closure)


def test_an_estimator_s_code_reaches_only_jobs_that_use_it() -> None:
    script = SCRIPTS / "estimate_dimensions.py"
    assert code_of(script, ("idsweep.estimators.twonn",)) != code_of(script, ("idsweep.estimators.mle",))
    closure, _ = signature._closure(script, ("idsweep.estimators.mle",))
    assert "idsweep.estimators.mle" in closure
    assert "idsweep.estimators.twonn" not in closure


def test_how_clouds_are_named_makes_no_neighbours_stale() -> None:
    closure, _ = signature._closure(SCRIPTS / "find_neighbors.py", ())
    assert "idsweep.neighbors.clouds" in closure
    assert "idsweep.config.lists" not in closure


def test_scikit_dimension_counts_where_one_of_its_estimators_is_used() -> None:
    script = SCRIPTS / "estimate_dimensions.py"
    assert "scikit-dimension" in code_of(script, ("idsweep.estimators.scikit_dimension",))["versions"]
    assert "scikit-dimension" not in code_of(script, ("idsweep.estimators.twonn",))["versions"]


def test_scikit_learn_counts_where_its_components_and_scores_are_used() -> None:
    scripts = {path.stem for path in SCRIPTS.glob("*.py") if "scikit-learn" in code_of(path)["versions"]}
    assert scripts == {"project_points"}
    using = {name for name in kinds.names() if "scikit-learn" in training_code(name)["versions"]}
    assert using == {"fine_tuned_classifier"}


def test_names_of_settings_count_their_order_does_not() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1, "b": 2}) != digest({"a": 2, "b": 1})
    assert digest({"a": 1}) != digest({"b": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_upstream_counts() -> None:
    assert signature.signature({}, {}, ["x"]) != signature.signature({}, {}, ["y"])


def test_content_of_files_decides_not_their_times(tmp_path: Path) -> None:
    path, memory = tmp_path / "words.txt", tmp_path / "memory" / "digests.jsonl"
    path.write_text("one")
    first = Digests(memory).of([path])
    os.utime(path, (1, 1))
    assert Digests(memory).of([path]) == first
    path.write_text("two")
    path.write_text("three")
    assert Digests(memory).of([path]) != first


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which all files were written long enough ago."""
    monkeypatch.setattr(signature, "TICK", -60.0)


def test_other_content_of_the_same_size_and_time_is_seen(tmp_path: Path, later: None) -> None:
    path, new, memory = tmp_path / "weights", tmp_path / "new", tmp_path / "digests.jsonl"
    path.write_text("one")
    first = Digests(memory).one(path)
    new.write_text("two")
    shutil.copystat(path, new)
    shutil.copy2(new, path)  # in place: the same inode
    copied = Digests(memory).one(path)
    assert copied != first
    new.write_text("six")
    shutil.copystat(path, new)
    new.rename(path)  # another inode
    assert Digests(memory).one(path) not in (first, copied)


def test_a_link_to_other_content_is_seen(tmp_path: Path, later: None) -> None:
    memory, link = tmp_path / "digests.jsonl", tmp_path / "link"
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))
    link.symlink_to("one")
    first = Digests(memory).one(link)
    link.unlink()
    link.symlink_to("two")
    assert Digests(memory).one(link) != first


def test_digests_are_remembered_but_not_of_files_that_have_just_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, memory = tmp_path / "words.txt", tmp_path / "digests.jsonl"
    path.write_text("one")
    first = Digests(memory).one(path)
    assert not memory.exists()
    monkeypatch.setattr(signature, "TICK", -60.0)
    assert Digests(memory).one(path) == first
    monkeypatch.setattr(signature.hashlib, "file_digest", None)
    assert Digests(memory).one(path) == first


def test_each_digest_is_written_once_and_old_ones_are_dropped(
    tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "SPARE_LINES", 2)
    files, memory = [tmp_path / f"{i}.txt" for i in range(3)], tmp_path / "digests.jsonl"
    lines = []
    for round_ in range(4):
        for path in files:
            path.write_text(str(round_))
        Digests(memory).of(files)
        lines.append(len(memory.read_text().splitlines()))
    assert lines == [3, 6, 9, 6]


@pytest.mark.parametrize("damaged", ["{", "[1, 2, 3]\n[[1], 2, 3]\nnull\n7", "\0\xff"])
def test_a_damaged_memory_of_digests_is_made_anew(tmp_path: Path, later: None, damaged: str) -> None:
    path, memory = tmp_path / "words.txt", tmp_path / "digests.jsonl"
    path.write_text("one")
    first = Digests(memory).of([path])
    memory.write_text(damaged)
    assert Digests(memory).of([path]) == first


LIBRARY = {
    "first.py": "from idsweep.room import second, third as other\nfrom idsweep.machine.uncounted import uncounted\n\n\n"
    "def f():\n    return second.g() + other.LIMIT + uncounted('idsweep.rare').h()\n",
    "room/second.py": "from idsweep.room.third import LIMIT as most\n\n\ndef g():\n    return most\n",
    "room/third.py": "LIMIT = 3\n",
    "machine/uncounted.py": "def uncounted(name):\n    return name\n",
    "rare.py": "def h():\n    return 0\n",
}
MOVED = {
    "hall/beginning.py": "from idsweep.hall import limits as other\nfrom idsweep.hall import middle\n"
    "from idsweep.machine.uncounted import uncounted\n\n\n"
    "def f():\n    return middle.g() + other.LIMIT + uncounted('idsweep.hall.seldom').h()\n",
    "hall/middle.py": "from idsweep.hall.limits import LIMIT\n\n\ndef g():\n    return LIMIT\n",
    "hall/limits.py": "LIMIT = 3\n",
    "machine/uncounted.py": "def uncounted(name):\n    return name\n",
    "hall/seldom.py": "def h():\n    return 0\n",
}


def code_in(root: Path, files: dict[str, str], script: str, *modules: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    for name, text in files.items():
        path = root / "idsweep" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    (root / "script.py").write_text(script)
    monkeypatch.setattr(signature, "LIBRARY", root / "idsweep")
    return code(root / "idsweep", *modules)


def test_where_modules_lie_and_how_they_are_called_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_in(
        tmp_path / "a", LIBRARY, "from idsweep.first import f\nf()\n", "idsweep.rare", monkeypatch=monkeypatch
    )
    after = code_in(
        tmp_path / "b",
        MOVED,
        "from idsweep.hall.beginning import f as begin\nbegin()\n",
        "idsweep.hall.seldom",
        monkeypatch=monkeypatch,
    )
    assert after == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("first.py", "second.g()", "second.g() * 2"),
        ("first.py", "second, third as other", "third, second as other"),
        ("room/second.py", "LIMIT as most", "LEAST as most"),
        ("room/third.py", "3", "4"),
        ("rare.py", "0", "1"),
    ],
)
def test_what_an_import_means_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str
) -> None:
    script, changed = "from idsweep.first import f\nf()\n", {**LIBRARY, file: LIBRARY[file].replace(old, new)}
    assert changed != LIBRARY
    both = [
        code_in(tmp_path / name, files, script, "idsweep.rare", monkeypatch=monkeypatch)
        for name, files in (("a", LIBRARY), ("b", changed))
    ]
    assert both[0] != both[1]
