"""What the site shows beside the pages in docs/: pages from elsewhere in the repository, links between them, and generated parts.

Nothing here needs MkDocs; `hooks.py` calls it while the site is built.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]

# File of the repository -> page of the site. They are read where they are, so that nothing is said twice.
PAGES_FROM_ELSEWHERE = {
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
# Figures that need more than a small sweep: picture, what it shows, and where it is explained.
PICTURES_OF_EXPERIMENTS = {
    "grokking": ("images/grokking.png", "models that learn addition", "training.md#grokking-beside-what-was-published"),
    "ranks": ("images/lora_embedding.png", "low-rank embeddings", "experiments.md#low-rank-embeddings"),
    "sensitivity": ("images/sensitivity.png", "settings of the measurement", "experiments.md#sensitivity"),
}
# What the reference of Python documents: title of a group, what stands above it, name -> where it is defined.
PYTHON = (
    (
        "Results of a sweep",
        "",
        {"idsweep.load": "idsweep.results.load", "Results": "idsweep.results.Results"},
    ),
    (
        "Estimates of any cloud of points",
        "[estimators.md](estimators.md) says which one to use.",
        {
            "idsweep.estimate_local": "idsweep.estimators.registry.estimate_local",
            "idsweep.estimate_mean": "idsweep.estimators.registry.estimate_mean",
            "idsweep.estimate_global": "idsweep.estimators.registry.estimate_global",
            "Estimate": "idsweep.estimators.registry.Estimate",
            "idsweep.nearest_neighbors": "idsweep.neighbors.search.nearest_neighbors",
            "NeighborGraph": "idsweep.neighbors.graph.NeighborGraph",
        },
    ),
    (
        "Inside a training loop",
        "[live.md](live.md) says what they measure and what they cost.",
        {
            "LocalDimensionCallback": "idsweep.live.trainer.LocalDimensionCallback",
            "LightningLocalDimensionCallback": "idsweep.live.lightning.LightningLocalDimensionCallback",
            "LiveDimension": "idsweep.live.dimension.LiveDimension",
            "LocalDimension": "idsweep.live.metric.LocalDimension",
        },
    ),
    (
        "Events",
        "[events.md](events.md) defines them.",
        {"idsweep.detect_events": "idsweep.tables.events.detect_events"},
    ),
    (
        "Files",
        "[files.md](files.md) says what the columns are.",
        {
            "idsweep.read_table": "idsweep.files.parquet.read_table",
            "idsweep.read_embeddings": "idsweep.files.vectors.read_embeddings",
            "idsweep.read_neighbors": "idsweep.files.vectors.read_neighbors",
            "idsweep.read_estimates": "idsweep.files.vectors.read_estimates",
            "idsweep.provenance": "idsweep.files.parquet.provenance",
            "idsweep.snakefile": "idsweep.files.project.snakefile",
        },
    ),
)
# Of classes: members that are shown, and whether the call is. Others show all public members.
OPTIONS = {
    "Estimate": "      members: []\n      show_signature: false\n",
    "NeighborGraph": "      members: []\n      show_signature: false\n",
    "LocalDimensionCallback": "      members: []\n",
    "LightningLocalDimensionCallback": "      members: []\n",
}
SWEEP_OF_PICTURES = (
    "From the sweep `docs/site/figures.yaml`: MiniLM, and a small GPT-NeoX trained on news and then on film reviews."
)
FENCE = re.compile(r"^ *(```+|~~~+)")
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<target>[^()\s]+)\)")
MARKER = re.compile(r"<!-- (?P<name>[a-z_]+): filled in by the site -->")
# As "Facco, d'Errico, Rodriguez & Laio (2017)" and "Fan et al. (2010)".
CITATION = re.compile(r"(?:[\w']+, )*[A-Z]\w+(?: et al\.| & [A-Z]\w+)? \(\d{4}\)")


def place_in_repository(page: str) -> str:
    """The file of the repository that a page of the site is made of.

    Examples
    --------
    >>> place_in_repository("index.md"), place_in_repository("models.md")
    ('README.md', 'docs/models.md')
    """
    places = {name: place for place, name in PAGES_FROM_ELSEWHERE.items()}
    return places.get(page, f"docs/{page}")


def page_of(place: str) -> str | None:
    """The page or picture of the site that a file of the repository becomes; None if it becomes none."""
    if place in PAGES_FROM_ELSEWHERE:
        return PAGES_FROM_ELSEWHERE[place]
    name = place.removeprefix("docs/")
    return name if name != place and not name.startswith("site/") else None


def change_links(text: str, page: str) -> str:
    """Markdown with links that fit the site in place of links that fit the repository.

    A link to a page goes to that page. A link to another file of the repository becomes the file's path, as code. A link to a
    file that is not there stays as it is, so that a strict build fails.

    Parameters
    ----------
    text : str
        Markdown as it stands in the repository.
    page : str
        Page of the site that it becomes.

    Examples
    --------
    >>> change_links("See [keys](config/README.md#sweep).", "index.md")
    'See [keys](configuration.md#sweep).'
    >>> change_links("See [the rules](../rules/train.smk).", "training.md")
    'See the rules (`rules/train.smk`).'
    """
    folder = posixpath.dirname(place_in_repository(page))

    def changed(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or ":" in target:
            return found[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        name = page_of(place)
        if name is not None:
            there = posixpath.relpath(name, posixpath.dirname(page) or ".")
            return f"{found['image']}[{found['text']}]({there}{'#' * bool(anchor)}{anchor})"
        if found["image"] or not (REPOSITORY / place).exists():
            return found[0]
        said = found["text"].strip("`")
        return f"`{place}`" if posixpath.basename(place) == posixpath.basename(said) else f"{found['text']} (`{place}`)"

    return "".join(part if is_code else LINK.sub(changed, part) for part, is_code in parts(text))


def parts(text: str) -> list[tuple[str, bool]]:
    """A text in pieces, each with whether it is a block of code."""
    pieces: list[tuple[str, bool]] = []
    fence, piece = "", []
    for line in text.splitlines(keepends=True):
        found = FENCE.match(line)
        if found and not fence:
            pieces.append(("".join(piece), False))
            fence, piece = found[1], [line]
        elif found and found[1].startswith(fence):
            pieces.append(("".join([*piece, line]), True))
            fence, piece = "", []
        else:
            piece.append(line)
    return [*pieces, ("".join(piece), bool(fence))]


def fill_in(text: str) -> str:
    """Markdown with its generated parts in place of the comments that mark where they go.

    Raises KeyError if a comment names a part that is not known.
    """
    return MARKER.sub(lambda found: PARTS[found["name"]](), text)


def figures() -> str:
    """A section for each figure: what it shows, a picture, the tables it needs and its options."""
    from idsweep.figures import registry

    return "\n\n".join(_figure(name, registry) for name in registry.names())


def _figure(name: str, registry: Any) -> str:
    source = registry.__file__.replace("registry.py", f"{name}.py")
    module = ast.parse(Path(source).read_text(encoding="utf-8"))
    function = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "draw")
    paragraphs = [" ".join(part.split()) for part in (ast.get_docstring(function) or "").split("\n\n")]
    question = _escaped((ast.get_docstring(module) or name).partition("\n")[0])
    about, details = paragraphs[0], [part for part in paragraphs[1:] if not part.startswith("Raises ")]
    types = {argument.arg: argument.annotation for argument in function.args.kwonlyargs}
    options = "\n".join(
        f"| `{option}` | `{default!r}` | {_type(types[option])} |" for option, default in registry.options(name).items()
    )
    tables = ", ".join(f"`{table}`" for table in registry.tables(name))
    return "\n\n".join(
        [
            f"## {name}",
            f"**{question}**",
            _escaped(about),
            _picture(name, question),
            *map(_escaped, details),
            f"Tables: {tables}. In a sweep: `figures: {{{name}: {{}}}}`. From Python: `results.figure({name!r})`.",
            f"| option | default | type |\n|---|---|---|\n{options}",
        ]
    )


def _picture(name: str, says: str) -> str:
    if name in PICTURES_OF_EXPERIMENTS:
        picture, what, there = PICTURES_OF_EXPERIMENTS[name]
        return f"![{says}]({picture})\n\n*From the experiment on {what} ([more]({there})).*"
    picture = f"images/figures/{name}.png"
    if not (REPOSITORY / "docs" / picture).is_file():
        raise FileNotFoundError(
            f"docs/{picture} is missing; `make figures` draws it, if docs/site/figures.yaml names it."
        )
    return f"![{says}]({picture})\n\n*{SWEEP_OF_PICTURES}*"


def _type(annotation: ast.expr) -> str:
    words = re.sub(
        r"Sequence\[(.+)\]", r"list of \1", ast.unparse(annotation).replace("Sequence[Sequence[str]]", "list of pairs")
    )
    return " or ".join(f"`{word.strip()}`" if "list" not in word else word.strip() for word in words.split("|"))


def _escaped(text: str) -> str:
    """Text of a docstring as Markdown: what stands in quotes of code stays, the rest says what it says."""
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_])", r"\\\1", part.replace("<", "&lt;"))
        for part in re.split(r"(`[^`]*`)", text)
    )


def estimators() -> str:
    """Tables of all estimators: what each looks at, its scopes, what it needs of a cloud, and papers."""
    from idsweep.estimators import registry

    own, adapted = [], []
    for name in registry.names():
        estimator, module = registry.get(name), registry.module_of(name)
        needs = {scope: _needs(estimator, scope) for scope in estimator.scopes}
        if len(set(needs.values())) == 1:
            needs = {"": needs[estimator.scopes[0]]}
        said = "; ".join(f"{scope}: {need}" if scope else need for scope, need in needs.items())
        cells = f"{', '.join(estimator.scopes)} | {said}"
        if module.endswith(registry.ADAPTER):
            looks_at, *_, paper = _row_of(name)
            adapted.append(f"| [`{name}`](estimators.md#those-of-scikit-dimension) | {looks_at} | {cells} | {paper} |")
        else:
            about = (importlib.import_module(module).__doc__ or "").strip()
            first = about.partition("\n")[0].rstrip(".")
            looks_at = first.partition(": ")[2] or first
            papers = "; ".join(CITATION.findall(" ".join(about.split())))
            own.append(f"| [`{name}`](estimators.md#{name}) | {looks_at} | {cells} | {papers} |")
    head = "| estimator | what it looks at | scopes | needs | paper |\n|---|---|---|---|---|\n"
    return "\n".join(
        [
            "## Those of idsweep",
            "",
            head + "\n".join(own),
            "",
            "## Those of scikit-dimension",
            "",
            head + "\n".join(adapted),
        ]
    )


def _needs(estimator: Any, scope: str) -> str:
    graph = estimator.neighbors_needed(estimator.parameters(scope)) > 0
    return " and ".join(["vectors"] * (scope in estimator.vectors) + ["neighbours"] * graph)


def _row_of(name: str) -> list[str]:
    """What docs/estimators.md says in its row on an estimator of scikit-dimension, behind the name."""
    page = (REPOSITORY / "docs/estimators.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| `{name}` \|(.+)\|$", page, re.MULTILINE)
    if found is None:
        raise ValueError(
            f"docs/estimators.md has no row on {name}; its table of scikit-dimension's estimators needs one."
        )
    return [cell.strip() for cell in found[1].split("|")]


def python() -> str:
    """Directives of mkdocstrings for all public names, in groups."""
    groups = []
    for title, about, names in PYTHON:
        directives = (
            f"::: {target}\n    options:\n      heading: {name}\n      toc_label: {name}\n{OPTIONS.get(name, '')}"
            for name, target in names.items()
        )
        groups.append("\n\n".join(filter(None, [f"## {title}", about, *directives])))
    return "\n\n".join(groups)


def command_line() -> str:
    """A section for each command of `idsweep`, with the help that it prints."""
    from idsweep import cli

    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"  # argparse's own way to be told how wide to write
    try:
        top = _help(cli.main, [])
        commands = re.findall(r"^    ([a-z][a-z-]*)(?= |$)", top, re.MULTILINE)
        sections = [f"## idsweep {command}\n\n```text\n{_help(cli.main, [command])}```" for command in commands]
    finally:
        os.environ.pop("COLUMNS")
        if width is not None:
            os.environ["COLUMNS"] = width
    return "\n\n".join([f"```text\n{top}```", *sections])


def _help(command: Callable[[list[str]], Any], words: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command([*words, "--help"])
    return printed.getvalue()


PARTS: Mapping[str, Callable[[], str]] = {
    "figures": figures,
    "estimators": estimators,
    "python": python,
    "command_line": command_line,
}
