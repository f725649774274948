"""Forward passes that are made again because their vectors were deleted after use: told before it happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from idsweep.files.parquet import is_current
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph, Output, output_of
from idsweep.workflow.modules import own_name
from idsweep.workflow.paths import outputs

PASS = "extract_embeddings"
READERS = ("find_neighbors", "estimate_dimensions", "project_points")  # of vectors


def is_done(graph: JobGraph, records: Any, rule: str, names: Mapping[str, str]) -> bool:
    """Whether a job read vectors that were deleted after use, and all that it made of them is there and current.

    records: Snakemake's persistence, which must not say anything else.
    """
    if rule not in READERS or not (vectors := graph.inputs(rule, **names).get("embeddings")) or Path(vectors).exists():
        return False
    written = [output_of(rule, name, **names) for name in outputs(rule)]
    signature = graph.signature(rule, **names)
    return all(_is_there(graph, output) and agrees(records, graph.path(output), signature) for output in written)


def agrees(records: Any, path: str, signature: str) -> bool:
    """Whether Snakemake's record of a file, if there is one, has the signature."""
    record = records._read_record(path)
    return record is None or any(signature in value for value in record.params or ())


def in_run(jobs: Iterable[Any], graph: JobGraph) -> str | None:
    """What to say of the jobs of Snakemake's plan; nothing if they repeat no pass."""
    passes = (dict(job.wildcards.items()) for job in jobs if own_name(job.rule) == PASS)
    return _said(sum(1 for names in passes if _was_made(graph, output_of(PASS, "embeddings", **names))))


def in_results(sweep: Sweep, graph: JobGraph) -> str | None:
    """What to say of a sweep whose results, or a part of them, are there; nothing if going on would repeat no pass."""
    return _said(sum(1 for vectors in set(_lacking(sweep, graph)) if _was_made(graph, vectors)))


def _lacking(sweep: Sweep, graph: JobGraph) -> Iterator[Output]:
    """The vectors that are not there and are needed for estimates and maps that are not current."""
    for estimates in graph.estimates(sweep.clouds()):
        if _is_there(graph, estimates):
            continue
        read = graph.read_by(estimates)
        if not _is_there(graph, neighbors := read["neighbors"]):
            read = read | graph.read_by(neighbors)
        if "embeddings" in read and not _is_there(graph, read["embeddings"]):
            yield read["embeddings"]
    for projected in graph.maps():
        vectors = graph.read_by(projected)["embeddings"]
        if not _is_there(graph, projected) and not _is_there(graph, vectors):
            yield vectors


def _was_made(graph: JobGraph, vectors: Output) -> bool:
    """Whether a pass was made as it would be made now: what it keeps beside the vectors is there."""
    return vectors.rule == PASS and _is_there(graph, vectors._replace(name="predictions"))


def _is_there(graph: JobGraph, output: Output) -> bool:
    path = Path(graph.path(output))
    return path.is_file() and is_current(path, graph.signature(output.rule, **dict(output.names)))


def _said(number: int) -> str | None:
    if not number:
        return None
    passes = "1 forward pass" if number == 1 else f"{number:,} forward passes"
    return (
        f"This repeats {passes}: new estimates or maps need vectors, which were deleted after use. keep_embeddings: true would "
        "have kept them, and keeps them from now on."
    )
