"""A program that matches patterns with names, run in a process of its own that the system ends when its seconds are used up.

python matching.py SECONDS; it reads JSON from its input, [forms of each pattern, names], and prints the number of each pattern
before it begins with it, and "done" at the end.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys


def main() -> None:
    """Match everything."""
    seconds = int(sys.argv[1])
    with contextlib.suppress(ImportError):  # on Windows the caller's timeout alone counts
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    patterns, names = json.load(sys.stdin)
    for number, forms in enumerate(patterns):
        print(number, flush=True)
        for form in forms:
            with contextlib.suppress(Exception):  # PEFT says what is wrong
                pattern = re.compile(form)
                for name in names:
                    pattern.match(name)
                    pattern.fullmatch(name)
    print("done", flush=True)


if __name__ == "__main__":
    main()
