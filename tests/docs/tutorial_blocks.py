"""The blocks of code of a page, as one script of bash that does what a reader would do."""

from __future__ import annotations

import re
import shlex

BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def script(markdown: str) -> str:
    """All blocks in their order: one with a title is saved under it, one of bash is run, one of Python is run where bash then is.

    Blocks of text are what commands print, and are left out. So are those of console, whose command another test runs.
    """
    parts = ["set -eu -o pipefail"]
    for block in BLOCK.finditer(markdown):
        language, title, code = block["language"], block["title"], block["code"]
        if title:
            parts.append(f"cat > {shlex.quote(title)} << 'END OF BLOCK'\n{code}END OF BLOCK")
        elif language == "bash":
            parts.append(code)
        elif language == "python":
            parts.append(f"python - << 'END OF BLOCK'\n{code}END OF BLOCK")
    return "\n".join(parts) + "\n"
