"""The states before the final norm go through a whole run beside the layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import transformers
from idsweep.files.vectors import read_embeddings, representations

from workflow.checkout import Project


def test_the_states_before_the_norm_of_a_trained_model_are_measured_from_the_same_pass(project: Project) -> None:
    project.configure(
        models={"mini_neox": {"checkpoints": ["step4"], "layers": [-1, "before_final_norm"]}}, figures={"violins": {}}
    )
    assert project.stale()["extract_embeddings"] == 1
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    file = project.results / "embeddings/mini_neox/step4/lee_news.parquet"
    assert representations(file) == ["layer_0", "layer_1", "layer_2", "before_final_norm"]
    folder = project.results / "training/mini_neox/checkpoints/step4"
    norm = transformers.AutoModel.from_pretrained(folder).final_layer_norm
    with torch.no_grad():
        last = norm(torch.from_numpy(read_embeddings(file, "before_final_norm"))).numpy()
    np.testing.assert_allclose(last, read_embeddings(file, 2), atol=1e-5)
    local = pd.read_parquet(project.results / "tables/local.parquet").query("estimator == 'twonn'")
    assert set(local["representation"]) == {"layer_2", "before_final_norm"}
    assert local.set_index("representation")["layer"].isna().to_dict()["before_final_norm"] is True
