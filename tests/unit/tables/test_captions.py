"""Every table has a caption of its own, which names what it holds and reads as text."""

from __future__ import annotations

import pytest
from docutils.core import publish_parts
from idsweep.tables.captions import CAPTIONS
from idsweep.workflow.paths import MADE_BY


def test_every_table_has_a_caption_of_its_own() -> None:
    assert CAPTIONS.keys() == MADE_BY.keys()
    assert len(set(CAPTIONS.values())) == len(CAPTIONS)


@pytest.mark.parametrize("table", CAPTIONS)
def test_a_caption_is_a_paragraph_without_faults(table: str) -> None:
    settings = {"report_level": 1, "halt_level": 1}
    body = publish_parts(CAPTIONS[table], writer="html", settings_overrides=settings)["fragment"]
    assert body.count("<p>") == 1 and CAPTIONS[table].endswith(".")
