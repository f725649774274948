"""`idsweep measure`: from what a user names to a table of intrinsic dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idsweep.config.load import load
from idsweep.data.corpora import first_texts
from idsweep.files.project import PROJECT, in_project
from idsweep.measuring import defaults
from idsweep.measuring.find import find_source
from idsweep.measuring.follow import Screen, follow
from idsweep.measuring.shown import Shown
from idsweep.measuring.source import Choice, Source
from idsweep.measuring.sweep_file import LOG, check_results, locked, sweep_of, write_sweep
from idsweep.measuring.texts import entry_of
from idsweep.planning.page import summary
from idsweep.planning.plan import plan
from idsweep.planning.profiles import bounds
from idsweep.planning.texts import characters_per_token, texts_of
from idsweep.sweep.expand import expand
from idsweep.sweep.models import Tokenizer
from idsweep.sweep.sweep import Sweep
from idsweep.sweep.texts import check_texts
from idsweep.workflow.paths import folder_of_sweep
from idsweep.workflow.run import describe_results
from idsweep.workflow.start import command as snakemake_call

# Arguments of Snakemake with which it measures nothing or a part: the table would be that of an earlier call.
DRY = ("-n", "--dry-run", "--dryrun")
PARTS = (
    "--unlock",
    "--until",
    "-U",
    "--omit-from",
    "-O",
    "--touch",
    "-t",
    "--batch",
    "--allowed-rules",
    "--delete-all-output",
)
NAME = re.compile(r"[^\W_][\w.-]*")  # as the configuration has it for `sweep`
LOCKED = "cannot be locked"
DEFAULT_TEXTS = "lee_news"


@dataclass(frozen=True)
class Request:
    """What a user asks for: see `idsweep measure --help`."""

    source: str
    choice: Choice
    text: Sequence[str] = ()
    column: str | None = None
    encoding: str | None = None
    dataset: Sequence[str] = ()
    layers: str | None = None
    points: int | None = None
    name: str | None = None
    dry_run: bool = False
    arguments: Sequence[str] = ()
    command: str = "idsweep measure"


def measure(request: Request) -> int:
    """Measure what a user names; returns the exit code of the run.

    The sweep is written to results/NAME/sweep.yaml before it runs, so that `idsweep run` repeats or extends it.

    Raises
    ------
    ValueError
        If there is nothing of that name, or something about it or the texts is wrong or not known; nothing was started then.
    """
    if request.points is not None and request.points < defaults.FEWEST:
        raise ValueError(
            f"--points: {request.points} are too few. A dimension needs {defaults.FEWEST} points at least."
        )
    if request.name is not None and not NAME.fullmatch(request.name):
        raise ValueError(
            f"--name: {request.name!r} is no name of a folder of results. Take letters, digits, dots, dashes and underscores, and begin "
            "with a letter or a digit."
        )
    if other := next((word for word in request.arguments if word.split("=")[0] in (*DRY, *PARTS)), None):
        raise ValueError(
            f"{other} after --: "
            + ("say --dry-run before the two dashes" if other in DRY else "with it, not all is measured")
            + f"; or call idsweep run results/NAME/sweep.yaml {other}, once the sweep is written."
        )
    screen = Screen()
    source = find_source(request.source, request.choice)
    for line in source.findings:
        screen.say(f"  {line}")
    texts = _texts(request, source, screen)
    name = request.name or source.name
    folder = Path(folder_of_sweep(name))
    earlier = check_results(folder, source, texts)
    if earlier:
        screen.say(f"  {earlier}")
    given, sweep = _fitted(request, source, texts, name)
    for line in _choices(given, sweep):
        screen.say(f"  {line}")
    screen.say(f"  {summary(plan(sweep, cores=_cores(request.arguments)))}")
    file = folder / "sweep.yaml"
    if request.dry_run:
        screen.say(f"Nothing was written or started. Without --dry-run, the sweep is written to {file} and run.")
        return 0
    with locked(folder):
        write_sweep(file, given, source, request.command)
        screen.say(f"  the whole sweep: {file}\n")
        return _run(request, sweep, file, screen)


def _texts(request: Request, source: Source, screen: Screen) -> dict[str, Mapping[str, Any] | None]:
    """Datasets by name, with their entries; None for those of the catalog."""
    if source.number is not None:
        for option in ("text", "column", "encoding", "dataset", "layers"):
            if getattr(request, option):
                raise ValueError(
                    f"--{option}: {request.source} holds vectors, which are measured without it. Leave it out."
                )
        return {}
    found: dict[str, Mapping[str, Any] | None] = {}
    for path in request.text:
        name, entry = entry_of(path, request.column, request.encoding)
        if name in found:
            raise ValueError(f"--text: two files would both be called {name}; rename {path}, or measure it by itself.")
        found[name] = entry
        column = f", column {entry['column']}" if "column" in entry else ""
        screen.say(f"  dataset {name}: {path}, read as {entry['loader']}{column}")
    for name in request.dataset:
        if name.split(":")[0] in found:
            raise ValueError(
                f"--dataset {name}: the file after --text would be called {name.split(':')[0]} too. Rename the file."
            )
    found |= dict.fromkeys(request.dataset)
    if not found:
        screen.say("  no --text and no --dataset: measured on 300 news stories that come with gensim (lee_news)")
        found[DEFAULT_TEXTS] = None
    return found


def _fitted(
    request: Request, source: Source, texts: Mapping[str, Mapping[str, Any] | None], name: str
) -> tuple[dict[str, Any], Sweep]:
    """The configuration whose points are as many as the texts hold, and its sweep."""
    layers = _layers(request.layers)
    given = sweep_of(source, name, texts, layers, request.points, None)
    sweep = _expanded(given)
    tokens = _tokens(sweep)
    if tokens is None or request.points:
        return given, sweep
    given = sweep_of(source, name, texts, layers, None, tokens)
    return given, _expanded(given)


def _expanded(given: Mapping[str, Any]) -> Sweep:
    sweep = expand(load(given, PROJECT / "config"))
    check_texts(sweep)
    return sweep


def _layers(given: str | None) -> list[int | str] | str | None:
    if given is None or given == "all":
        return given
    named = [one.strip() for one in given.split(",") if one.strip()]
    return [int(one) if re.fullmatch(r"-?\d+", one) else one for one in named]


def _tokens(sweep: Sweep) -> float | None:
    """About how many tokens the shortest of the datasets holds, for any of the models; None if one is not known."""
    found = [
        _tokens_of(sweep, dataset, model.tokenizer)
        for dataset in sweep.datasets
        for model in sweep.models.values()
        if model.reads_text
    ]
    return None if not found or None in found else min(found)


def _tokens_of(sweep: Sweep, dataset: str, tokenizer: Tokenizer) -> float | None:
    """About how many tokens are run of a dataset; None if that is not known. Of local files, the first texts are read: how many there
    are, and how long, cannot be told from lines and bytes where a text is no line."""
    length, number = sweep.config["tokens"]["max_length"], sweep.config["tokens"]["sequences"]
    corpus = sweep.corpus(dataset, tokenizer.owner)
    if corpus.remote or corpus.prepared or corpus.generator is not None:
        texts = texts_of(sweep, dataset, tokenizer)
        return texts.number * texts.cut(length) if texts.known else None
    return sum(min(len(text) / characters_per_token(tokenizer), length) for text in first_texts(corpus.entry, number))


def _choices(given: Mapping[str, Any], sweep: Sweep) -> Iterator[str]:
    """What was chosen, and how to choose otherwise."""
    points = given["points"]["number"]
    if "tokens" not in given:
        yield f"{points:,} points (--points)"
        return
    tokens = given["tokens"]
    model = next(reversed(sweep.models.values()))
    layers = ", ".join(map(str, model.layers)) if len(model.layers) <= model.depth else f"all, 0 to {model.depth}"
    yield f"layers {layers} (--layers)"
    yield (
        f"{points:,} tokens of up to {tokens['sequences']} texts, each cut at {tokens['max_length']} tokens: the points of each "
        "layer (--points)"
    )


def _cores(arguments: Sequence[str]) -> int:
    """The cores that Snakemake is given: --cores of its arguments, or what profiles/local has."""
    given = re.search(r"(?:^| )(?:--cores|-c)[ =]?(\d+)", " ".join(arguments))
    return int(given[1]) if given else bounds(in_project(Path("profiles/local"))).cores


def _run(request: Request, sweep: Sweep, file: Path, screen: Screen) -> int:
    shown, log = Shown(sweep), file.with_name(LOG)
    code, last_words = follow(snakemake_call(str(file), request.arguments), log, screen, shown.arrived, request.command)
    if code:
        screen.say(f"\n{last_words}\nAll that was printed: {log}")
        if LOCKED in last_words:
            screen.say(f"If no other run is at work in this folder: idsweep run {file} --unlock, and call this again.")
        return code
    if not (file.parent / "tables/local.parquet").is_file():  # the user named a target without tables
        screen.say(last_words)
        return 0
    screen.say("")
    for line in shown.whole():
        screen.say(line)
    screen.say("")
    if "Figures:" not in last_words:  # where nothing was stale, the workflow has nothing to say
        screen.say("Nothing was stale.")
        last_words = describe_results(map(str, _results(file.parent)))
    screen.say(last_words)
    return 0


def _results(folder: Path) -> list[Path]:
    figures, tables = (sorted((folder / name).glob("*")) for name in ("figures", "tables"))
    return [*figures, *tables, folder / "report.html", folder / "explorer.html"]
