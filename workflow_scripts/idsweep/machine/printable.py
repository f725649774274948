"""Text from elsewhere on its way to a terminal or a log."""

from __future__ import annotations

import re

# Control characters (with ESC begin codes that move the cursor, hide or recolour text, or set a clipboard), line separators,
# marks that change the order in which text is read, and halves of pairs, which no terminal can write. Not tab and line feed.
UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with what a terminal would obey, and not show, written out: ESC becomes \x1b."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
