"""Lists of values in a sweep: which clouds and estimates they make, how these are named, and what lists may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.sweeps import NEWS
from idsweep.config.lists import clouds, estimates
from idsweep.sweep.models import safe
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph

SWEEP = NEWS | {"models": {"minilm": {"layers": [-1]}}}
TWONN = {"estimator": "twonn", "scope": "local", "n_neighbors": 16}


def load(**changes: Any) -> dict[str, Any]:
    return sweeps.loaded(SWEEP | changes)


def sweep_of(**changes: Any) -> Sweep:
    return sweeps.sweep_of(SWEEP | changes)


def complaints(**changes: Any) -> list[str]:
    return sweeps.complaints_of(SWEEP | changes)


def test_single_settings_are_the_cloud_points() -> None:
    assert clouds([{"number": 500, "noise": 0.1}]) == {"points": {"number": 500, "noise": 0.1}}


def test_lists_are_every_combination_named_after_what_differs() -> None:
    assert clouds([{"number": [500, 1000], "noise": [0, 0.1], "seed": 7}]) == {
        "number500-noise0": {"number": 500, "noise": 0, "seed": 7},
        "number500-noise0.1": {"number": 500, "noise": 0.1, "seed": 7},
        "number1000-noise0": {"number": 1000, "noise": 0, "seed": 7},
        "number1000-noise0.1": {"number": 1000, "noise": 0.1, "seed": 7},
    }


def test_what_two_settings_describe_is_one_cloud() -> None:
    made = clouds([{"number": [200, 400], "noise": 0}, {"number": 400, "noise": [0, 0.1]}])
    assert list(made) == ["number200-noise0", "number400-noise0", "number400-noise0.1"]
    assert list(clouds([{"number": 400, "seed": 0}, {"number": [400], "seed": [0]}])) == ["points"]


def test_what_is_not_said_has_its_default_before_names_are_given() -> None:
    """A cloud that says its default is the cloud that leaves it out."""
    made = load(points=[{"number": 300}, {"number": [300, 200], "noise": [0, 0.5]}])["clouds"]
    assert list(made) == ["number300-noise0", "number300-noise0.5", "number200-noise0", "number200-noise0.5"]
    assert {cloud["seed"] for cloud in made.values()} == {778}


def test_names_are_safe_as_paths_and_tell_signs_apart() -> None:
    kinds = ["all", "count>=10", "count<10", "count=10", "word_start"]
    made = clouds([{"tokens": kinds, "sequences": [None, 20], "center": [True, False]}])
    assert len(made) == len(kinds) * 4
    assert all(safe(name) == name for name in made)
    assert {name.split("-")[0] for name in made} == {
        "tokensall", "tokenscount_from_10", "tokenscount_below_10", "tokenscount_is_10", "tokensword_start"
    }  # fmt: skip
    assert {name.split("-", 1)[1] for name in made} == {
        "sequencesall-centertrue", "sequencesall-centerfalse", "sequences20-centertrue", "sequences20-centerfalse"
    }  # fmt: skip


def test_estimates_of_lists_are_named_after_their_values() -> None:
    items = [
        {"estimator": "twonn", "scope": "local", "n_neighbors": [16, 64]},
        {"estimator": "mle", "scope": "global", "name": "likelihood", "n_neighbors": [10], "unbiased": [True, False]},
        {"estimator": "mle", "scope": "local", "n_neighbors": 20},
    ]
    made = estimates(items, label="estimator")
    assert [item.get("name") for item in made] == [
        "twonn-n_neighbors16",
        "twonn-n_neighbors64",
        "likelihood-n_neighbors10-unbiasedtrue",
        "likelihood-n_neighbors10-unbiasedfalse",
        None,
    ]
    assert [(item["n_neighbors"], item.get("unbiased")) for item in made] == [
        (16, None), (64, None), (10, True), (10, False), (20, None)
    ]  # fmt: skip
    assert made[-1] == items[-1]


def test_a_sweep_without_lists_is_as_it_was() -> None:
    given = load(points={"number": 300})
    assert given["clouds"] == {"points": given["points"]}
    assert given["points"]["number"] == 300


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"points": {"number": []}}, "points.number: the list is empty; name at least one value"),
        ({"points": []}, "points: the list is empty; name at least one value"),
        ({"points": {"number": [500, 500]}}, "points.number: [500, 500] names a value twice"),
        ({"points": [{"number": 500}, {"number": 500}]}, "points: [{'number': 500}, {'number': 500}] names a value twice"),
        ({"points": {"number": [500, "many"]}}, "points.number[1]: 'many' is of the wrong type; expected a whole number"),
        ({"points": [{"number": [500]}, {"noise": [0, -1]}]}, "points[1].noise[1]: -1 is out of range; it must be ≥ 0"),
        ({"points": {"tokens": ["all", "count>10"]}}, "points.tokens[1]: 'count>10' is not allowed; it must match"),
        ({"points": [{"numbr": 500}]}, "points[0].numbr: unknown key; did you mean 'number'?"),
        ({"points": "many"}, "points: 'many' is of the wrong type; expected a mapping"),
        (
            {"estimator_sets": {"standard": [TWONN | {"n_neighbors": []}]}},
            "estimator_sets.standard[0].n_neighbors: the list is empty",
        ),
        (
            {"estimator_sets": {"standard": [TWONN | {"n_neighbors": [16, 16]}]}},
            "estimator_sets.standard[0].n_neighbors: [16, 16] names a value twice",
        ),
    ],
)  # fmt: skip
def test_a_wrong_list_is_told_with_the_place_of_what_is_wrong(changes: dict[str, Any], expected: str) -> None:
    (complaint,) = complaints(**changes)
    assert complaint.startswith(expected)


def test_a_wrong_value_in_an_estimator_s_list_is_told() -> None:
    (complaint,) = complaints(estimator_sets={"standard": [TWONN | {"n_neighbors": [16, 1]}]})
    assert "estimator_sets.standard[1].n_neighbors: 1 is out of range" in complaint


def test_two_estimates_of_one_name_are_told() -> None:
    lists = [TWONN | {"n_neighbors": [8, 16]}, TWONN | {"name": "twonn-n_neighbors16"}]
    (complaint,) = complaints(estimator_sets={"standard": lists})
    assert "a second local estimate named 'twonn-n_neighbors16'; give it a `name` of its own" in complaint


def test_more_neighbours_than_the_largest_cloud_has_points_are_told() -> None:
    (complaint,) = complaints(points={"number": [50, 100]}, neighbors={"number": 100})
    assert (
        "neighbors.number: 100 neighbours cannot be found among points.number = 100 points; expected at most 99"
        in complaint
    )


def test_a_small_cloud_is_measured_by_the_estimates_that_it_has_neighbours_for() -> None:
    sweep = sweep_of(
        points={"number": [10, 40, 300]},
        neighbors={"number": 64},
        figures={},
        estimator_sets={
            "near": [{"estimator": "twonn", "scope": "global"}],
            "far": [{"estimator": "twonn", "scope": "local", "n_neighbors": [16, 39, 64]}],
        },
    )
    assert [sweep.neighbors(cloud) for cloud in ("number10", "number40", "number300")] == [4, 39, 64]
    held = {cloud: [item["n_neighbors"] for item in sweep.items("far", cloud)] for cloud in sweep.config["clouds"]}
    assert held == {"number10": [], "number40": [16, 39], "number300": [16, 39, 64]}
    files = [(cloud.cloud, set) for cloud in sweep.clouds() for set, _ in sweep.estimates(cloud)]
    assert files == [
        ("number10", "near"),
        ("number40", "near"),
        ("number40", "far"),
        ("number300", "near"),
        ("number300", "far"),
    ]


def test_every_cloud_has_a_neighbours_file_of_its_own_and_one_forward_pass() -> None:
    sweep = sweep_of(points={"number": [200, 300], "seed": [0, 1]})
    assert len(list(sweep.passes())) == 1
    assert [cloud.cloud for cloud in sweep.clouds()] == [
        "number200-seed0", "number200-seed1", "number300-seed0", "number300-seed1"
    ]  # fmt: skip


def test_counts_of_vocabularies_need_a_dataset_to_count_in() -> None:
    of_matrix = {"models": {"minilm": {"layers": ["input_embeddings"]}}, "datasets": [], "figures": {}}
    points = [{"number": 300}, {"number": 300, "tokens": "count>=10"}]
    (complaint,) = complaints(**of_matrix, points=points)
    assert (
        "points.tokens: 'count>=10'" in complaint
        and "name the dataset to count in with vocabulary.counted_in" in complaint
    )
    counted = sweep_of(**of_matrix, points=points, vocabulary={"counted_in": "lee_news"})
    assert list(counted.corpora) == ["lee_news"]
    (complaint,) = complaints(**of_matrix, points=points, vocabulary={"counted_in": "lee_new"})
    assert "vocabulary.counted_in: 'lee_new' is not in the catalog" in complaint
    assert sweep_of(points=points), "tokens of texts are counted in their own sequences"


@pytest.mark.parametrize("kind", ["special", "continuation"])
def test_static_vectors_have_no_pieces_of_words_and_no_special_tokens(kind: str) -> None:
    vectors = {"train": "word_vectors", "kind": "static", "training": {"dataset": "lee_news", "algorithm": "word2vec"}}
    given = {"models": {"words": None}, "datasets": [], "figures": {}, "catalog": {"models": {"words": vectors}}}
    (complaint,) = complaints(**given, points={"tokens": ["all", kind]})
    assert complaint.startswith(
        f"points.tokens: {kind!r} selects nothing from words, whose static vectors stand for whole words"
    )
    assert sweep_of(
        **given, points={"tokens": ["all", "text", "word_start", "count<10"]}, vocabulary={"counted_in": "lee_news"}
    )
    assert sweep_of(points={"tokens": ["all", "continuation"]}), "texts have pieces"


def test_special_tokens_must_be_among_the_sampled_ones() -> None:
    (complaint,) = complaints(points={"tokens": "special"})
    assert (
        complaint
        == "points.tokens: 'special' needs special tokens, and tokens.select: text leaves them out; set it to all"
    )
    assert sweep_of(points={"tokens": "special"}, tokens={"select": "all"})
    of_matrix = {"models": {"minilm": {"layers": ["input_embeddings"]}}, "datasets": [], "figures": {}}
    (complaint,) = complaints(**of_matrix, points={"tokens": "special"}, vocabulary={"select": "text"})
    assert "and vocabulary.select: text leaves them out" in complaint
    assert sweep_of(**of_matrix, points={"tokens": "special"})


def test_means_over_sequences_have_no_counts() -> None:
    (complaint,) = complaints(points={"tokens": "count<10"}, tokens={"select": "mean"})
    assert complaint.startswith("points.tokens: 'count<10' selects tokens, but with `tokens: {select: mean}`")


def graph(folder: Path, **changes: Any) -> JobGraph:
    return sweeps.graph_of(sweep_of(**changes), folder)


def test_another_value_of_a_list_makes_stale_its_own_clouds_alone(tmp_path: Path) -> None:
    at = {"model": "minilm", "checkpoint": "final", "dataset": "lee_news"}
    one = graph(tmp_path, points=[{"number": 300, "noise": [0, 0.1, 0.2]}])
    two = graph(tmp_path, points=[{"number": 300, "noise": [0, 0.1, 0.3]}])
    for rule, names in (
        ("find_neighbors", at),
        ("estimate_dimensions", at | {"part": "standard", "layers": "layers_0-6"}),
    ):
        for cloud in ("noise0", "noise0.1"):
            assert one.signature(rule, cloud=cloud, **names) == two.signature(rule, cloud=cloud, **names)
        other = one.signature(rule, cloud="noise0.2", **names), two.signature(rule, cloud="noise0.3", **names)
        assert other[0] != other[1]
    assert one.signature("extract_embeddings", **at) == two.signature("extract_embeddings", **at)
    assert one.signature("collect_estimates") != two.signature("collect_estimates")


def test_code_for_noise_counts_for_noisy_clouds_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from idsweep.workflow import job_graph as module

    loaded: dict[str, set[str]] = {}
    code_of = module.code_of
    job = graph(tmp_path, points=[{"number": 300, "noise": [0, 0.1]}])
    for cloud in ("noise0", "noise0.1"):
        seen: set[str] = set()
        monkeypatch.setattr(
            module, "code_of", lambda script, modules, seen=seen: seen.update(modules) or code_of(script, modules)
        )
        job.signature("find_neighbors", model="minilm", checkpoint="final", dataset="lee_news", cloud=cloud)
        loaded[cloud] = seen
    assert "idsweep.neighbors.hausdorff" in loaded["noise0.1"] - loaded["noise0"]
