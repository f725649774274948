"""What rules ask of a scheduler."""

from __future__ import annotations

import re

import pytest
from builders.project import RULES


def rules() -> list[tuple[str, str]]:
    """(name, text) of every rule; the one of all trainings has none."""
    text = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
    parts = re.split(r"^ *rule ?(\w*):", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("name", "text"), rules(), ids=[name for name, _ in rules()])
def test_memory_and_time_grow_by_attempt_and_retries_are_the_profile_s(name: str, text: str) -> None:
    assert re.search(r"^ +mem_mb=growing\(", text, flags=re.MULTILINE)
    assert re.search(r"^ +runtime=growing\(", text, flags=re.MULTILINE)
    assert "retries" not in text  # a rule's own retries also loop inside one allocation
    assert ("device=COMPUTE" in text) == ("gpu=gpus_of" in text or '"gpu": gpus_of' in text)
