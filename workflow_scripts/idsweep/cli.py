"""The command `idsweep`: a new folder for a sweep, a run of it, what it will take, what a file holds that it has written,
the keys of a configuration, what an experiment sets beside its paper, and a sweep's curves for trackers or its points for
Embedding Atlas."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="idsweep", description="Intrinsic dimension over model sweeps.")
    parser.add_argument("--version", action="version", version=f"idsweep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a sweep: snakemake with this package's Snakefile",
        usage="idsweep run SWEEP [SNAKEMAKE'S ARGUMENTS …]",
        description="Run a sweep in the working folder. Everything after SWEEP goes to snakemake, as --cores 4, -n, a target.",
    )
    run.add_argument("sweep", metavar="SWEEP", help="a file, or a name in config/experiments")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="of snakemake")
    new = commands.add_parser("init", help="write a folder with a commented sweep.yaml and profiles")
    new.add_argument("folder", type=Path, help="a folder; nothing in it is overwritten")
    show = commands.add_parser("show", help="print the shape and the provenance of a Parquet file")
    show.add_argument("file", help="a Parquet file below results/")
    keys = commands.add_parser("keys", help="print all keys of a configuration as Markdown")
    keys.add_argument("--schema", default="config/schema.yaml", type=Path, help="default: %(default)s")
    plan = commands.add_parser("plan", help="print what a sweep will take, before anything runs")
    plan.add_argument("sweep", nargs="?", default="config/config.yaml", help="a file, or a name in config/experiments")
    plan.add_argument("--profile", default="profiles/local", type=Path, help="whose bounds hold (default: %(default)s)")
    plan.add_argument("--cores", type=int, help="instead of the profile's")
    plan.add_argument(
        "--measured",
        metavar="SWEEP",
        help="another sweep that was run here: how long its jobs took tells how long these will",
    )
    scores = commands.add_parser("import-scores", help="write scores that TripPy-R left as files for `metrics:`")
    scores.add_argument("folder", help="a folder of checkpoints and scores, or one of results.SEED folders")
    beside = commands.add_parser("published", help="print an experiment's settings beside those of its paper")
    beside.add_argument("experiment", help="a name in config/experiments/published")
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
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["run"] and (not words[1:] or (words[1].startswith("-") and words[1] not in ("-h", "--help"))):
        run.error("the sweep comes first, as in: idsweep run sweep.yaml --cores 4")
    given = parser.parse_args(words)
    try:
        if given.command == "run":
            from idsweep.workflow.start import start

            start(given.sweep, given.arguments)
        if given.command == "init":
            from idsweep.workflow.new_folder import make_folder

            print(printable("\n".join(map(str, make_folder(given.folder)))))
            print(printable(f"Next: cd {shlex.quote(str(given.folder))} && idsweep run sweep.yaml"))
            return 0
        if given.command == "plan":
            from idsweep.planning.command import plan_page

            print(printable(plan_page(given.sweep, given.profile, given.cores, given.measured)), end="")
            return 0
        if given.command == "import-scores":
            from idsweep.tables.tracker_scores import entry_of, write_scores

            print(printable(entry_of(write_scores(given.folder))), end="")
            return 0
        if given.command == "export":
            from idsweep.tables.export import export

            print(
                printable(
                    export(given.sweep, given.to, given.folder, **{part: getattr(given, part) for part in POINTS_OF})
                ),
                end="",
            )
            return 0
        if given.command == "published":
            from idsweep.config.published import table

            print(printable(table(given.experiment, in_project(Path("config")))), end="")
            return 0
        if given.command == "keys":
            print(page(in_project(given.schema)), end="")
            return 0
        print(printable(describe(given.file)))
        print(printable(json.dumps(provenance(given.file), indent=2, ensure_ascii=False)))
    except (ImportError, OSError, ValueError) as error:
        print(printable(f"idsweep: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
