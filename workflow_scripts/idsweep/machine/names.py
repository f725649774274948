"""Names that were meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any


def nearest_name(given: Any, allowed: Iterable[str]) -> str | None:
    """The allowed name most like the given one, whatever its case and its hyphens; None if none is like it."""
    by_form = {_form(name): name for name in allowed}
    near = difflib.get_close_matches(_form(given), by_form, n=1)
    return by_form[near[0]] if near else None


def _form(name: Any) -> str:
    return re.sub(r"[\W_]", "", str(name)[:200]).lower() or str(name)[:200]
