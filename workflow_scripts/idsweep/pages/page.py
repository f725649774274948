"""A page in one file that needs no network: a template with its style, its scripts and what was packed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from idsweep.files.atomic import whole_or_nothing

SHARED = Path(__file__).with_name("web")
IMPORT = re.compile(r"^import (\{[^}]*\}) from \"(?:\.\.?/)+(?:\w+/)*(\w+)\.js\";$", re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function|const) (\w+)", re.MULTILINE)
PLACE = re.compile(r"<!-- (\w+) -->")


def write_page(
    path: str | Path,
    *,
    folder: Path,
    scripts: Sequence[str],
    title: str,
    packs: Mapping[str, str],
    vendored: Sequence[str] = (),
    parts: Mapping[str, str] | None = None,
) -> None:
    """Write a page.

    Parameters
    ----------
    folder
        Holds page.html and style.css, and scripts that are not shared.
    scripts
        Names of scripts in the order in which they are read; each uses what stands before it.
    title
        Plain text.
    packs
        Name -> what `packing.pack` made.
    vendored
        Scripts (.js) and styles (.css) of `folder`/vendor, which come first.
    parts
        What else stands in the template's places, `<!-- name -->`: name -> HTML.
    """
    libraries = {name: (folder / "vendor" / name).read_text(encoding="utf-8") for name in vendored}
    styles = [text for name, text in libraries.items() if name.endswith(".css")]
    styles += [one.read_text(encoding="utf-8") for one in (SHARED / "theme.css", folder / "style.css")]
    called = "\n".join(["const modules = {};", *(_called(folder, name) for name in scripts)])
    filled = {
        "title": escape(title),
        "style": "<style>\n{}</style>".format("\n".join(styles)),
        "packs": "\n".join(
            f'<script type="text/plain" id="pack-{escape(name)}">{packed}</script>' for name, packed in packs.items()
        ),
        "scripts": "\n".join(
            [
                *(f"<script>{text}</script>" for name, text in libraries.items() if name.endswith(".js")),
                f"<script>(() => {{\n'use strict';\n{called}\n}})();</script>",
            ]
        ),
    } | dict(parts or {})
    page = PLACE.sub(lambda found: filled[found[1]], (folder / "page.html").read_text(encoding="utf-8"))
    with whole_or_nothing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def script_file(folder: Path, name: str) -> Path:
    """Where a script of a page lies: in its folder, or among those that pages share."""
    own = folder / f"{name}.js"
    return own if own.exists() else SHARED / own.name


def _called(folder: Path, name: str) -> str:
    """A script as a function that is called once, with its imports as names of what those before it gave.

    Pages that are opened from disk load no modules from other files.
    """
    text = script_file(folder, name).read_text(encoding="utf-8")
    given = ", ".join(EXPORT.findall(text))
    text = IMPORT.sub(lambda found: f"const {found[1].replace(' as ', ': ')} = modules.{found[2]};", text)
    text = EXPORT.sub(lambda found: found[0].removeprefix("export "), text)
    return f"modules.{name} = (() => {{\n{text}\nreturn {{ {given} }};\n}})();"
