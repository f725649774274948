"""Searches and estimates ask for more memory than they take, and for more where there is more; `make bench-memory` measures large ones."""

from __future__ import annotations

import pytest

from benchmarks import memory
from benchmarks.memory import GRAPHS, Size, asked

SMALL = Size(1_000, 64, 16, GRAPHS)
LARGE = Size(20_000, 768, 32, ("lpca local",))


@pytest.mark.parametrize("size", [SMALL, Size(1_500, 1_024, 16, ("lpca local", "participation_ratio global"))])
def test_a_job_takes_less_than_it_asks_for(size: Size) -> None:
    measured = memory.measured(size)
    assert 1e8 < measured < asked(size) < 4 * measured


@pytest.mark.parametrize("size", [Size(1_500, 1_024, 16, ()), Size(1_000, 64, 256, (), noise=0.1)])
def test_a_search_takes_less_than_it_asks_for(size: Size) -> None:
    measured = memory.measured(size)
    assert 1e8 < measured < asked(size) < 6 * measured


def test_more_is_asked_for_where_there_is_more() -> None:
    for bigger in (
        {"number": 40_000},
        {"width": 1_536},
        {"neighbors": 64},
        {"sampled": 200_000},
        {"layers": 8},
        {"estimators": ("lpca local", "effective_rank global", "persistent_homology global")},
    ):
        assert asked(LARGE._replace(**bigger)) > asked(LARGE), bigger
    assert asked(LARGE._replace(nulls=())) < asked(LARGE), "no null to draw"
    assert asked(LARGE._replace(estimators=("twonn local",))) < asked(LARGE), "no vectors to read"
    search = LARGE._replace(estimators=())
    for bigger in ({"number": 40_000}, {"width": 1_536}, {"neighbors": 64}, {"sampled": 200_000}):
        assert asked(search._replace(**bigger)) > asked(search), bigger
    assert len(memory.SIZES) >= 12
