"""Runs calls in the processes of their sides, in turn, on clouds that are made once."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import warm

from benchmarks.clouds import Cloud

THREADS = 2
PROJECT = Path(__file__).parents[2]
# Peers whose needs cannot be met beside idsweep's; the Makefile makes these.
VENVS = {"faiss": ".venv-bench-torchid", "torchid": ".venv-bench-torchid", "dadapy": ".venv-bench-dadapy"}
GRAPH = ("indices", "distances")


class Unavailable(Exception):
    """Why something cannot be measured here."""


class Failed(Exception):
    """What went wrong in a side's process."""


@dataclass(frozen=True)
class Size:
    """How large a run is: neighbours, points of each cloud, runs of each call, seconds after which a row is not
    repeated, and seconds between the calls of two processes, until the threads of the first have stopped spinning;
    passages of the sweep that is run (0 for none) and clouds whose estimates are timed."""

    k: int
    real: int
    synthetic: int
    growth: tuple[int, ...]
    memory: int
    job: int
    gpu: Cloud
    matmul: int
    passages: int
    clouds: int
    runs: int
    seconds: float
    pause: float


SIZES = {
    "full": Size(
        k=128,
        real=10_000,
        synthetic=20_000,
        growth=(5_000, 10_000, 20_000, 40_000, 80_000),
        memory=100_000,
        job=2_000,
        gpu=Cloud("synthetic", 100_000, 4096),
        matmul=16_384,
        passages=512,
        clouds=16,
        runs=5,
        seconds=60,
        pause=0.3,
    ),
    "small": Size(
        k=128,
        real=2_000,
        synthetic=3_000,
        growth=(1_000, 2_000, 4_000),
        memory=10_000,
        job=1_000,
        gpu=Cloud("synthetic", 10_000, 1024),
        matmul=4_096,
        passages=512,
        clouds=4,
        runs=3,
        seconds=5,
        pause=0.2,
    ),
    "tiny": Size(
        k=32,
        real=150,
        synthetic=150,
        growth=(100, 200),
        memory=300,
        job=150,
        gpu=Cloud("synthetic", 1_000, 256),
        matmul=512,
        passages=0,
        clouds=0,
        runs=1,
        seconds=1,
        pause=0,
    ),
}


@dataclass(frozen=True)
class Call:
    """A function of one side. given: the parts of the cloud and its graph that it gets; first: only so many rows
    of the graph."""

    side: str
    function: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ("X",)
    first: int | None = None


def environment() -> dict[str, str]:
    """What every measured process inherits."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return os.environ | dict.fromkeys(names, str(THREADS))


def python_of(side: str) -> Path:
    return PROJECT / VENVS[side] / "bin/python" if side in VENVS else Path(warm.python())


class Worker:
    """The process of one side. Raises Unavailable if it cannot start."""

    def __init__(self, side: str) -> None:
        python = python_of(side)
        if not python.is_file():
            raise Unavailable(f"{side} is not installed")
        self._side = side
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("worker.py"), side],
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        started = self._reply()
        if "unavailable" in started:
            self.close()
            raise Unavailable(f"{side} is not installed: {started['unavailable']}")
        self.versions: dict[str, str] = started["versions"]

    def call(self, call: Call, inputs: Mapping[str, Path], save: Path | None = None) -> dict[str, Any]:
        """{"seconds": of the call alone, "peak": bytes above those in use before, or None}; values go into `save`."""
        asked = {
            "function": call.function,
            "parameters": dict(call.parameters),
            "inputs": {name: str(path) for name, path in inputs.items()},
            "save": str(save) if save else None,
        }
        with suppress(BrokenPipeError):  # the missing reply will tell
            print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer = self._reply()
        if "error" in answer:
            raise Failed(f"{self._side}.{call.function}: {answer['error']}")
        return answer

    def _reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the process of {self._side} ended with exit status {self._process.wait()}")
        return json.loads(line)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Bench:
    """One run: its clouds, graphs and values in `folder`, and a process for each side that is needed."""

    def __init__(self, size: Size, folder: Path, peers: bool = True) -> None:
        self.size = size
        self.folder = folder
        self._warm_up = Cloud("synthetic", size.k + 32)
        self._peers = peers
        self._workers: dict[str, Worker] = {}
        self._refused: dict[str, str] = {}
        self._open = ExitStack()
        self.remembered: dict[str, Any] = {}  # of measurements that fill several rows

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: Any) -> None:
        self._open.close()

    @property
    def versions(self) -> dict[str, dict[str, str]]:
        """Side -> package -> version, of the sides that took part."""
        return {side: worker.versions for side, worker in self._workers.items()}

    def worker(self, side: str) -> Worker:
        """The side's process, started when it is first needed, and again if it was killed. Raises Unavailable."""
        if side in VENVS and not self._peers:
            raise Unavailable("peers with a venv of their own are left out")
        if side in self._refused:
            raise Unavailable(self._refused[side])
        if side not in self._workers or not self._workers[side].is_alive():
            try:
                self._workers[side] = Worker(side)
            except Unavailable as reason:
                self._refused[side] = str(reason)
                raise
            self._open.callback(self._workers[side].close)
        return self._workers[side]

    def inputs(self, call: Call, cloud: Cloud) -> dict[str, Path]:
        """The files of what a call is given; makes those that are not there yet."""
        folder = self.folder / f"{cloud.kind}-{cloud.number}-{cloud.dimension}"
        if not folder.is_dir():
            folder.mkdir()
            np.save(folder / "X.npy", cloud.points())
        if set(call.given) & set(GRAPH) and not (folder / "indices.npy").is_file():
            self.worker("idsweep").call(
                Call("idsweep", "neighbors", {"k": self.size.k}), {"X": folder / "X.npy"}, save=folder
            )
        paths = {}
        for name in call.given:
            path = folder / f"{name}.npy"
            if name in GRAPH and call.first is not None:
                whole, path = path, path.with_stem(f"{name}-{call.first}")
                np.save(path, np.load(whole)[: call.first])
            paths[name] = path
        return paths

    def once(self, call: Call, cloud: Cloud) -> dict[str, np.ndarray]:
        """The values of one call, made in the side's process."""
        save = self._values(call.side)
        self.worker(call.side).call(call, self.inputs(call, cloud), save)
        return _load(save)

    def in_turn(self, calls: tuple[Call, Call], cloud: Cloud) -> Timing:
        """Both calls in turn, after a warm-up that compiles and loads what is needed on a small cloud."""
        workers = [self.worker(call.side) for call in calls]
        for call, worker in zip(calls, workers, strict=True):
            worker.call(call, self.inputs(call, self._warm_up))
        inputs = [self.inputs(call, cloud) for call in calls]
        seconds: tuple[list[float], list[float]] = ([], [])
        values = []
        for run in self.repeats(seconds):
            for place, (call, worker) in enumerate(zip(calls, workers, strict=True)):
                save = self._values(call.side) if run == 0 else None
                time.sleep(self.size.pause)
                seconds[place].append(worker.call(call, inputs[place], save)["seconds"])
                if save:
                    values.append(_load(save))
        return Timing(min(seconds[0]), min(seconds[1]), len(seconds[0]), *values)

    def alone(self, call: Call, cloud: Cloud) -> tuple[float, int | None]:
        """Seconds, and bytes beside the data, of a call in a process that has done nothing but a warm-up before."""
        worker = Worker(call.side)
        try:
            worker.call(call, self.inputs(call, self._warm_up))
            inputs = self.inputs(call, cloud)
            answers: list[dict[str, Any]] = []
            seconds: list[float] = []
            for _ in self.repeats((seconds,)):
                answers.append(worker.call(call, inputs))
                seconds.append(answers[-1]["seconds"])
        finally:
            worker.close()
        return min(seconds), answers[0]["peak"]

    def repeats(self, seconds: tuple[list[float], ...]) -> Iterator[int]:
        """Numbers of the runs: `runs` of them, more if they are short, fewer if they take long."""
        run = 0
        while True:
            yield run
            run += 1
            spent = sum(map(sum, seconds))
            if spent > self.size.seconds or (run >= self.size.runs and spent > 0.1) or run >= 3 * self.size.runs:
                return

    def _values(self, side: str) -> Path:
        folder = self.folder / f"values-{side}"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        return folder


@dataclass(frozen=True)
class Timing:
    """Best seconds of both calls, how often each ran, and what the first runs returned."""

    ours: float
    theirs: float
    runs: int
    our_values: Mapping[str, np.ndarray]
    their_values: Mapping[str, np.ndarray]


def _load(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in folder.iterdir()}
