"""Names on the Hugging Face hub, as configurations give them: what cannot be one is told before anything is asked for."""

from __future__ import annotations

import re

PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
IDENTIFIER = re.compile(rf"{PART}(?:/{PART})?")
LONGEST = 96  # characters of an id
LONGEST_REVISION = 255
# What git allows in the name of a branch or tag, without what addresses would read otherwise.
REVISION = re.compile(r"[^\s\x00-\x20\x7f~^:?*\[\\#%{}\"'<>|`&;$@!()]+")


def wrong_id(name: str) -> str | None:
    """What is wrong about an id of a repository, as the end of a complaint; None if it can be one."""
    if len(name) <= LONGEST and IDENTIFIER.fullmatch(name) and not re.search(r"\.\.|--|\.git$", name):
        return None
    return (
        f"{name!r} is no id on the hub; expected ACCOUNT/NAME, of ASCII letters, digits, '_', '.' and '-', without '..' and '--', "
        f"of at most {LONGEST} characters"
    )


def wrong_revision(name: str) -> str | None:
    """What is wrong about the name of a branch, tag or commit, as the end of a complaint; None if it can be one."""
    fits = len(name) <= LONGEST_REVISION and REVISION.fullmatch(name) is not None
    if (
        fits
        and not name.startswith(("-", "/", "."))
        and not name.endswith(("/", ".", ".lock"))
        and not re.search(r"\.\.|//|/\.", name)
    ):
        return None
    return f"{name[:60]!r} is no revision; expected a commit, or a branch or tag as git names them, without white space and '..'"
