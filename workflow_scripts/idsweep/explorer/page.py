"""The page itself: its template, style and scripts, and what was packed, in one file that needs no network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from idsweep.files.atomic import whole_or_nothing

FOLDER = Path(__file__).with_name("web")
# In the order in which they are read; each uses what stands before it.
SCRIPTS = (
    "unpack",
    "safe_text",
    "statistics",
    "colours",
    "state",
    "measured",
    "downloads",
    "drawing",
    "heatmap",
    "curves",
    "profiles",
    "distribution",
    "tokens",
    "main",
)
VENDORED = ("uPlot.iife.min.js", "uPlot.min.css")
IMPORT = re.compile(r"^import (\{[^}]*\}) from \"\./(\w+)\.js\";$", re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function|const) (\w+)", re.MULTILINE)
PLACE = re.compile(r"<!-- (\w+) -->")


def script() -> str:
    """All scripts of the page as one: each a function that is called once, with its imports as names of what those before it gave.

    Pages that are opened from disk load no modules from other files.
    """
    return "\n".join(["const modules = {};", *(_called(name) for name in SCRIPTS)])


def _called(name: str) -> str:
    text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    given = ", ".join(EXPORT.findall(text))
    text = IMPORT.sub(lambda found: f"const {found[1].replace(' as ', ': ')} = modules.{found[2]};", text)
    text = EXPORT.sub(lambda found: found[0].removeprefix("export "), text)
    return f"modules.{name} = (() => {{\n{text}\nreturn {{ {given} }};\n}})();"


def write_page(path: str | Path, title: str, packs: Mapping[str, str]) -> None:
    """Write the page. packs: name -> what `packing.pack` made."""
    library, library_style = ((FOLDER / "vendor" / name).read_text(encoding="utf-8") for name in VENDORED)
    parts = {
        "title": escape(title),
        "style": f"<style>\n{library_style}\n{(FOLDER / 'style.css').read_text(encoding='utf-8')}</style>",
        "packs": "\n".join(
            f'<script type="text/plain" id="pack-{escape(name)}">{packed}</script>' for name, packed in packs.items()
        ),
        "scripts": f"<script>{library}</script>\n<script>(() => {{\n'use strict';\n{script()}\n}})();</script>",
    }
    page = PLACE.sub(lambda found: parts[found[1]], (FOLDER / "page.html").read_text(encoding="utf-8"))
    with whole_or_nothing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
