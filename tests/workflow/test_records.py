"""Snakemake's records are lost: what results were made with, their own provenance tells."""

from __future__ import annotations

import shutil

from workflow.checkout import MINI, Project
from workflow.test_staleness import ESTIMATED, FIGURES, TWONN_SET

UNKNOWN = {"write_csv": 7, **FIGURES}  # their files hold no signature


def test_without_records_what_the_configuration_no_longer_says_is_made_again(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")
    assert project.stale() == UNKNOWN
    project.configure(estimator_sets__quick=[TWONN_SET[0] | {"discard_fraction": 0.2}, TWONN_SET[1]])
    assert project.stale() == ESTIMATED | {"estimate_dimensions": 3} | UNKNOWN
    project.configure(
        catalog__models__mini_neox=MINI["catalog"]["models"]["mini_neox"] | {"tokenizer": {"vocabulary_size": 290}}
    )
    stale = project.stale()
    assert stale["train_tokenizer"] == stale["train_language_model"] == 1
    assert (stale["sample_tokens"], stale["extract_embeddings"]) == (1, 2)

    project.configure()
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert project.stale() == {}
