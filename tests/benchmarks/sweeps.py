"""Whole runs of Snakemake: a small sweep beside another pipeline's published figures, and how many estimates it makes a second."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm
import yaml
from idsweep.files.packages import path_in_package
from workflow.checkout import PROJECT, check_out

from benchmarks.bench import THREADS, Bench, Failed, Size, Unavailable, environment
from benchmarks.rows import Row

Measure = Callable[[Bench, Row], None]

# Topo_LLM's own pipeline on 2 cores, for one layer: seconds, bytes of memory, bytes written.
TOPO_LLM_SAID = "Topo_LLM on one layer: 239.6 s, 3.5 GB, 377 MB (given)"
TOPO_LLM = {"seconds": 239.6, "memory": 3.5e9, "written": 377e6}
PASSAGE_WORDS = 60
LAYERS = 7  # of MiniLM, its embedding output among them
RACE: dict[str, Any] = {
    "sweep": "race",
    "models": {"minilm": None},
    "datasets": ["passages"],
    "tokens": {"number": 3000, "max_length": 512},
    "points": {"number": 500},
    "neighbors": {"number": 128},
    "scales": {"halvings": 0},
    "estimator_sets": {"twonn": [{"estimator": "twonn", "scope": "local", "n_neighbors": 128}]},
    "figures": {},
    "keep_embeddings": True,
    "catalog": {"datasets": {"passages": {"loader": "json", "path": "passages.jsonl"}}},
}


@dataclass(frozen=True)
class Run:
    """What Snakemake is asked for."""

    what: str

    def __str__(self) -> str:
        return self.what


def sweep_rows(size: Size) -> list[Row]:
    """A sweep that is run, beside another pipeline's figures, and the rate of light jobs."""
    race = Run(f"MiniLM, {size.passages} passages of about {PASSAGE_WORDS} words, 3,000 tokens, N = 500, L = 128")
    many = Run(f"MiniLM, {LAYERS} layers × {size.clouds} clouds of N = 2,000, k = 64, the estimates of pythia.yaml")

    def row(group: str, what: str, run: Run, against: str, measure: Measure, **target: Any) -> Row:
        return Row(group, what, run, 0, against, measure, **target)

    return [
        row("Sweep", "local TwoNN of all 7 layers", race, TOPO_LLM_SAID, _race, unit="s", at_most=40),
        row("Sweep", "its memory", race, TOPO_LLM_SAID, _of("race", "memory", 1e-9), unit="GB", at_most=1.5),
        row("Sweep", "its files", race, TOPO_LLM_SAID, _of("race", "written", 1e-6), unit="MB", at_most=40),
        row("Throughput", "estimates of layers on 2 cores", many, "", _throughput, unit="a second", at_least=4),
        row("Throughput", "the same, a job for each layer", many, "", _throughput_of_layers, unit="a second"),
    ]


def _race(bench: Bench, row: Row) -> None:
    found = _raced(bench)
    row.ours = row.figure = found["seconds"]
    row.note = (
        f"The same work: {TOPO_LLM['seconds'] / found['seconds']:.1f} times faster for seven layers than Topo_LLM for one; "
        f"{TOPO_LLM['memory'] / found['memory']:.1f} times less memory, {TOPO_LLM['written'] / found['written']:.1f} times "
        "less written. Cold: nothing compiled, nothing cached. Topo_LLM's figures were measured once on another machine "
        "of 2 cores and are given."
    )


def _of(run: str, what: str, unit: float) -> Measure:
    def measure(bench: Bench, row: Row) -> None:
        row.figure = unit * {"race": _raced}[run](bench)[what]

    return measure


def _raced(bench: Bench) -> dict[str, float]:
    """Seconds, peak memory of all processes and bytes in results/; run once a bench."""
    if not bench.size.passages:
        raise Unavailable("left out at this size")
    if "race" not in bench.remembered:
        project = check_out(bench.folder / "race", compiled=False)
        (project.folder / "race.yaml").write_text(yaml.safe_dump(RACE))
        with (project.folder / "passages.jsonl").open("w") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in _passages(bench.size.passages))
        found = run_snakemake(project.folder, "results/race/tables/local.parquet", "--configfile", "race.yaml")
        written = sum(path.stat().st_size for path in (project.folder / "results").rglob("*") if path.is_file())
        bench.remembered["race"] = found | {"written": written}
    return bench.remembered["race"]


def _passages(number: int) -> list[str]:
    """The first `number` passages of about 60 words of the news corpus."""
    news = path_in_package("gensim", "test/test_data/lee_background.cor").read_text(encoding="latin-1")
    stories = [story.split() for story in news.splitlines()]
    passages = [
        story[begin : begin + PASSAGE_WORDS]
        for story in stories
        for begin in range(0, len(story) - PASSAGE_WORDS // 2, PASSAGE_WORDS)
    ]
    return [" ".join(words) for words in passages[:number]]


def _throughput(bench: Bench, row: Row) -> None:
    _rate(bench, row, {})
    row.note = "Whole runs of Snakemake over neighbours that are there, its start included."


def _throughput_of_layers(bench: Bench, row: Row) -> None:
    _rate(bench, row, {"compute": {"layers_per_job": 1}})


def _rate(bench: Bench, row: Row, compute: dict[str, Any]) -> None:
    if not bench.size.clouds:
        raise Unavailable("left out at this size")
    if "neighbors" not in bench.remembered:
        project = check_out(bench.folder / "throughput")
        bench.remembered["neighbors"] = project.folder
        (project.folder / "many.yaml").write_text(yaml.safe_dump(_many(bench.size.clouds)))
        run_snakemake(project.folder, "--until", "find_neighbors", "--configfile", "many.yaml")
    folder = bench.remembered["neighbors"]
    (folder / "many.yaml").write_text(yaml.safe_dump(_many(bench.size.clouds) | compute))
    found = run_snakemake(folder, "--until", "estimate_dimensions", "--configfile", "many.yaml")
    row.ours, row.figure = found["seconds"], LAYERS * bench.size.clouds / found["seconds"]


def _many(clouds: int) -> dict[str, Any]:
    """Clouds that differ in their seed alone."""
    sets = yaml.safe_load((PROJECT / "config/experiments/pythia.yaml").read_text())["estimator_sets"]
    for item in sets["standard"]:
        item |= {"n_neighbors": 64} if item["scope"] == "local" and item["estimator"] == "twonn" else {}
    return {
        "sweep": "many",
        "models": {"minilm": None},
        "datasets": ["lee_news"],
        "tokens": {"number": 4000, "max_length": 128},
        "points": {"number": 2000, "seed": list(range(clouds))},
        "neighbors": {"number": 64},
        "scales": {"halvings": 0},
        "estimator_sets": sets,
        "figures": {},
        "keep_embeddings": True,
    }


def run_snakemake(folder: Path, *arguments: str) -> dict[str, float]:
    """Seconds, and the highest memory of Snakemake and all its processes together, in bytes; jobs if it tells them."""
    command = [warm.python(), "-m", "snakemake", *arguments, "--profile", "profiles/local", "--cores", str(THREADS)]
    log = folder / "snakemake.log"
    start = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        peak = _Peak(process.pid)
        process.wait()
    seconds = time.perf_counter() - start
    memory = peak.stop()
    told = log.read_text()
    if process.returncode:
        raise Failed(told[-4000:])
    totals = [line.split()[1] for line in told.splitlines() if line.startswith("total ")]
    return {"seconds": seconds, "memory": memory} | ({"jobs": float(totals[-1])} if totals else {})


class _Peak:
    """The highest proportional memory (shared pages counted once) of a session's processes, looked at while they run."""

    def __init__(self, session: int) -> None:
        self._session, self._highest, self._running = session, 0, True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._running = False
        self._thread.join()
        return self._highest

    def _watch(self) -> None:
        while self._running:
            now = sum(self._memory(process) for process in Path("/proc").glob("[0-9]*"))
            self._highest = max(self._highest, now)
            time.sleep(0.2)

    def _memory(self, process: Path) -> int:
        try:
            if os.getsid(int(process.name)) != self._session:
                return 0
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            return 0
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
