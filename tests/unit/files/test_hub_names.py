"""Ids and revisions that no hub has are told before it is asked."""

from __future__ import annotations

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from idsweep.files.hub_names import wrong_id, wrong_revision

WRONG = [
    "a/../b",
    "../b",
    "a/b\n",
    "/etc",
    "a//b",
    "a/b/c",
    "a b/c",
    "",
    ".",
    "a/..",
    "-a/b",
    "a/b.git",
    "a/b--c",
    "a" * 97,
    "café/x",
]


@pytest.mark.parametrize("name", ["gpt2", "EleutherAI/pythia-70m", "a/b.c_d-e", "0/1", "a1/Qwen2.5-0.5B"])
def test_an_id_is_taken(name: str) -> None:
    validate_repo_id(name)
    assert wrong_id(name) is None


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_id_is_told(name: str) -> None:
    with pytest.raises(HFValidationError):
        validate_repo_id(name)
    assert "is no id on the hub; expected ACCOUNT/NAME" in wrong_id(name)


@pytest.mark.parametrize(
    "name", ["main", "v1.0", "refs/pr/1", "step143000", "a" * 40, "stage1-step10-tokens1B", "wip+2"]
)
def test_a_revision_is_taken(name: str) -> None:
    assert wrong_revision(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "main\n",
        "a b",
        "..",
        "a/../b",
        "-x",
        "",
        "/a",
        "a/",
        "a//b",
        "main?x=1",
        "a\tb",
        "x" * 256,
        "a.lock",
        "a%2e",
        "\u2028",
    ],
)
def test_what_is_no_revision_is_told(name: str) -> None:
    assert "is no revision" in wrong_revision(name)
