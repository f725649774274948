"""The command `idsweep`: measure a model, make a folder for a sweep, run it, say what it will take, and look at what it made."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from idsweep.config.keys import page
from idsweep.files.parquet import provenance
from idsweep.files.project import in_project
from idsweep.files.vectors import describe
from idsweep.machine.printable import printable
from idsweep.version import __version__

POINTS_OF = {
    "model": "the first",
    "checkpoint": "the last",
    "dataset": "the first",
    "cloud": "the first",
    "layer": "the last",
}
MEASURED = """\
examples:
  idsweep measure ./my_run --text texts.jsonl
  idsweep measure pythia-70m --checkpoints "step{0,512,143000}" --dataset wikitext-103 --layers 0,3,-1
  idsweep measure vectors.npy
  idsweep measure ./my_run --text texts.jsonl -- --cores 4 --keep-going

What stands after -- goes to snakemake. A second call runs what is stale or new, and nothing else."""


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments; each sets `handle`, what runs it."""
    whole = argparse.ArgumentParser(prog="idsweep", description="Intrinsic dimension over model sweeps.")
    whole.add_argument("--version", action="version", version=f"idsweep {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_measure(commands)
    check = commands.add_parser(
        "check-checkpoints",
        help="print which checkpoints of a model hold weights of another, without downloading any",
    )
    check.add_argument("model", help="a folder of checkpoints, a name in the catalog, or an id on the hub")
    check.add_argument("--checkpoints", metavar="NAMES", help="which of them (default: all)")
    check.set_defaults(handle=_check_checkpoints)
    run = commands.add_parser(
        "run",
        help="run a sweep: snakemake with this package's Snakefile",
        usage="idsweep run SWEEP [SNAKEMAKE'S ARGUMENTS …]",
        description="Run a sweep in the working folder. Everything after SWEEP goes to snakemake, as --cores 4, -n, a target.",
    )
    run.add_argument("sweep", metavar="SWEEP", help="a file, or a name in config/experiments")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="of snakemake")
    run.set_defaults(handle=_run)
    new = commands.add_parser("init", help="write a folder with a commented sweep.yaml and profiles")
    new.add_argument("folder", type=Path, help="a folder; nothing in it is overwritten")
    new.set_defaults(handle=_init)
    plan = commands.add_parser("plan", help="print what a sweep will take, before anything runs")
    plan.add_argument("sweep", nargs="?", default="config/config.yaml", help="a file, or a name in config/experiments")
    plan.add_argument("--profile", default="profiles/local", type=Path, help="whose bounds hold (default: %(default)s)")
    plan.add_argument("--cores", type=int, help="instead of the profile's")
    plan.add_argument(
        "--measured",
        metavar="SWEEP",
        help="another sweep that was run here: how long its jobs took tells how long these will",
    )
    plan.set_defaults(handle=_plan)
    show = commands.add_parser("show", help="print the shape and the provenance of a Parquet file")
    show.add_argument("file", help="a Parquet file below results/")
    show.set_defaults(handle=_show)
    curves = commands.add_parser("export", help="write a finished sweep's curves for a tracker, or its points")
    curves.add_argument("sweep", help="a folder of results, or the name of one below results/")
    curves.add_argument(
        "--to", required=True, metavar="TRACKER", help="tensorboard, trackio, wandb (offline), or embedding-atlas"
    )
    curves.add_argument(
        "--folder", type=Path, help="default: trackers/ or atlas/ in the sweep's results; trackio's own folder"
    )
    for part, default in POINTS_OF.items():
        curves.add_argument(f"--{part}", help=f"of the points for embedding-atlas (default: {default})")
    curves.set_defaults(handle=_export)
    keys = commands.add_parser("keys", help="print all keys of a configuration as Markdown")
    keys.add_argument("--schema", default="config/schema.yaml", type=Path, help="default: %(default)s")
    keys.set_defaults(handle=lambda given: page(in_project(given.schema)))
    beside = commands.add_parser("published", help="print an experiment's settings beside those of its paper")
    beside.add_argument("experiment", help="a name in config/experiments/published")
    beside.set_defaults(handle=_published)
    scores = commands.add_parser("import-scores", help="write scores that TripPy-R left as files for `metrics:`")
    scores.add_argument("folder", help="a folder of checkpoints and scores, or one of results.SEED folders")
    scores.set_defaults(handle=_import_scores)
    return whole


def _add_measure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    new = commands.add_parser(
        "measure",
        help="measure one model, a folder of checkpoints, or a file of vectors",
        usage="idsweep measure SOURCE [--text FILE …] [options] [-- SNAKEMAKE'S ARGUMENTS …]",
        description="Measure the intrinsic dimension of a model's hidden states, or of vectors, and print it as a table.",
        epilog=MEASURED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new._negative_number_matcher = re.compile(r"-\d[\d,-]*\Z")  # argparse's own takes --layers -1,0 for an option
    new.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder with a model, checkpoints or adapters; a file of vectors (.npy, .safetensors, .parquet, word vectors); a name in "
        "the catalog; an id on the hub",
    )
    texts = new.add_argument_group("texts")
    texts.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="FILE",
        help="texts: .txt (one a line), .csv, .tsv, .json, .jsonl, .parquet, also packed, or a folder of *.txt; may be repeated",
    )
    texts.add_argument("--column", metavar="NAME", help="the column of the texts (default: told from the file)")
    texts.add_argument("--encoding", metavar="NAME", help="of the texts (default: utf-8)")
    texts.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="a dataset of the catalog, or NAME:SPLIT; may be repeated",
    )
    what = new.add_argument_group("what is measured")
    what.add_argument(
        "--checkpoints",
        metavar="NAMES",
        help='names or steps with commas between, "step{0,1..512}", "checkpoint-*", or all',
    )
    what.add_argument("--layers", metavar="NUMBERS", help="as 0,6,-1, or all (default: up to 13, spread evenly)")
    what.add_argument(
        "--points", type=int, metavar="N", help="points of each layer (default: up to 5,000; of vectors 20,000)"
    )
    model = new.add_argument_group("about the model, where it does not say so itself")
    model.add_argument(
        "--kind", choices=("causal", "masked", "encoder", "encoder-decoder", "static"), help="how it is loaded"
    )
    model.add_argument("--tokenizer", metavar="NAME", help="a folder, a name in the catalog, or an id on the hub")
    model.add_argument("--base", metavar="NAME", help="of adapters: the model that they were trained on")
    model.add_argument("--array", metavar="NAME", help="of vectors: the tensor or column that holds them")
    new.add_argument("--name", help="of the sweep, whose results lie in results/NAME (default: that of the source)")
    new.add_argument("-n", "--dry-run", action="store_true", help="say what would be measured, and stop")
    new.set_defaults(handle=_measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    all_commands = parser()
    if words[:1] == ["run"] and (not words[1:] or (words[1].startswith("-") and words[1] not in ("-h", "--help"))):
        all_commands.error("run: the sweep comes first, as in: idsweep run sweep.yaml --cores 4")
    further: list[str] = []
    if words[:1] == ["measure"] and "--" in words:
        further = words[words.index("--") + 1 :]
    given = all_commands.parse_args(words[: len(words) - len(further) - 1] if further else words)
    given.further, given.words = further, words
    handle: Callable[[argparse.Namespace], str | int] = given.handle
    try:
        outcome = handle(given)
    except (ImportError, OSError, ValueError) as error:
        print(printable(f"idsweep: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("idsweep: stopped.", file=sys.stderr)
        return 130
    if isinstance(outcome, int):
        return outcome
    print(printable(outcome), end="" if outcome.endswith("\n") else "\n")
    return 0


def _measure(given: argparse.Namespace) -> int:
    from idsweep.measuring.command import Request, measure
    from idsweep.measuring.source import Choice

    said = {key: getattr(given, key) for key in Request.__dataclass_fields__ if hasattr(given, key)}
    choice = Choice(**{key: getattr(given, key) for key in Choice.__dataclass_fields__})
    said |= {"choice": choice, "arguments": given.further, "command": shlex.join(["idsweep", *given.words])}
    return measure(Request(**said))


def _check_checkpoints(given: argparse.Namespace) -> str:
    from idsweep.measuring.checked import check_checkpoints

    return check_checkpoints(given.model, given.checkpoints)


def _run(given: argparse.Namespace) -> int:
    from idsweep.workflow.start import start

    start(given.sweep, given.arguments)
    return 0


def _init(given: argparse.Namespace) -> str:
    from idsweep.workflow.new_folder import make_folder

    written = make_folder(given.folder)
    return "\n".join([*map(str, written), f"Next: cd {shlex.quote(str(given.folder))} && idsweep run sweep.yaml"])


def _plan(given: argparse.Namespace) -> str:
    from idsweep.planning.command import plan_page

    return plan_page(given.sweep, given.profile, given.cores, given.measured)


def _show(given: argparse.Namespace) -> str:
    return "\n".join([describe(given.file), json.dumps(provenance(given.file), indent=2, ensure_ascii=False)])


def _export(given: argparse.Namespace) -> str:
    from idsweep.tables.export import export

    return export(given.sweep, given.to, given.folder, **{part: getattr(given, part) for part in POINTS_OF})


def _published(given: argparse.Namespace) -> str:
    from idsweep.config.published import table

    return table(given.experiment, in_project(Path("config")))


def _import_scores(given: argparse.Namespace) -> str:
    from idsweep.tables.tracker_scores import entry_of, write_scores

    return entry_of(write_scores(given.folder))


if __name__ == "__main__":
    sys.exit(main())
