"""Options of figures are checked against the sweep before anything runs."""

from __future__ import annotations

import ast
import copy
import json
import re
from pathlib import Path
from typing import Any

import idsweep.figures as figures_package
import pytest
from builders import sweeps
from builders.copied_library import check_copy, copy_library
from builders.project import CONFIG, RULES, SCRIPTS
from builders.sweeps import NEWS, loaded
from idsweep.config.load import ConfigError, _read_yaml
from idsweep.figures import registry
from idsweep.sweep import figure_checks
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.paths import MADE_BY

LIBRARY = SCRIPTS / "idsweep"
SUMS: dict[str, Any] = {
    "train": "grokking",
    "kind": "encoder",
    "architecture": {"model_type": "equation_decoder", "num_hidden_layers": 2},
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
        ("dynamics", {"band": "yes"}, "band: 'yes' is not known; allowed: true, false, range, std"),
        ("heatmap", {"annotate": 1}, "annotate: 1 is of the wrong type"),
        ("heatmap", {"peaks": []}, "peaks: [] is of the wrong type"),
        ("agreement", {"panel_per_model": "sums"}, "panel_per_model: 'sums' is of the wrong type"),
        ("agreement", {"pairs": [["mle"]]}, "pairs[0]: ['mle'] has 1 items; expected at least 2"),
        ("agreement", {"pairs": [["twonn", "mle"]]}, "pairs: 'mle' is not a global estimate of this sweep"),
        ("violins", {"estimator": None}, "estimator: None is of the wrong type; expected text"),
        ("violins", {"limits": [1, 2, 3]}, "limits: [1, 2, 3] has 3 items; expected at most 2"),
        ("profiles", {"checkpoints": "last"}, "checkpoints: 'last' is not allowed; expected `all`, or a list"),
        ("profiles", {"checkpoints": [15]}, "checkpoints: 15 is not measured; allowed: step0, step10, step20"),
        ("profiles", {"checkpoints": ["step1"]}, "checkpoints: 'step1' is not measured; did you mean"),
        ("grokking", {"layers": [0.5]}, "layers[0]: 0.5 is of the wrong type; expected a whole number"),
        ("grokking", {"layers": 1}, "layers: 1 is of the wrong type"),
        ("grokking", {"layers": [1]}, "layers: layer 1 of sums-fraction0.2 is not measured; measured: 0, 2"),
        ("grokking", {"layers": [-2]}, "layers: layer -2 of sums-fraction0.2 is not measured"),
        ("scales", {"layers": [-3]}, "layers: layer -3 of sums-fraction0.2 is not measured"),
        ("dynamics", {"second_axis": ["a"]}, "second_axis: ['a'] is of the wrong type"),
        ("dynamics", {"second_axis": "accuracy"}, "second_axis: 'accuracy' is not a metric of this sweep; did you mean"),
        ("dynamics-loss", {"second_axis": "accuracy"}, "second_axis: 'accuracy' is not a metric of this sweep; did you mean"),
        ("dynamics-loss", {"second_axes": "loss"}, "second_axes: unknown option of the figure dynamics-loss; did you mean"),
        ("dynamics", {"second_axis": "{split}_accuracy"}, "second_axis: 'all_accuracy' is not a metric of this sweep"),
        ("dynamics", {"second_limits": [0]}, "second_limits: [0] has 1 items; expected at least 2"),
        ("dynamics", {"metrics": ["train_los"]}, "metrics: 'train_los' is not a metric of this sweep; did you mean"),
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
    tuned = sweep.models["org--tuned"]
    assert [held.name for held in figure_checks.checkpoints_drawn(sweep, "shifts", tuned)] == names


def test_shifts_takes_the_checkpoints_of_what_is_compared_alone() -> None:
    with pytest.raises(ConfigError, match=r"figures\.shifts\.checkpoints: 15 is not measured; allowed: step0, step10"):
        shifts_of([15])


def test_grokking_needs_accuracies_of_the_models_it_takes(tmp_path: Path) -> None:
    catalog = {"models": SWEEP["catalog"]["models"]}
    hub = {"models": {"org/hub": None}, "datasets": ["lee_news"], "catalog": catalog}
    with pytest.raises(
        ConfigError, match=r"figures\.grokking: org/hub has no train_accuracy and no validation_accuracy"
    ):
        sweep_of({"grokking": {"models": ["org/hub"]}}, **hub)
    (tmp_path / "a.csv").write_text("step,value\n0,0.5\n")
    metrics = {name: str(tmp_path / "a.csv") for name in registry.needs("grokking")["metrics"]}
    hub["models"] = {"org/hub": {"metrics": metrics}}
    assert sweep_of({"grokking": {"models": ["org/hub"]}, "dynamics": {"second_axis": "train_accuracy"}}, **hub).models
    with pytest.raises(
        ConfigError, match=r"figures\.dynamics\.second_axis: 'train_loss' is not a metric of this sweep"
    ):
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
    with pytest.raises(ConfigError, match=r"figures\.dynamics\.metrics: two has no metric 'f1'; it has train_loss"):
        sweep_of({"dynamics": {"metrics": ["f1"]}}, **given)
    assert sweep_of({"dynamics": {"metrics": ["f1"], "models": ["one"]}}, **given).models


def test_the_schema_knows_the_options_of_all_figures() -> None:
    schema = _read_yaml(CONFIG / "schema.yaml")
    known = schema["$defs"]["figure"]["properties"].keys()
    assert {option for figure in registry.names() for option in registry.options(figure)} == set(known)


RANKS = {
    "train": "lora_embedding",
    "kind": "causal",
    "base": "org/hub",
    "base_checkpoint": "step20",
    "training": {"dataset": "lee_news", "validation": "lee_news", "max_length": 8, "steps": 4, "rank": 1},
    "vary": {"training.rank": [1, 2]},
    "checkpoints": "step{0,4}",
}


def of_models(figures: dict[str, Any], *models: str, layers: list[Any] | None = None, **keys: Any) -> Sweep:
    """A sweep of some of: a causal model and another of the hub, and one whose embeddings are trained at two ranks."""
    catalog = {"models": {"org/hub": HUB, "org/other": HUB, "tuned": RANKS}}
    chosen = {"models": dict.fromkeys(models), "layers": layers or ["input_embeddings", 0], "catalog": catalog}
    return sweep_of(figures, **{"datasets": ["lee_news"]} | chosen | keys)


@pytest.mark.parametrize("figure", ["losses", "perplexity"])
def test_a_figure_of_log_probabilities_needs_a_model_that_predicts(figure: str) -> None:
    assert of_models({figure: {}}, "org/hub").models
    with pytest.raises(ConfigError, match=rf"figures\.{figure}: no model of this sweep predicts tokens"):
        of_models({figure: {}}, "org/hub", extraction={"losses": False})


def test_a_figure_of_comparisons_needs_one() -> None:
    with pytest.raises(ConfigError, match=r"figures\.shifts: no model is compared with another"):
        of_models({"shifts": {}}, "org/hub")


def test_ranks_need_a_varied_rank_and_one_base() -> None:
    figures: dict[str, Any] = {"ranks": {"estimate": "twonn"}}
    assert of_models(figures, "org/hub", "tuned").models
    with pytest.raises(ConfigError, match=r"figures\.ranks: no model of this sweep varies training\.rank"):
        of_models(figures, "org/hub")
    with pytest.raises(ConfigError, match=r"figures\.ranks\.base: .* there is none without training\.rank; measure"):
        of_models(figures, "tuned")
    both = "org/hub", "org/other", "tuned"
    with pytest.raises(ConfigError, match=r"figures\.ranks\.base: .* there are org/hub, org/other; measure"):
        of_models(figures, *both)
    assert of_models({"ranks": {"estimate": "twonn", "base": "org/other"}}, *both).models
    with pytest.raises(
        ConfigError, match=r"figures\.ranks\.base: 'org/othr' is not a model of this sweep; did you mean"
    ):
        of_models({"ranks": {"estimate": "twonn", "base": "org/othr"}}, *both)
    with pytest.raises(
        ConfigError, match=r"figures\.ranks\.estimate: 'mle' is not a global estimate .*; allowed: twonn"
    ):
        of_models({"ranks": {}}, "org/hub", "tuned")


def test_representations_that_a_figure_shows_are_measured() -> None:
    assert of_models({"redundancy": {}, "ranks": {"estimate": "twonn"}}, "org/hub", "tuned").models
    for figure, model in (("redundancy", "org/hub"), ("ranks", "tuned")):
        with pytest.raises(
            ConfigError, match=rf"figures\.{figure}: no model of this sweep has input_embeddings; add it"
        ):
            of_models({figure: {}}, model, layers=[0])
    with pytest.raises(ConfigError, match=r"figures\.redundancy: no model of this sweep has output_embeddings"):
        of_models({"redundancy": {"representations": ["output_embeddings"]}}, "org/hub")
    with pytest.raises(ConfigError, match=r"figures\.redundancy\.static: 'word2vec' is not a model of this sweep"):
        of_models({"redundancy": {"static": ["word2vec"]}}, "org/hub")


def test_the_beginning_of_estimates_names_them_where_a_figure_says_so() -> None:
    several = {"all": [{"estimator": "twonn", "scope": "local", "n_neighbors": [16, 32]}]}
    for figure in ("sensitivity", "violins"):
        assert sweep_of({figure: {"estimator": "twonn-n_neighbors16"}}, estimator_sets=several).models
    assert sweep_of({"sensitivity": {}}, estimator_sets=several).models
    with pytest.raises(
        ConfigError, match=r"figures\.violins\.estimator: 'twonn' is not a local estimate of this sweep"
    ):
        sweep_of({"violins": {}}, estimator_sets=several)


def test_figures_that_need_texts_are_refused_without_them() -> None:
    matrices = {"layers": ["input_embeddings"], "datasets": []}
    given = matrices | {"models": {"org/hub": None}, "catalog": {"models": {"org/hub": HUB}}}
    assert sweep_of({"redundancy": {}, "tokens": {}}, **given).models
    with pytest.raises(ConfigError, match=r"figures: heatmap show layers, .* or choose from nulls, ranks, redundancy"):
        sweep_of({"redundancy": {}, "violins": {}, "heatmap": {}}, **given)


# ---- what figures say


def test_every_figure_says_what_it_needs_in_known_words() -> None:
    for name in registry.names():
        needs = registry.needs(name)
        assert needs.keys() == registry.NEEDS.keys()
        assert all(type(needs[key]) is type(usual) or usual is None for key, usual in registry.NEEDS.items())
    assert registry.needs("heatmap") == registry.NEEDS
    assert all(f"    {key}: " in figures_package.__doc__ for key in registry.NEEDS)


def test_an_unknown_need_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_module", lambda name: ast.parse("NEEDS = {'layer': 'places'}"))
    with pytest.raises(ValueError, match=r"heatmap\.py: NEEDS has layer; known are texts, log_probabilities"):
        registry.needs("heatmap")


def strings(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_no_figure_is_named_outside_the_figures() -> None:
    """Some names are also those of tables, trainings or keys of the config; in the checks of figures none may stand."""
    schema = _read_yaml(CONFIG / "schema.yaml")
    others = {*MADE_BY, *schema["properties"], *schema["properties"]["extraction"]["properties"]}
    others |= {path.stem for path in (LIBRARY / "training").glob("*.py")}
    others |= {path.name for path in CONFIG.parent.iterdir() if path.is_dir()}
    names = set(registry.names())
    assert not strings(LIBRARY / "sweep/figure_checks.py") & names
    for package in ("sweep", "planning", "workflow"):
        for path in sorted((LIBRARY / package).glob("*.py")):
            assert not strings(path) & (names - others), path
    for path in sorted(RULES.glob("*.smk")):
        quoted = set(re.findall(r"[\"'](\w+)[\"']", path.read_text(encoding="utf-8")))
        assert not quoted & (names - others), path


ASKED: dict[str, list[dict[str, Any]]] = {
    "losses": [{}],
    "shifts": [{}, {"checkpoints": [15]}],
    "ranks": [{}, {"estimate": "twonn"}],
    "redundancy": [{}, {"representations": ["output_embeddings"]}],
    "scales": [{"layers": [-3]}, {"layers": [-2]}],
    "sensitivity": [{"estimator": "twon"}, {"estimator": "twonn"}],
    "grokking": [{}, {"layers": [-2]}],
    "tokens": [{"estimator": "twonn-16"}],
    "perplexity": [{}],
    "violins": [{"estimator": "twon"}],
}
TELL = """
import copy, json, sys
from pathlib import Path
from idsweep.config.load import ConfigError, load
from idsweep.sweep.expand import expand

given, asked = json.loads(sys.argv[2])
for figure, all_options in asked.items():
    for options in all_options:
        try:
            expand(load(copy.deepcopy({**given, "figures": {figure: options}}), Path(sys.argv[1])))
            print(figure, options, "taken")
        except ConfigError as error:
            print(figure, options, error.complaints)
"""
OF_HUB = {
    "sweep": "s",
    "models": {"org/hub": None},
    "datasets": ["lee_news"],
    "layers": [0, 2],
    "catalog": {"models": {"org/hub": HUB}},
}


@pytest.mark.slow
def test_checks_know_figures_by_what_they_say_and_not_by_name(tmp_path: Path) -> None:
    """Every figure renamed, in a copy of the library, is checked as before."""
    several = [{"estimator": "twonn", "scope": "local", "n_neighbors": n, "name": f"twonn-{n}"} for n in (16, 32)]
    given = OF_HUB | {"extraction": {"losses": False}, "estimator_sets": {"all": several}}
    copy_library(tmp_path / "a")
    before = check_copy(tmp_path / "a", TELL, json.dumps([given, ASKED]))
    library = copy_library(tmp_path / "b")
    for name in registry.names():
        (library / f"figures/{name}.py").rename(library / f"figures/{name}_anew.py")
    renamed = {f"{name}_anew": options for name, options in ASKED.items()}
    after = check_copy(tmp_path / "b", TELL, json.dumps([given, renamed]))
    assert after.replace("_anew", "") == before
    lines = dict(
        zip([(name, i) for name, all in ASKED.items() for i in range(len(all))], before.splitlines(), strict=True)
    )
    assert lines["scales", 1].endswith("taken") and "layer -3 of org/hub is not measured" in lines["scales", 0]
    assert lines["sensitivity", 1].endswith("taken") and lines["tokens", 0].endswith("taken")
    assert all("predicts tokens" in lines[name, 0] for name in ("losses", "perplexity"))
    assert "is compared with another" in lines["shifts", 0] and "has no train_accuracy" in lines["grokking", 0]
    assert "varies training.rank" in lines["ranks", 1] and "no model of this sweep has" in lines["redundancy", 1]


STAIRCASE = '''
NEEDS = {"log_probabilities": True, "metrics": ("train_accuracy",), "layers": "places"}


def draw(local, losses, *, layers=None, measure="rank"):
    """A staircase."""
'''


def test_a_new_figure_is_one_file(tmp_path: Path) -> None:
    """It is drawn from the tables that it names, and checked by what it says that it needs."""
    (copy_library(tmp_path) / "figures/staircase.py").write_text(STAIRCASE)
    asked = [{"layers": [-2]}, {"layers": [1]}, {"measure": "rnk"}, {"limits": [0, 1]}]
    told = check_copy(tmp_path, TELL, json.dumps([OF_HUB, {"staircase": asked}])).splitlines()
    assert len(told) == 4
    assert "figures.staircase: org/hub has no train_accuracy;" in told[0] and "staircase.layers" not in told[0]
    assert "figures.staircase.layers: layer 1 of org/hub is not measured; measured: 0, 2" in told[1]
    assert "figures.staircase.measure: 'rnk' is not known; did you mean 'rank'" in told[2]
    assert "figures.staircase.limits: unknown option of the figure staircase" in told[3]
    silent = OF_HUB | {"extraction": {"losses": False}}
    (line,) = check_copy(tmp_path, TELL, json.dumps([silent, {"staircase": [{}]}])).splitlines()
    assert "figures.staircase: no model of this sweep predicts tokens" in line
    inputs = """
        import sys
        from pathlib import Path
        from idsweep.config.load import load
        from idsweep.sweep.expand import expand
        from idsweep.workflow.job_graph import JobGraph

        (Path(sys.argv[2]) / "accuracy.csv").write_text("step,value\\n0,0.5\\n")
        metrics = {"train_accuracy": sys.argv[2] + "/accuracy.csv"}
        given = {"sweep": "s", "models": {"tiny_neox": {"metrics": metrics}}, "datasets": ["lee_news"]}
        given |= {"figures": {"staircase": {}}, "tokens": {"max_length": 128}}
        graph = JobGraph(expand(load(given, Path(sys.argv[1]))))
        print(*graph.inputs("draw_figure", figure="staircase").values())
        """
    files = check_copy(tmp_path, inputs, str(tmp_path)).split()
    assert files == ["results/s/tables/local.parquet", "results/s/tables/losses.parquet"]
