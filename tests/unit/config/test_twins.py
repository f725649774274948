"""Each twin that runs offline has the keys of the published experiment, and differs from it in size alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from builders.project import PROJECT

# Published experiment -> its twin.
TWINS = {
    "fine_tuning": "fine_tuning_small",
    "fine_tuning_lora": "fine_tuning_lora_small",
    "fine_tuning_llama": "fine_tuning_lora_small",
    "overfitting": "overfitting_small",
    "local_dimension_and_loss": "local_dimension_and_loss_small",
}
NAMES = {"sweep", "title", "models", "datasets", "catalog"}
# What a small model on little text has of its own, by dotted key: sizes, and names of models, texts and labels. float16 needs a GPU.
SIZES = {
    *("tokens.sequences", "tokens.number", "tokens.max_length", "points.number", "neighbors.number"),
    *("estimator_sets.standard.0.n_neighbors", "figures.*.datasets", "figures.*.models"),
}
SIZES_OF_TRAINING = {
    *("dataset", "validation", "test", "scored_classes", "sequences", "evaluated", "max_length", "steps", "epochs"),
    *("batch_size", "warmup_steps", "learning_rate", "precision", "lora.target_modules"),
}


def read(experiment: str) -> dict[str, Any]:
    return yaml.safe_load((PROJECT / f"config/experiments/{experiment}.yaml").read_text(encoding="utf-8"))


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything inside, lists of plain values as one."""
    inside = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        inside = enumerate(value)
    if not inside:
        yield at, value
    for key, part in inside:
        yield from flat(part, f"{at}.{key}" if at else str(key))


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a sweep without its names; of those that name models or texts, that they are there."""
    found = {}
    for key, value in flat({key: value for key, value in given.items() if key not in NAMES}):
        first, _, rest = key.partition(".")
        anywhere = f"{first}.*.{rest.partition('.')[2]}"
        found[key] = "of its own" if SIZES & {key, anywhere} else value
    # A figure need not name models where there are few.
    return {key: value for key, value in found.items() if not key.startswith("figures.") or not key.endswith(".models")}


def trainings(given: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Training and kind of model -> what is set of those that start from a base. Raises AssertionError where two differ."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, entry in given["catalog"]["models"].items():
        if "base" not in entry:
            continue
        keys = {key: "of its own" if key in SIZES_OF_TRAINING else value for key, value in flat(entry["training"])} | {
            "seeds": "seeds" in entry,
            "kind": entry["kind"],
        }
        assert found.setdefault((entry["train"], entry["kind"]), keys) == keys, name
    return found


@pytest.mark.parametrize(("experiment", "twin"), TWINS.items())
def test_a_twin_differs_in_size_alone(experiment: str, twin: str) -> None:
    published, small = read(experiment), read(twin)
    assert published.keys() == small.keys()
    assert settings(small) == settings(published)
    assert trainings(small) == trainings(published) != {}
    splits = [
        {
            (entry["own_splits"]["by"], entry["own_splits"]["seed"])
            for entry in of_sweep["catalog"]["datasets"].values()
            if "own_splits" in entry
        }
        for of_sweep in (published, small)
    ]
    assert len(splits[1]) == 1 and (splits[0] == splits[1] or not splits[0])


def test_settings_of_the_published_trainings() -> None:
    """The numbers themselves, so that a slip in a file that is copied is seen."""
    common = {"batch_size": 8, "gradient_accumulation": 2, "learning_rate": 5e-5, "weight_decay": 0.01, "seed": 1234}
    common |= {"precision": "float16", "max_length": 512, "sequences": 10000}
    linear = {"steps": 3125, "warmup_steps": 500, "schedule": "linear"}
    updates = {
        "fine_tuning": common | linear | {"choose": "first"},
        "fine_tuning_lora": common | linear | {"choose": "shuffled", "draw_seed": 778},
        "fine_tuning_llama": common | linear | {"choose": "shuffled", "draw_seed": 778},
        "local_dimension_and_loss": common | {"steps": 31250, "schedule": "constant", "choose": "first"},
    }
    saved = dict.fromkeys(updates, "step{400..2800/400,3125}") | {"local_dimension_and_loss": "step{400..31200/2800}"}
    for experiment, expected in updates.items():
        entries = [entry for entry in read(experiment)["catalog"]["models"].values() if "base" in entry]
        for entry in entries:
            assert expected.items() <= entry["training"].items()
            assert entry["checkpoints"] == saved[experiment]
            rows = (
                entry["training"]["steps"]
                * entry["training"]["batch_size"]
                * entry["training"]["gradient_accumulation"]
            )
            assert rows / entry["training"]["sequences"] in (5, 50)  # whole epochs
    projections = {
        name: entry["training"]["lora"]["target_modules"]
        for experiment in ("fine_tuning_lora", "fine_tuning_llama")
        for name, entry in read(experiment)["catalog"]["models"].items()
    }
    for name, modules in projections.items():
        assert modules == (
            ["qkv_proj", "o_proj"] if name.startswith("phi") else ["q_proj", "k_proj", "v_proj", "o_proj"]
        )
