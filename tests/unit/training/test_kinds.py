"""What trainings say of themselves: it fits what their functions take, and is read without their code."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from idsweep.planning import jobs
from idsweep.planning.jobs import COSTS_OF_TRAININGS
from idsweep.training import fine_tuning, kinds, language_model
from idsweep.training.from_base import OF_THE_DRAW

PROJECT = Path(__file__).parents[3]
# The function behind each training, and what the workflow gives it beside the keys of `training:`.
FUNCTIONS = {
    "dialogue_state_tracker": "train_tracker",
    "fine_tuned_classifier": "fine_tune_classifier",
    "fine_tuned_language_model": "fine_tune_language_model",
    "grokking": "train_grokking",
    "language_model": "train_language_model",
    "lora_embedding": "train_lora_embedding",
    "word_vectors": "train_word_vectors",
}
GIVEN = {"architecture", "base_name", "checkpoints", "device", "identity", "kind", "loading", "tokenizer_options"}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules of trainings."""
    caches = (kinds.names, kinds.get, kinds.by_rule, kinds._assigned)
    monkeypatch.setattr(kinds, "FOLDER", tmp_path)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def test_they_are_the_modules_that_say_so() -> None:
    assert set(kinds.names()) == set(FUNCTIONS)
    assert [kinds.get(name).rule for name in kinds.names()] == [
        *("train_dialogue_state_tracker", "fine_tune_classifier", "fine_tune_language_model", "train_grokking"),
        *("train_language_model", "train_lora_embedding", "train_word_vectors"),
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keys_and_defaults_are_those_of_the_function(name: str) -> None:
    training = kinds.get(name)
    function = getattr(import_module(training.module), FUNCTIONS[name])
    taken = dict(inspect.signature(function).parameters)
    if "settings" in taken:  # what it hands on
        taken |= inspect.signature(import_module("idsweep.training.fine_tuning").fine_tune).parameters
    keywords = {key: one.default for key, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}
    read_before = {*training.texts, *training.share.values()} | ({*OF_THE_DRAW} if training.from_base else set())
    read_before |= {"seed"} if name == "grokking" else set()  # that of the split
    left_out = {"save", "objective", "adam_epsilon"} - training.keys.keys()
    left_out |= {"lora_embedding": {"lora", "freeze"}, "dialogue_state_tracker": {"lora"}}.get(name, set())
    assert training.keys.keys() - read_before == keywords.keys() - GIVEN - left_out
    for key, part in training.keys.items():
        if key == "adam_epsilon":
            continue  # others leave it at PyTorch's
        if keywords.get(key, inspect.Parameter.empty) is not inspect.Parameter.empty and "default" in part:
            assert list(part["default"]) == list(keywords[key]) if key == "freeze" else part["default"] == keywords[key]


def test_what_is_said_of_low_rank_updates_is_what_is_taken() -> None:
    said = kinds.get("fine_tuned_language_model").keys["lora"]["properties"]
    assert {*said, "modules_to_save"} == set(fine_tuning.LORA_KEYS)
    assert all("default" in said[key] for key in fine_tuning.NEEDED_LORA_KEYS)


def test_plans_count_the_evaluations_that_trainings_make() -> None:
    assert jobs.REGULAR_EVALUATIONS == fine_tuning.REGULAR_EVALUATIONS == language_model.REGULAR_EVALUATIONS
    assert jobs.TOKENS_IN_AN_EVALUATION == language_model.TOKENS_IN_AN_EVALUATION


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_they_say_is_a_schema_and_known_elsewhere(name: str) -> None:
    training = kinds.get(name)
    for schema in training.schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert set(training.required) <= training.keys.keys()
    assert all(part.get("description") for part in training.keys.values())
    assert set(training.texts) <= training.keys.keys() and set(training.share.values()) <= training.keys.keys()
    assert training.cost in COSTS_OF_TRAININGS and training.cost is not None
    assert callable(import_module(training.module).train)


def test_they_are_read_by_the_standard_library_alone() -> None:
    """The profile of a cluster does so before anything else is there."""
    code = "import runpy, sys, json; before = set(sys.modules); found = runpy.run_path(sys.argv[1]); print(json.dumps(["
    code += "found['with_gpu'](), sorted({name.split('.')[0] for name in set(sys.modules) - before})]))"
    file = PROJECT / "workflow_scripts/idsweep/training/kinds.py"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    rules, loaded = json.loads(done.stdout)
    assert rules == kinds.with_gpu() and "train_word_vectors" not in rules
    assert set(loaded) <= sys.stdlib_module_names


def test_keys_of_another_module_and_enums_by_the_name_of_a_tuple(library: Path) -> None:
    (library / "shared.py").write_text("KEYS = {'a': {'enum': 'ONE'}, 'b': {'type': 'null'}}\nONE = (1, 2)\n")
    said = {"about": "x.", "kinds": {"causal": {}}, "keys_of": "shared", "keys_left_out": ("b",)}
    said["keys"] = {"c": {"enum": "TWO", "default": [1]}}
    (library / "new.py").write_text(f"import nowhere\nTWO = ('x',)\nTRAINING = {said}\n")
    assert kinds.names() == ("new",)
    assert kinds.get("new").schemas()["training"] == {
        "type": "object",
        "additionalProperties": False,
        "required": [],
        "properties": {"a": {"enum": [1, 2]}, "c": {"enum": ["x"], "default": [1]}},
    }
    assert kinds.get("new").rule == "train_new"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{'about': 'x.', 'kinds': {}, 'metric': ()}", r"training/new\.py: TRAINING has no key 'metric'; it may have .*metrics"),
        ("{'about': 'x.'}", r"training/new\.py: TRAINING lacks the key 'kinds'"),
        ("{'about': len('x.')}", r"training/new\.py: TRAINING must be a literal"),
        ("{'about': 'x.', 'kinds': {}, 'keys': {'a': {'enum': 'NO'}}}", r"must be a literal, whose enums .*'NO'"),
        ("{'about': 'x.', 'kinds': {}, 'keys_of': 'other'}", r"training/other\.py has no KEYS at its top level"),
    ],
)  # fmt: skip
def test_what_is_wrong_about_them_is_told(library: Path, said: str, message: str) -> None:
    (library / "new.py").write_text(f"import torch\nTRAINING = {said}\n")
    (library / "other.py").write_text("KINDS = ()\n")
    with pytest.raises(ValueError, match=message):
        kinds.get("new")
    with pytest.raises(ValueError, match="There is no training 'old'; the trainings are new"):
        kinds.get("old")


def test_kinds_metrics_and_keys_depend_on_what_is_given() -> None:
    language_model, grokking = kinds.get("language_model"), kinds.get("grokking")
    given: dict[str, Any] = {"dataset": "d", "steps": 1}
    assert language_model.kinds_of(given) == ["causal", "encoder"]
    assert language_model.kinds_of(given | {"masking": 0.1}) == ["masked", "encoder"]
    classifier = kinds.get("fine_tuned_classifier")
    assert len(classifier.metrics_of({})) == 8 and len(classifier.metrics_of({"test": "t"})) == 12
    assert grokking.shaping({"dataset": "d", "steps": 5}) == {"steps": 5}
    assert kinds.makers_of("static") == ["word_vectors"] and kinds.trained_on("equations") == "grokking"
