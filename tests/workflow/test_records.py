"""Snakemake's records are lost: what results were made with, their own provenance tells."""

from __future__ import annotations

import shutil

from workflow.checkout import MINI, Project
from workflow.test_staleness import ESTIMATED, FIGURES, REPORT, TWONN_SET


def test_without_records_what_the_configuration_no_longer_says_is_made_again(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")
    assert project.stale() == {}
    project.configure(estimator_sets__quick=[TWONN_SET[0] | {"discard_fraction": 0.2}, TWONN_SET[1]])
    assert project.stale() == ESTIMATED | {"estimate_dimensions": 3}
    project.configure(figures__violins={"datasets": ["lee_news"]})
    assert project.stale() == {"draw_figure": 1, **REPORT}
    project.configure(
        catalog__models__mini_neox=MINI["catalog"]["models"]["mini_neox"] | {"tokenizer": {"vocabulary_size": 290}}
    )
    stale = project.stale()
    assert stale["train_tokenizer"] == stale["train_language_model"] == 1
    assert (stale["sample_tokens"], stale["extract_embeddings"]) == (1, 2)

    # Without their logs nothing is known of what is no Parquet.
    project.configure()
    shutil.rmtree(project.results / "logs")
    assert project.stale() == {"write_csv": 9, **FIGURES}
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert project.stale() == {}


def test_a_partial_run_measures_nothing(project: Project) -> None:
    """Whatever is missing, and whatever Snakemake takes for newer."""
    for file in (project.results / "tokens").rglob("*.parquet"):
        file.touch()
    assert project.stale("--config", "partial=True") == {}
    for lost, left_out in (("predictions/mini_neox/step4", "step4"), ("estimates/quick/mini_neox/step0", "step0")):
        shutil.rmtree(project.results / lost)
        stale = project.stale("--config", "partial=True")
        assert stale.keys() <= {
            "collect_contrasts",
            "collect_estimates",
            "collect_losses",
            "collect_training",
            "detect_events",
            "write_csv",
            *FIGURES,
        }, left_out
        assert stale
    done = project.snakemake("--config", "partial=True")
    assert done.returncode == 0, done.stdout
    assert "mini_neox @ step0" in done.stdout
    assert "mini_neox @ step4" in done.stdout
