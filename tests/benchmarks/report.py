"""The table, on the screen and as a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import THREADS
from benchmarks.rows import Row

HEADER = ("what", "cloud", "against", "ours", "theirs", "figure", "target", "met", "largest difference", "runs")
GROUPS = {
    "Neighbours": "Exact search for the k nearest others of each point, from the points to indices and distances. faiss also "
    "finds the point itself, so it searches for one more. The distances are compared. Those of faiss come from "
    "float32 inner products and lose digits between points that are nearly equal.",
    "Local": "An estimate at each point from its k nearest others. *From the graph* means that both tools are given the "
    "same neighbours. *Neighbours included* means that both begin with the points. scikit-dimension's `fit_pw` "
    "fits each neighbourhood in a loop, here with one thread: with two it is slower. MLE takes so little time "
    "that it is compared with the search that comes before it.",
    "Global": "One estimate of the whole cloud. scikit-dimension, torchid and DADApy begin with the points, and so does "
    "idsweep beside them. torchid counts the ranks of TwoNN's ratios from 0 instead of 1, hence the difference."
    " DADApy is told to search for no more neighbours than it needs, and for GRIDE it uses the faster of its "
    "two searches.",
    "Growth": "Each step at a series of cloud sizes, each in a process of its own. The figure is the exponent between the"
    " two largest: 1 for a time that doubles with the points, 2 for one that quadruples, as that of an exact "
    "search must. Nothing else may grow faster than N log N; a limit of 1.25 leaves room for noise. Memory is "
    "the highest resident memory during the call less that before it. The points are loaded before, and for "
    "estimates the graph.",
    "Job": "The workflow's own script for one layer, from Parquet files to a Parquet file: local and global TwoNN and "
    "MLE, local PCA and the participation ratio. The time is the median of its runs. Snakemake's own time is "
    "not in it.",
    "Extraction": "Hidden states of MiniLM (float32) from sampled tokens to a Parquet file, beside the bare model, which "
    "keeps nothing. Both run the same batches of the same sequences, sorted by length. The first figure is the "
    "share of the bare model's speed.",
    "Extraction on a GPU": "The same for a model of the shape of Pythia 410M in bfloat16.",
    "Training": "Trainings of the workflow beside a bare loop over the same batches. For the tracker, each update, with the"
    " composing of its inputs, is compared with a bare update on the same batch that follows it at once, both "
    "by the time of the processor. The figure is the median over updates.",
    "Training on a GPU": "The same on a GPU, by the clock; the tracker has the shape of BERT-base.",
    "Live": "A measurement inside a training loop (docs/live.md), with its forward pass, as a share of the time of the "
    "training steps before it; the median. Then the estimation of one layer alone, beside scikit-dimension's.",
    "Sweep": "A whole run of Snakemake from texts to the table of estimates, in a fresh checkout, on 2 cores. Memory is "
    "that of Snakemake and all its processes together, read five times a second; pages that they share count "
    "once. Files are those in results/ at the end.",
    "Throughput": "How many layers' estimates (local and global TwoNN and MLE) a run of Snakemake makes in a second.",
    "Explorer": "From the start of loading explorer.html from disk to its first picture (heat map, curves and profiles), in"
    " a headless Chromium. The time is the median, each time in a new window.",
    "GPU": "The search on one GPU. Its rate counts 2 N² D operations, whatever else the search does.",
}


def print_table(rows: Sequence[Row], size: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 200
    caption = "" if size == "full" else f"--size {size}; the targets are for --size full."
    table = Table(*HEADER, box=box.SIMPLE, caption=caption)
    for previous, row in zip([None, *rows], rows, strict=False):
        if previous is None or previous.group != row.group:
            table.add_section()
        style = "red" if row.failed or row.met is False else "dim" if row.missing else None
        table.add_row(*_cells(row), style=style)
    console.print(table)
    for row in rows:
        if row.failed:
            console.print(f"FAILED {row.name}: {row.missing or _disagreement(row)}", style="red", markup=False)


def _disagreement(row: Row) -> str:
    return f"values differ by {row.difference:.2g}, more than {row.tolerance:.2g}"


def write_page(
    path: Path,
    rows: Sequence[Row],
    size: str,
    command: str,
    machine: Mapping[str, str],
    versions: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the page. machine: what `machine` said before the run. versions: side -> package -> version."""
    lines = [
        "# Benchmarks",
        "",
        "How fast idsweep is, beside other tools that do the same. The column *figure* says it: 2× means that "
        "idsweep takes half the time. Each row belongs to a group, whose meaning is explained below the table.",
        "",
        f"Written by `make bench` (`{command}`) on {datetime.now(UTC):%Y-%m-%d}; not to be edited.",
        *(["", f"**This is a run at `--size {size}`; the targets are for `--size full`.**"] if size != "full" else []),
        "",
        "## Results",
        "",
        _line(HEADER),
        "|---|---|---|---:|---:|---:|---:|---|---:|---:|",
        *(_line(_cells(row)) for row in rows),
        "",
        "## What the rows mean",
        "",
        f"idsweep and its peer run in turn on the same points, each in a process of its own with {THREADS} "
        "threads. The shortest time of each counts. Loading packages and data is left out, and so is "
        "compilation, by a warm-up on a small cloud. A run whose values differ by more than a row allows fails.",
        "",
        "Real clouds are MiniLM's hidden states of layer 4 at tokens of news, without duplicates. Synthetic "
        "ones have 16 strong directions, noise, and 4 outlier dimensions far from 0. All are float32.",
        "",
    ]
    for group, text in GROUPS.items():
        of_group = [row for row in rows if row.group == group]
        if of_group:
            lines += [f"**{group}.** {text}", ""]
            lines += [*(f"- {row.note}" for row in of_group if row.note), ""] if any(r.note for r in of_group) else []
    lines += ["## The machine", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in {**machine, **_packages(versions)}.items()]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    cloud = f"{row.cloud}, k = {row.k}" if row.k else str(row.cloud)
    target = (
        f"≥ {row.at_least:g}" if row.at_least is not None else f"≤ {row.at_most:g}" if row.at_most is not None else ""
    )
    what = f"{row.group}: {row.what}"
    if row.missing:
        reason = "failed" if row.failed else f"not measured: {row.missing}"
        return (what, cloud, row.against, "", "", reason, target, "", "", "")
    number = f"{row.figure:,.0f}" if row.figure >= 100 else f"{row.figure:.3g}"
    figure = f"{number}×" if row.unit == "×" else f"{number} {row.unit}"
    difference = "" if row.difference is None else "none" if row.difference == 0 else f"{row.difference:.1e}"
    met = {None: "", True: "yes", False: "no"}[row.met]
    runs = "" if row.runs is None else str(row.runs)
    return (what, cloud, row.against, _seconds(row.ours), _seconds(row.theirs), figure, target, met, difference, runs)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"


def machine() -> dict[str, str]:
    """The CPU, its cores, memory, system, Python, the GPU if there is one, and how busy the machine is just now."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "CPU": f"{_cpu()}, {cores} cores, of which {THREADS} are used",
        "memory": f"{memory:.0f} GiB",
        **gpu,
        "system": platform.platform(terse=True),
        "Python": platform.python_version(),
        "load before the run": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _packages(versions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Side -> its packages with their versions; those that idsweep's own side has too are not repeated."""
    ours = versions.get("idsweep", {})
    listed = {}
    for side, packages in versions.items():
        own = {name: version for name, version in packages.items() if side == "idsweep" or ours.get(name) != version}
        own.pop("python" if side == "idsweep" else "", None)
        listed[f"packages of {side.replace('_', '-')}"] = ", ".join(f"{name} {own[name]}" for name in own)
    return listed
