"""Published settings beside those of the experiments."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from builders import published_tables
from builders.project import CONFIG
from idsweep.config import published

NAMES = published.names(CONFIG)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_holds_what_the_configuration_says(name: str) -> None:
    expected = "\n".join(published_tables.folded(name))
    assert published_tables.written(name, published_tables.PAGE) == expected, "make published writes the page anew"


def test_every_experiment_of_a_paper_has_its_published_settings() -> None:
    """A twin, and what is smaller by name, has those of its paper's scale; the others are nobody's."""
    experiments = {path.stem for path in (CONFIG / "experiments").glob("*.yaml")}
    own = {"neighborhood_size", "twenty_thousand_tokens", "smollm2", "pythia", "pythia_70m"}
    smaller = {name for name in experiments if re.search("_(small|hour|laptop)$", name)}
    assert set(NAMES) == experiments - own - smaller


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A `config/` of one experiment, whose published side says one thing."""
    shutil.copytree(CONFIG / "catalog", tmp_path / "catalog")
    shutil.copy(CONFIG / "schema.yaml", tmp_path)
    (tmp_path / "experiments/published").mkdir(parents=True)
    shutil.copy(CONFIG / "experiments/grokking.yaml", tmp_path / "experiments/mine.yaml")
    return tmp_path


def _say(folder: Path, **setting: object) -> None:
    page = {"source": "a paper", "settings": [{"setting": "thing"} | setting]}
    (folder / "experiments/published/mine.yaml").write_text(yaml.safe_dump(page))


def test_a_value_decides_whether_a_setting_is_the_same(folder: Path) -> None:
    _say(folder, published=[64, 128], key="estimator_sets.standard.*.n_neighbors")
    assert published.compare("mine", folder) == (
        "a paper",
        [published.Row("thing", "[64, 128]", "`n_neighbors: [64, 128]`", None)],
    )
    _say(folder, published=512, key="catalog.models.*.training.batch_size")
    assert published.compare("mine", folder)[1][0].differs is None, "a default counts"
    _say(folder, published="half", key="catalog.models.*.training.batch_size", equals=256, why="memory")
    assert published.compare("mine", folder)[1][0].differs == "memory"
    assert "| thing | half | `batch_size: 512` | **no**: memory |" in published.table("mine", folder)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"published": 1, "key": "points.seed"}, "it differs (`seed: 778`); say why"),
        ({"published": 778, "key": "points.seed", "why": "so"}, "it is the same, so no reason is needed"),
        ({"published": 1, "key": "points.sed"}, "the configuration has no points.sed"),
        ({"published": 1}, "it needs either a key or ours"),
        ({"published": 1, "ours": "this", "key": "points.seed"}, "it needs either a key or ours"),
        ({"published": 1, "ours": "this", "in": "idsweep.nowhere"}, "there is no module idsweep.nowhere"),
        ({"published": 1, "keys": "points.seed"}, "unknown field keys"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder: Path, setting: dict[str, object], complaint: str) -> None:
    _say(folder, **setting)
    with pytest.raises(ValueError, match=r"mine\.yaml: setting 'thing'") as error:
        published.compare("mine", folder)
    assert complaint in str(error.value)


def test_the_command_prints_a_table_and_names_the_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    from idsweep.cli import main

    assert main(["published", "grokking"]) == 0
    assert capsys.readouterr().out == published.table("grokking", CONFIG)
    assert main(["published", "grocking"]) == 1
    assert "grokking_division" in capsys.readouterr().err
