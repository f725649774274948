"""A plan as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from idsweep.files.benchmarks import Usage
from idsweep.planning.costs import ASSUMED
from idsweep.planning.plan import DELETED, FETCHED, Plan

HOUR, GB = 3600.0, 1e9
LEFT_OUT = (
    "Not counted: datasets from the hub and their caches, the states of trainings under way (up to three times the "
    "weights), retries, and jobs that wait for each other. Taken as empty: the results folder."
)


def page(plan: Plan, used: Mapping[str, Usage] | None = None, repeated: str | None = None) -> str:
    """The plan in lines; used: what a run of this sweep took, if there was one. repeated: what it says of its results."""
    on_gpu = plan.device != "cpu"
    lines = [f"{plan.name}: {plan.number + 1:,} jobs", "", *_table(plan, used or {}, on_gpu), ""]
    lines += [f"{what:<9} {said}" for what, said in _totals(plan, on_gpu)]
    if repeated:
        lines.append(f"{'Repeated':<9} {repeated}")
    return "\n".join([*lines, "", *_small_print(plan, on_gpu), *(["", plan.foreseen] if plan.foreseen else [])]) + "\n"


def summary(plan: Plan) -> str:
    """The plan in one line: jobs, time, disk and download."""
    alone = sum(plan.core_seconds().values()) + plan.overhead
    line = f"{plan.number + 1:,} jobs if nothing is there yet: about {_time(alone / plan.cores)} on {plan.cores} core{'s' * (plan.cores > 1)}"
    if plan.device != "cpu" and any(plan.gpu_seconds().values()):
        line += " without a GPU"
    fetched = f", {_gb(plan.download)} to download" if plan.download else ""
    return f"{line}, {_gb(plan.peak())} on the disk{fetched}"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 2 * HOUR
        else f"{seconds / HOUR:.0f} h"
    )


def _table(plan: Plan, used: Mapping[str, Usage], on_gpu: bool) -> Iterator[str]:
    alone, beside, gpu, memory = plan.core_seconds(), plan.core_seconds(gpu=True), plan.gpu_seconds(), plan.memory()
    rows = [
        [
            rule,
            f"{number:,}",
            _hours(alone[rule]),
            *([_hours(beside[rule]), _hours(gpu.get(rule, 0.0))] if on_gpu else []),
            _gb(memory[rule]),
            *([_hours(used[rule].core_seconds), _gb(used[rule].memory)] if rule in used else ["", ""] if used else []),
        ]
        for rule, number in plan.jobs.items()
    ]
    rows.append(
        ["snakemake", "1", *([_hours(plan.overhead)] * (2 if on_gpu else 1)), *(["-"] if on_gpu else []),
         _gb(plan.memory_of_snakemake), *(["", ""] if used else [])]
    )  # fmt: skip
    head = ["rule", "jobs", "CPU hours", *(["beside a GPU", "GPU hours"] if on_gpu else []), "memory of one"]
    return _aligned([[*head, *(["measured hours", "and memory"] if used else [])], *rows])


def _totals(plan: Plan, on_gpu: bool) -> Iterator[tuple[str, str]]:
    alone = sum(plan.core_seconds().values()) + plan.overhead
    said = f"{_hours(alone)} CPU hours{' without a GPU' if on_gpu else ''}, "
    said += f"{_hours(alone / plan.cores)} hours on {plan.cores} cores"
    if on_gpu:
        beside = sum(plan.core_seconds(gpu=True).values()) + plan.overhead
        said += f"; with one {_hours(sum(plan.gpu_seconds().values()))} GPU hours and {_hours(beside)} CPU hours"
    yield "Time", said
    every, none = (_gb(plan.peak(keeps)) for keeps in (DELETED, ()))
    keys = " and ".join(f"keep_{folder}" for folder in DELETED)
    yield "Disk", f"at most {_gb(plan.peak())} at one time; {every} with {keys}, {none} with neither"
    written = plan.written()
    for folder in DELETED:
        here = "kept" if folder in plan.keeps else "deleted after use"
        bound = f"the {plan.files_at_once(folder)} largest files, if deleted after use"
        said = f"{folder} {_gb(written.get(folder, 0.0))} in all ({here}), {_gb(plan.at_once(folder))} at one time"
        yield "", f"{said} ({bound})"
    if FETCHED in written:
        disk = plan.checkpoint_disk
        bound = "no bound is given" if disk is None else f"checkpoint_disk_gb={disk / GB:g}"
        said = f"checkpoints {_gb(written[FETCHED])} fetched in all, {_gb(plan.checkpoints_at_once())} at one time"
        yield "", f"{said} ({bound})"
    others = [f"{folder} {_gb(size)}" for folder, size in written.items() if folder not in (FETCHED, *DELETED)]
    yield "", f"for good {_gb(plan.left(plan.keeps))}; of the rest most is {', '.join(others[:3])}"
    yield "Download", _gb(plan.download)
    memory = plan.memory() | {"snakemake": plan.memory_of_snakemake}
    largest_of = max(memory, key=memory.__getitem__)
    yield "Memory", f"{_gb(memory[largest_of])} for the largest job ({largest_of})"


def _small_print(plan: Plan, on_gpu: bool) -> Iterator[str]:
    yield from (f"- {line}" for line in plan.assumed)
    if on_gpu:
        rates = " and ".join(ASSUMED[name].by for name in ("gpu_16_bit", "gpu_32_bit"))
        yield f"- GPU hours are assumed, not measured: {rates}, {ASSUMED['gpu_start'].value:g} s more a job."
    yield f"- {LEFT_OUT}"


def _hours(seconds: float) -> str:
    return _rounded(seconds / HOUR)


def _gb(size: float) -> str:
    return f"{_rounded(size / GB)} GB"


def _rounded(number: float) -> str:
    """Two digits that count: 0.021, 1.3, 27, 1,300."""
    if number >= 100:
        return f"{float(f'{number:.2g}'):,.0f}"
    return f"{number:.2g}" if number >= 0.0005 else "0"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
