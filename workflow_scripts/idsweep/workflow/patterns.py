"""Regular expressions of many names that are matched in the time of one."""

from __future__ import annotations

import re
from collections.abc import Iterable


def one_of(names: Iterable[str]) -> str:
    """Regular expression of exactly these names; one that matches nothing if there are none.

    Names that begin alike share their beginning: of `a|b|c …`, Python would try one name after the other, for each path of
    each rule, and plans of thousands of datasets would take the square of their number.
    """
    tree: dict[str, dict] = {}
    for name in names:
        place = tree
        for letter in name:
            place = place.setdefault(letter, {})
        place[END] = {}
    return _pattern(tree) if tree else "(?!)"


END = ""  # in place of a letter: a name ends here


def _pattern(tree: dict[str, dict]) -> str:
    """Names are short, but a path may be 4,096 letters: letters without a choice are taken in a loop, choices by recursion."""
    said = ""
    while len(tree) == 1 and END not in tree:
        ((letter, tree),) = tree.items()
        said += re.escape(letter)
    choices = [re.escape(letter) + _pattern(rest) for letter, rest in sorted(tree.items()) if letter != END]
    if not choices:
        return said
    return f"{said}(?:{'|'.join(choices)}){'?' if END in tree else ''}"
