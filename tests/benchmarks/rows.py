"""What is measured: one row of the table each."""

from __future__ import annotations

import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import warm

from benchmarks import job
from benchmarks.bench import GRAPH, Bench, Call, Failed, Size, Unavailable, environment
from benchmarks.clouds import Cloud

WITH_GRAPH = ("X", *GRAPH)
OWN_SEARCH = "idsweep's kNN of that graph"
PEER_POINTS = 1_000


@dataclass
class Row:
    """A line of the table. `measure` fills in what is not given.

    cloud: what it is measured on, as a `Cloud`; its text stands in the table. k: neighbours, 0 where there are none.
    figure: how often ours is faster than theirs where unit is "×"; else in `unit`. at_least, at_most: the target.
    tolerance: the largest relative difference of the values that is allowed.
    """

    group: str
    what: str
    cloud: Any
    k: int
    against: str
    measure: Callable[[Bench, Row], None]
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None
    tolerance: float | None = None
    ours: float | None = None
    theirs: float | None = None
    runs: int | None = None
    figure: float | None = None
    difference: float | None = None
    note: str = ""
    missing: str = ""
    failed: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}: {self.what}, against {self.against}" if self.against else f"{self.group}: {self.what}"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none or nothing was measured."""
        if self.figure is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    def fill(self, bench: Bench) -> None:
        """Measure; what keeps it from being measured goes into `missing`. An error is kept too: other rows go on."""
        try:
            self.measure(bench, self)
        except Unavailable as reason:
            self.missing = str(reason)
        except Failed as error:
            self.missing, self.failed = str(error), True
        except Exception:
            self.missing, self.failed = traceback.format_exc(), True
        if self.difference is not None and not self.difference <= self.tolerance:
            self.failed = True


def estimation_rows(size: Size) -> list[Row]:
    """Rows about neighbours and estimates."""
    return [*_neighbors(size), *_local(size), *_global(size), *_growth(size), *_jobs(size), *_gpu(size)]


def _neighbors(size: Size) -> list[Row]:
    def row(cloud: Cloud, side: str, against: str, tolerance: float) -> Row:
        calls = (Call(name, "neighbors", {"k": size.k}) for name in ("idsweep", side))
        return Row("Neighbours", "kNN", cloud, size.k, against, compared(*calls), at_least=1, tolerance=tolerance)

    real, synthetic = Cloud("real", size.real), Cloud("synthetic", size.synthetic, 768)
    return [
        row(synthetic, "faiss", "faiss-cpu IndexFlatL2", tolerance=1e-4),
        # float32 inner products leave faiss few digits of the distances between points that are nearly equal
        row(real, "faiss", "faiss-cpu IndexFlatL2", tolerance=2e-2),
        row(real, "scikit_learn", "scikit-learn brute", tolerance=1e-6),
    ]


def _local(size: Size) -> list[Row]:
    real = Cloud("real", size.real)
    part = min(PEER_POINTS, real.number)

    def row(what: str, against: str, measure: Callable[[Bench, Row], None], **target: Any) -> Row:
        return Row("Local", what, real, size.k, against, measure, **target)

    def ours(estimator: str, given: tuple[str, ...] = ("X",)) -> Call:
        return Call("idsweep", "local", {"estimator": estimator, "n_neighbors": size.k}, given)

    def theirs(estimator: str, given: tuple[str, ...] = ("X",), first: int | None = None) -> Call:
        return Call("scikit_dimension", "fit_pw", {"estimator": estimator, "n_neighbors": size.k}, given, first)

    return [
        row(
            "TwoNN, from the graph",
            "scikit-dimension TwoNN.fit_pw, from the graph",
            compared(ours("twonn", WITH_GRAPH), theirs("TwoNN", ("X", "indices"))),
            at_least=100,
            tolerance=1e-4,
        ),
        row(
            "TwoNN, neighbours included",
            "scikit-dimension TwoNN.fit_pw",
            compared(ours("twonn"), theirs("TwoNN")),
            at_least=8,
            tolerance=1e-4,
        ),
        row(
            "lPCA FO, from the graph",
            "scikit-dimension lPCA.fit_pw, from the graph",
            compared(ours("lpca", WITH_GRAPH), theirs("lPCA", ("X", "indices"), part), first=part),
            at_least=20,
            tolerance=0,
        ),
        row("MLE, from the graph", OWN_SEARCH, _share(ours("mle", WITH_GRAPH), size), unit="%", at_most=2),
        row(
            "MLE, local and global, neighbours included",
            "scikit-dimension MLE.fit",
            compared(
                Call("idsweep", "pointwise_and_global", {"estimator": "mle", "n_neighbors": size.k}),
                Call("scikit_dimension", "fit_mle", {"n_neighbors": size.k}),
            ),
            tolerance=1e-4,
        ),
    ]


def _global(size: Size) -> list[Row]:
    real = Cloud("real", size.real)
    largest = size.k // 4

    def ours(estimator: str, given: tuple[str, ...] = ("X",), **parameters: Any) -> Call:
        return Call("idsweep", "global_", {"estimator": estimator, **parameters}, given)

    def share(what: str, call: Call) -> Row:
        what = f"{what}, from the graph"
        return Row("Global", what, real, size.k, OWN_SEARCH, _share(call, size), unit="%", at_most=2)

    def against(peer: str, what: str, k: int, *calls: Call, tolerance: float, at_least: float | None = None) -> Row:
        what = f"{what}, neighbours included"
        return Row("Global", what, real, k, peer, compared(*calls), at_least=at_least, tolerance=tolerance)

    def twonn(peer: str, call: Call, **target: Any) -> Row:
        return against(peer, "TwoNN", 2, ours("twonn"), call, **target)

    def scales(peer: str, side: str) -> Row:
        calls = (Call(name, "gride_scales", {"largest": largest}) for name in ("idsweep", side))
        return against(peer, f"GRIDE at n1 = 1, 2, 4 … {largest}", 2 * largest, *calls, tolerance=1e-3)

    return [
        share("TwoNN", ours("twonn", WITH_GRAPH)),
        share("GRIDE at n1 = 1", ours("gride", WITH_GRAPH, n1=1)),
        twonn("scikit-dimension TwoNN.fit", Call("scikit_dimension", "fit", {"estimator": "TwoNN"}), tolerance=1e-4),
        # ranks that begin at 0 instead of 1 move the slope by about 3 / N
        twonn("torchid TwoNN", Call("torchid", "fit", {"estimator": "TwoNN"}), at_least=1, tolerance=10 / real.number),
        twonn("DADApy compute_id_2NN", Call("dadapy", "twonn", {"discard_fraction": 0.1}), tolerance=1e-3),
        against(
            "torchid MLE",
            "MLE",
            size.k,
            ours("mle", n_neighbors=size.k),
            Call("torchid", "fit", {"estimator": "MLE", "n_neighbors": size.k}),
            at_least=1,
            tolerance=1e-3,
        ),
        scales("scikit-dimension GRIDE", "scikit_dimension"),
        scales("DADApy return_id_scaling_gride", "dadapy"),
    ]


def _growth(size: Size) -> list[Row]:
    def row(what: str, function: str, at_most: float | None = 1.25, **parameters: Any) -> Row:
        call = Call("idsweep", function, parameters, ("X",) if function == "neighbors" else WITH_GRAPH)
        cloud, against = Cloud("synthetic", size.growth[-1]), f"itself at N = {size.growth[-2]:,}"
        return Row("Growth", what, cloud, size.k, against, _grown(call, size.growth), unit="exponent", at_most=at_most)

    search = Call("idsweep", "neighbors", {"k": size.k})
    cloud = Cloud("synthetic", size.memory)
    return [
        row("kNN, N²", "neighbors", at_most=None, k=size.k),
        row("local TwoNN, at most N log N", "local", estimator="twonn", n_neighbors=size.k),
        row("local MLE, at most N log N", "local", estimator="mle", n_neighbors=size.k),
        row("local lPCA, at most N log N", "local", estimator="lpca", n_neighbors=size.k),
        row("global TwoNN, at most N log N", "global_", estimator="twonn"),
        Row("Growth", "memory of kNN beside the data", cloud, size.k, "", _peak(search), unit="MB", at_most=1000),
    ]


def _jobs(size: Size) -> list[Row]:
    what = "estimate_dimensions, process start included"
    return [Row("Job", what, Cloud("real", size.job), job.NEIGHBORS, "", _job, unit="s", at_most=1)]


def _gpu(size: Size) -> list[Row]:
    on_cpu = Call("idsweep", "neighbors", {"k": size.k})
    on_gpu = Call("idsweep", "neighbors", {"k": size.k, "device": "cuda"})
    product = f"a float32 matrix product of size {size.matmul:,}"
    cloud = Cloud("synthetic", size.synthetic, 768)
    measured = _on_gpu(compared(on_gpu, on_cpu))
    return [
        Row("GPU", "kNN", size.gpu, size.k, product, _rate(on_gpu, size), unit="% of its rate", at_least=50),
        Row("GPU", "kNN", cloud, size.k, "idsweep on the CPU", measured, tolerance=1e-12),
    ]


def compared(ours: Call, theirs: Call, first: int | None = None) -> Callable[[Bench, Row], None]:
    """Both calls in turn. first: theirs answers for so many points only, and its time is scaled to all of them."""

    def measure(bench: Bench, row: Row) -> None:
        found = bench.in_turn((ours, theirs), row.cloud)
        scale = row.cloud.number / first if first else 1
        row.ours, row.theirs, row.runs = found.ours, scale * found.theirs, found.runs
        row.figure = row.theirs / row.ours
        row.difference = largest_difference(
            {name: values[:first] if first else values for name, values in found.our_values.items()}, found.their_values
        )
        if scale > 1:
            row.note = f"{row.against}: {found.theirs:.3g} s for {first:,} points, scaled to all {row.cloud.number:,}."

    return measure


def _share(ours: Call, size: Size) -> Callable[[Bench, Row], None]:
    def measure(bench: Bench, row: Row) -> None:
        found = bench.in_turn((ours, Call("idsweep", "neighbors", {"k": size.k})), row.cloud)
        row.ours, row.theirs, row.runs = found.ours, found.theirs, found.runs
        row.figure = 100 * row.ours / row.theirs

    return measure


def _grown(call: Call, numbers: tuple[int, ...]) -> Callable[[Bench, Row], None]:
    def measure(bench: Bench, row: Row) -> None:
        found = [bench.alone(call, Cloud("synthetic", number)) for number in numbers]
        seconds = np.array([seconds for seconds, _ in found])
        exponents = np.diff(np.log2(seconds)) / np.diff(np.log2(numbers))
        row.ours, row.theirs, row.figure = seconds[-1], seconds[-2], float(exponents[-1])
        parts = [
            f"{number:,} points {second:.3g} s, {_megabytes(peak)}"
            for number, (second, peak) in zip(numbers, found, strict=True)
        ]
        steps = ", ".join(f"{exponent:.2f}" for exponent in exponents)
        step = row.what.partition(",")[0]
        row.note = f"{step}, seconds and memory beside the data: {'; '.join(parts)}. Exponents {steps}."

    return measure


def _peak(call: Call) -> Callable[[Bench, Row], None]:
    def measure(bench: Bench, row: Row) -> None:
        row.ours, peak = bench.alone(call, row.cloud)
        if peak is None:
            raise Unavailable("memory is read from /proc, which this system lacks")
        row.figure = peak / 1e6

    return measure


def _megabytes(peak: int | None) -> str:
    return "memory unknown" if peak is None else f"{peak / 1e6:.0f} MB"


def _job(bench: Bench, row: Row) -> None:
    folder = bench.folder / "job"
    folder.mkdir()
    job.prepare(folder, np.load(bench.inputs(Call("idsweep", "local"), row.cloud)["X"]))
    _run_job("find_neighbors", folder)
    _run_job("estimate_dimensions", folder)  # a warm-up
    seconds = []
    for _ in range(bench.size.runs):
        start = time.perf_counter()
        _run_job("estimate_dimensions", folder)
        seconds.append(time.perf_counter() - start)
    row.ours = row.figure = median(seconds)
    row.runs = len(seconds)


def _run_job(rule: str, folder: Path) -> None:
    command = [warm.python(), str(Path(job.__file__)), rule, str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr)


def _on_gpu(measure: Callable[[Bench, Row], None]) -> Callable[[Bench, Row], None]:
    def measure_there(bench: Bench, row: Row) -> None:
        import torch

        if not torch.cuda.is_available():
            raise Unavailable("no GPU")
        measure(bench, row)

    return measure_there


def _rate(call: Call, size: Size) -> Callable[[Bench, Row], None]:
    def measure(bench: Bench, row: Row) -> None:
        product = Call("idsweep", "matmul_rate", {"size": size.matmul, "device": "cuda"}, given=())
        best = float(bench.once(product, row.cloud)["value"])
        row.ours, _ = bench.alone(call, row.cloud)
        rate = 2 * row.cloud.number**2 * row.cloud.dimension / row.ours
        row.figure = 100 * rate / best
        row.note = f"kNN on the GPU: {rate / 1e9:,.0f} GFLOP/s (2 N² D by its time), the product {best / 1e9:,.0f}."

    return _on_gpu(measure)


def largest_difference(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> float:
    """Largest relative difference of the values; infinite where only one is NaN. Indices, free among ties, are left out."""
    largest = 0.0
    for name in (ours.keys() & theirs.keys()) - {"indices"}:
        left, right = ours[name].astype(np.float64), theirs[name].astype(np.float64)
        if left.shape != right.shape or (np.isnan(left) != np.isnan(right)).any():
            return np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(left == right, 0.0, np.abs(left - right) / np.abs(right))
        largest = max(largest, float(np.nanmax(relative, initial=0.0)))
    return largest
