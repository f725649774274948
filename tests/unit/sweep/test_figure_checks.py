"""Options of figures are checked against the sweep before anything runs."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.project import CONFIG
from builders.sweeps import NEWS, loaded
from idsweep.config.load import ConfigError, _read_yaml
from idsweep.figures import registry
from idsweep.sweep import figure_checks
from idsweep.sweep.sweep import Sweep

SUMS: dict[str, Any] = {
    "train": "grokking",
    "kind": "causal",
    "architecture": {"model_type": "gpt2", "num_hidden_layers": 2, "max_position_embeddings": 8},
    "training": {"dataset": "sums_7", "steps": 20, "batch_size": 8},
    "vary": {"training.fraction": [0.2, 0.5]},
    "seeds": [3, 4],
    "checkpoints": "step{0..20/10}",
}
HUB = {"hub": "a/b", "kind": "causal", "layers": 2, "checkpoints": "step{0..20/10}"}
SWEEP = {
    "sweep": "s",
    "models": {"sums": {"vary": {"training.fraction": [0.2]}}},
    "datasets": ["sums_7"],
    "layers": [0, 2],
    "catalog": {
        "models": {"sums": SUMS, "org/hub": HUB},
        "datasets": {"sums_7": {"loader": "equations", "task": "addition", "modulus": 7}},
    },
}
ESTIMATES = [
    {"estimator": "twonn", "scope": "local"},
    {"estimator": "mle", "scope": "local"},
    {"estimator": "twonn", "scope": "global"},
]


def sweep_of(figures: dict[str, Any], **keys: Any) -> Sweep:
    given = SWEEP | {"estimator_sets": {"all": ESTIMATES}, "figures": figures} | keys
    return sweeps.sweep_of(given)


@pytest.mark.parametrize(
    "figures",
    [
        {"grokking": {"models": ["sums"], "layers": [-1], "steps": "log", "band": False}},
        {"grokking": {"models": ["sums-fraction0.2"], "datasets": ["sums_7"], "estimator": "mle", "layers": [0, 2]}},
        {
            "dynamics": {
                "models": ["sums-fraction0.2-seed3"],
                "second_axis": "train_accuracy",
                "metrics": ["train_loss"],
            }
        },
        {"profiles": {"checkpoints": [0, "step20"]}},
        {"profiles": {"checkpoints": "all"}},
        {
            "profiles": None,
            "violins": {"limits": [0, 20], "models": None},
            "heatmap": {"annotate": False, "peaks": False},
        },
        {"agreement": {"pairs": [["mle", "twonn"]], "panel_per_model": True, "scale": "log"}},
        {"scales": {"layers": [0, -2]}, "nulls": {"estimators": ["mle"]}},
    ],
)
def test_options_that_name_what_is_there_are_taken(figures: dict[str, Any]) -> None:
    assert sweep_of(figures).config["figures"] == figures


@pytest.mark.parametrize(
    ("figure", "options", "complaint"),
    [
        ("dynamics", {"models": "sums"}, "models: 'sums' is of the wrong type; expected a list"),
        ("dynamics", {"models": []}, "models: [] is empty; name at least one"),
        ("dynamics", {"models": ["sum"]}, "models: 'sum' is not known; did you mean 'sums'?"),
        ("dynamics", {"models": ["sums-fraction0.5"]}, "models: 'sums-fraction0.5' is not known; did you mean 'sums-fraction0.2'"),
        ("dynamics", {"datasets": "sums_7"}, "datasets: 'sums_7' is of the wrong type"),
        ("dynamics", {"steps": "linaer"}, "steps: 'linaer' is not known; did you mean 'linear'?"),
        ("dynamics", {"band": "yes"}, "band: 'yes' is of the wrong type; expected true or false"),
        ("heatmap", {"annotate": 1}, "annotate: 1 is of the wrong type"),
        ("heatmap", {"peaks": []}, "peaks: [] is of the wrong type"),
        ("agreement", {"panel_per_model": "sums"}, "panel_per_model: 'sums' is of the wrong type"),
        ("agreement", {"pairs": [["mle"]]}, "pairs[0]: ['mle'] has 1 items; expected at least 2"),
        ("agreement", {"pairs": [["twonn", "mle"]]}, "pairs: 'mle' is no global estimate of this sweep"),
        ("violins", {"estimator": None}, "estimator: None is of the wrong type; expected text"),
        ("violins", {"limits": [1, 2, 3]}, "limits: [1, 2, 3] has 3 items; expected at most 2"),
        ("profiles", {"checkpoints": "last"}, "checkpoints: 'last' is not allowed; expected `all`, or a list"),
        ("profiles", {"checkpoints": [15]}, "checkpoints: 15 is not measured; allowed: step0, step10, step20"),
        ("profiles", {"checkpoints": ["step1"]}, "checkpoints: 'step1' is not measured; did you mean"),
        ("grokking", {"layers": [0.5]}, "layers[0]: 0.5 is of the wrong type; expected a whole number"),
        ("grokking", {"layers": 1}, "layers: 1 is of the wrong type"),
        ("grokking", {"layers": [1]}, "layers: 1 is not measured of sums-fraction0.2; measured: 0, 2"),
        ("grokking", {"layers": [-2]}, "layers: -2 is not measured of sums-fraction0.2"),
        ("scales", {"layers": [-3]}, "layers: -3 is not measured of sums-fraction0.2"),
        ("dynamics", {"second_axis": ["a"]}, "second_axis: ['a'] is of the wrong type"),
        ("dynamics", {"second_axis": "accuracy"}, "second_axis: 'accuracy' is no metric of this sweep; did you mean"),
        ("dynamics", {"metrics": ["train_los"]}, "metrics: 'train_los' is no metric of this sweep; did you mean"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_drawn_is_told(figure: str, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"figures.{figure}.{complaint}")):
        sweep_of({figure: options})


def shifts_of(checkpoints: Any) -> Sweep:
    """A sweep of one model and its base, which has a checkpoint of its own."""
    tuned = HUB | {"tokenizer": {"of": "org/base"}}
    catalog = {"models": {"org/tuned": tuned, "org/base": HUB | {"checkpoints": "step{15}"}}}
    return sweep_of(
        {"shifts": {"checkpoints": checkpoints}},
        models={"org/tuned": None, "org/base": None},
        datasets=["lee_news"],
        comparisons=[{"model": "org/tuned", "base": "org/base"}],
        catalog=catalog,
    )


@pytest.mark.parametrize(
    ("checkpoints", "names"),
    [
        (None, ["step20"]),
        ([10], ["step10"]),
        (["step20", 0], ["step0", "step20"]),
        ("all", ["step0", "step10", "step20"]),
    ],
)
def test_shifts_needs_the_points_of_the_checkpoints_that_it_draws(checkpoints: Any, names: list[str]) -> None:
    sweep = shifts_of(checkpoints)
    assert [held.name for held in figure_checks.shifted(sweep, sweep.models["org--tuned"])] == names


def test_shifts_takes_the_checkpoints_of_what_is_compared_alone() -> None:
    with pytest.raises(ConfigError, match=r"figures\.shifts\.checkpoints: 15 is not measured; allowed: step0, step10"):
        shifts_of([15])


def test_grokking_needs_accuracies_of_the_models_it_takes(tmp_path: Path) -> None:
    catalog = {"models": SWEEP["catalog"]["models"]}
    hub = {"models": {"org/hub": None}, "datasets": ["lee_news"], "catalog": catalog}
    with pytest.raises(
        ConfigError, match=r"figures\.grokking: org--hub has no train_accuracy and no validation_accuracy"
    ):
        sweep_of({"grokking": {"models": ["org/hub"]}}, **hub)
    (tmp_path / "a.csv").write_text("step,value\n0,0.5\n")
    metrics = {name: str(tmp_path / "a.csv") for name in figure_checks.ACCURACIES}
    hub["models"] = {"org/hub": {"metrics": metrics}}
    assert sweep_of({"grokking": {"models": ["org/hub"]}, "dynamics": {"second_axis": "train_accuracy"}}, **hub).models
    with pytest.raises(ConfigError, match=r"figures\.dynamics\.second_axis: 'train_loss' is no metric of this sweep"):
        sweep_of({"dynamics": {"second_axis": "train_loss"}}, **hub)


def test_a_metric_of_one_model_is_not_asked_of_another(tmp_path: Path) -> None:
    neox = loaded(NEWS)["catalog"]["models"]["tiny_neox"]
    catalog = {"models": {"one": neox, "two": copy.deepcopy(neox)}}
    (tmp_path / "a.csv").write_text("step,value\n0,0.5\n")
    given = {
        "models": {"one": {"metrics": {"f1": str(tmp_path / "a.csv")}}, "two": None},
        "datasets": ["lee_news"],
        "tokens": {"max_length": 128},
        "catalog": catalog,
    }
    with pytest.raises(ConfigError, match=r"figures\.dynamics\.metrics: two has no metric 'f1', but train_loss"):
        sweep_of({"dynamics": {"metrics": ["f1"]}}, **given)
    assert sweep_of({"dynamics": {"metrics": ["f1"], "models": ["one"]}}, **given).models


def test_the_schema_knows_the_options_of_all_figures() -> None:
    schema = _read_yaml(CONFIG / "schema.yaml")
    known = schema["$defs"]["figure"]["properties"].keys()
    assert {option for figure in registry.names() for option in registry.options(figure)} == set(known)


def test_grokking_takes_the_accuracies_that_are_checked() -> None:
    from idsweep.figures import grokking

    assert grokking.ACCURACIES == figure_checks.ACCURACIES
