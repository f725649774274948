"""`idsweep measure` before anything runs: what it says and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders.live_trainings import texts
from builders.model_folders import MINILM, save_neox
from idsweep.cli import main
from idsweep.files.packages import path_in_package


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_neox(tmp_path_factory.mktemp("models") / "neox")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(path_in_package(*MINILM) / name, folder / name)
    return folder


@pytest.mark.parametrize("form", ["list", "blank", "lines"])
def test_points_are_as_many_as_the_texts_hold(
    form: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However they are written: a list in one line, with blank lines between, or one a line."""
    rows = [text.strip() for text in texts() if text.strip()]
    written = {
        "list": ("t.json", json.dumps([{"text": row} for row in rows])),
        "blank": ("t.txt", "\n\n\n\n".join(rows)),
        "lines": ("t.txt", "\n".join(rows)),
    }
    name, content = written[form]
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["measure", str(model), "--text", name, "--dry-run"]) == 0
    assert "  2,200 tokens of up to 500 texts" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_called_as_a_dataset(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lee_news.txt").write_text("\n".join(texts()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["measure", str(model), "--text", "lee_news.txt", "-n"]
    assert main([*words, "--dataset", "lee_news"]) == 1
    assert "--dataset lee_news: the file after --text would be called lee_news too" in capsys.readouterr().err
    assert main(words) == 0


def test_layers_from_the_end_come_first(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["measure", str(model), "-n", "--layers", "-1,0"]) == 0
    assert "layers 0, 3 (--layers)" in capsys.readouterr().out


def test_the_model_that_comes_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["measure", "minilm", "-n"]) == 0
    assert "layers all, 0 to 6 (--layers)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["glove-6b-300"], "is a file of word vectors. Name the file, as idsweep measure vectors/glove.6B.300d.txt"),
        (["minilm", "--name", "../x"], "--name: '../x' is no name of a folder of results. Take letters"),
        (["minilm", "--name", ""], "--name: '' is no name of a folder of results"),
        (["minilm", "--", "-n"], "-n after --: say --dry-run before the two dashes"),
        (["minilm", "--", "--until=find_neighbors"], "with it, not all is measured"),
        (["minilm", "--", "--unlock"], "idsweep run results/NAME/sweep.yaml --unlock"),
    ],
)
def test_what_is_refused_at_once(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["measure", *words]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
