"""Regular expressions in configs from elsewhere: whether matching them comes to an end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SECONDS = 5  # of a core, in which all patterns must have been matched with all names
DEEPEST = 20
# Forms in which PEFT and transformers match what a config holds with the names of modules.
FORMS = ("{}", r"(.*\.)?({})$", r"(^|.*\.){}($|\..*)", r"(?:^|.*?\.){}\.(?P<idx>\d+)\.", r".*\.{}$", r"(?:{})(?:\.|$)")
PLAIN = re.compile(r"[\w.\-/ ]*")  # names, in which a dot stands for one character

# In a process of its own, which the system ends when its time is used up.
MATCH = """
import contextlib, json, re, sys
with contextlib.suppress(ImportError):  # on Windows the timeout alone counts
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
patterns, names = json.load(sys.stdin)
for number, forms in enumerate(patterns):
    print(number, flush=True)
    for form in forms:
        with contextlib.suppress(Exception):  # PEFT says what is wrong
            compiled = re.compile(form)
            for name in names:
                compiled.match(name), compiled.fullmatch(name)
print("done", flush=True)
"""


def check_patterns(said: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ValueError if a pattern in a config does not come to an end, matched with the names of a model's modules.

    They are matched in a process of its own, which the system ends when its time is used up.
    """
    patterns = [(key, text) for key, text in _texts(said) if not PLAIN.fullmatch(text)]
    if patterns and (endless := _endless([text for _, text in patterns], list(names))) is not None:
        key, text = patterns[endless]
        raise ValueError(
            f"its {key} holds the pattern {_short(text)}, which does not come to an end within {SECONDS} seconds of matching. "
            "Write the names of the modules instead"
        )


def _texts(value: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Key at the top and text of everything that is one, of keys below the top too."""
    if depth > DEEPEST:
        raise ValueError(f"its {at} is more than {DEEPEST} levels deep")
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if at:
                yield at, key
            yield from _texts(item, at or key, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, at, depth + 1)


def _endless(patterns: list[str], names: list[str]) -> int | None:
    """The first pattern with which the time is used up; None if all come to an end."""
    forms = [[form.replace("{}", pattern) for form in FORMS] for pattern in patterns]
    names = [*names, *(f"base_model.model.{name}" for name in names)]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MATCH.replace("SECONDS", str(SECONDS))],
            input=json.dumps([forms, names]),
            capture_output=True,
            text=True,
            timeout=60 * SECONDS,
        )
        said = done.stdout
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode()
    reached = said.split()
    return None if reached[-1:] == ["done"] else int(reached[-1]) if reached else 0


def _short(text: str) -> str:
    text = repr(text)
    return text if len(text) <= 80 else f"{text[:77]}…"
