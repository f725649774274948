"""report.html: the results of a sweep in sentences, figures and tables, and what made them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from idsweep.drawing.labels import label
from idsweep.files.benchmarks import Usage, usage
from idsweep.files.parquet import read_table
from idsweep.pages.packing import pack
from idsweep.pages.page import write_page
from idsweep.report.about import read_about
from idsweep.report.sentences import describe_results
from idsweep.report.shown_tables import describe_columns

WEB = Path(__file__).with_name("web")
SCRIPTS = ("unpack", "safe_text", "focus", "numbers", "controls", "report")
SAID_OF = ("local", "global", "contrasts")
LITERAL = re.compile(r"``?([^`]+)``?")


def write_report(
    path: str | Path,
    *,
    title: str,
    tables: Mapping[str, str | Path],
    figures: Mapping[str, str | Path],
    captions: Mapping[str, Mapping[str, str]],
    about: str | Path,
    results: str | Path,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    has_explorer: bool = False,
) -> None:
    """Write the page.

    Parameters
    ----------
    title
        Plain text.
    tables
        Name -> Parquet file; `local` and `global` are needed.
    figures
        Name -> PNG, in the order in which they stand.
    captions
        Of `figures` and of `tables`: name -> caption, in which `literals` stand between backticks.
    about
        What `about.write_about` wrote.
    results
        Folder of the sweep's results, in which Snakemake wrote down what jobs took, or did not.
    labels
        Of `model` and of `dataset`: name -> what it is called in sentences, where that is another.
    has_explorer
        Whether explorer.html stands beside the page.
    """
    read = {name: read_table(file) for name, file in tables.items()}
    names = [name for name in SAID_OF if name in read]
    frames, _ = label([read[name].to_pandas() for name in names], {}, labels or {})
    sentences = describe_results(dict(zip(names, frames, strict=True)))
    packs, described = {}, []
    for name, table in read.items():
        packs[name] = pack(describe_columns(table))
        caption = LITERAL.sub(r"\1", captions["tables"][name])
        described.append({"name": name, "caption": caption, "n_rows": len(table), "pack": name})
    # A pack's name is an id of the page, and no table is called so.
    packs = {"tables": pack(described)} | packs
    write_page(
        path,
        folder=WEB,
        scripts=SCRIPTS,
        title=title,
        packs=packs,
        parts={
            "summary": "\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences),
            "links": _links(has_explorer),
            "figures": "\n".join(_figure(name, file, captions["figures"][name]) for name, file in figures.items()),
            "made": f"<h2>How it was made</h2>\n{read_about(about)}\n{_jobs(usage(results))}",
        },
    )


def _links(has_explorer: bool) -> str:
    links = {"#figures": "Figures", "#tables": "Tables", "#made": "How it was made"}
    if has_explorer:
        links = {"explorer.html": "Explorer: every layer, checkpoint and token"} | links
    return "\n".join(f'<a href="{target}">{text}</a>' for target, text in links.items())


def _figure(name: str, file: str | Path, caption: str) -> str:
    kind, _, which = name.partition("-")
    called = ", ".join(part.replace("_", " ") for part in (kind.capitalize(), which) if part)
    stem = f"figures/{Path(file).stem}"
    picture = base64.b64encode(Path(file).read_bytes()).decode()
    said = LITERAL.sub(r"<code>\1</code>", escape(caption))
    return (
        f'<figure id="figure-{escape(name)}"><img src="data:image/png;base64,{picture}" alt="{escape(called)}">'
        f"<figcaption><b>{escape(called)}.</b> {said} "
        f'<a href="{escape(stem)}.pdf">PDF</a> <a href="{escape(stem)}.svg">SVG</a></figcaption></figure>'
    )


def _jobs(used: Mapping[str, Usage]) -> str:
    if not used:
        return ""
    rows = "".join(
        f"<tr><td>{escape(rule)}</td>"
        + "".join(
            f'<td class="number">{number:,.0f}</td>'
            for number in (one.jobs, one.seconds, one.core_seconds, one.memory / 1e6)
        )
        + "</tr>"
        for rule, one in sorted(used.items(), key=lambda item: -item[1].seconds)
    )
    heads = "".join(
        f'<th scope="col">{text}</th>' for text in ("rule", "jobs", "seconds", "core seconds", "most memory, MB")
    )
    return (
        "<h3>Jobs</h3>\n<p>What they took when they last ran, added up; <code>snakemake --report</code> makes a page of the jobs and their code.</p>"
        f'\n<div class="scrolls"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
