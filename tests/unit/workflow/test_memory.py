"""Errors that mean that memory ran out, whoever raises them."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.workflow import memory


def wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as inner:
            raise ValueError("weights cannot be loaded") from inner
    except ValueError as outer:
        return outer


def numpy_s() -> Exception:
    with pytest.raises(MemoryError) as raised:
        np.ones(2**48)
    return raised.value


def torch_s() -> Exception:
    torch = pytest.importorskip("torch")

    with pytest.raises(RuntimeError) as raised:
        torch.ones(2**48)
    return raised.value


@pytest.mark.parametrize("error", [numpy_s, torch_s])
def test_it_is_known_by_itself_and_as_a_cause(error) -> None:
    given = error()
    assert memory.ran_out(given) is given
    assert memory.ran_out(wrapped(given)) is given
    said = memory.explain(given, "extract_embeddings", 8000)
    assert said.startswith("memory ran out in extract_embeddings (its mem_mb was 8,000): ")
    assert "--set-resources extract_embeddings:mem_mb=MB" in said
    assert "\n" not in said


def test_other_errors_are_not() -> None:
    assert memory.ran_out(wrapped(KeyError("k"))) is None
