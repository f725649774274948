"""Labels stand where names stood, in tables and in options."""

from __future__ import annotations

import pandas as pd
from idsweep.drawing.labels import label

LABELS = {"model": {"neox": "NeoX", "neox-seed1": "NeoX, seed 1"}, "dataset": {"news": "News"}}


def test_labels_are_in_every_column_and_option_that_names_something() -> None:
    local = pd.DataFrame({"model": ["neox-seed1", "bert"], "group": ["neox", "bert"], "dataset": ["news", "films"]})
    training = pd.DataFrame({"model": ["neox-seed1"], "metric": ["loss"]})
    options = {"models": ["neox", "bert"], "datasets": None, "base": "neox", "scale": "log"}
    (shown, curves), chosen = label([local, training], options, LABELS)
    assert list(shown["model"]) == ["NeoX, seed 1", "bert"] and list(shown["group"]) == ["NeoX", "bert"]
    assert list(shown["dataset"]) == ["News", "films"] and list(curves["model"]) == ["NeoX, seed 1"]
    assert chosen == {"models": ["NeoX", "bert"], "datasets": None, "base": "NeoX", "scale": "log"}
    assert list(local["dataset"]) == ["news", "films"]


def test_no_labels_change_nothing() -> None:
    local = pd.DataFrame({"model": [None], "dataset": ["news"]})
    (shown,), chosen = label([local], {"scale": "log"}, {})
    assert shown.equals(local) and chosen == {"scale": "log"}
