"""What one job costs, from the sizes of what it handles and from throughput.

Throughput stands in one table, `MEASURED`, with the command that each value was measured by. Times on a GPU are none of
it: no GPU was at hand, and `ASSUMED` says what is assumed instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from idsweep.config.load import memory_beyond
from idsweep.neighbors.variants import NULLS, is_null
from idsweep.planning.models import Shape

BENCH = "make bench, docs/benchmarks.md"
RUN = "snakemake --profile profiles/local, results/demo"
DEMO = f"{RUN}/benchmarks"
FINE_TUNING = "config/experiments/overfitting_small.yaml, fine_tuning_small.yaml, benchmarks/fine_tune_*"
FLOAT = 4


class Value(NamedTuple):
    """One throughput: its value and unit (core seconds where not said otherwise) and what it was measured by."""

    value: float
    unit: str
    by: str


MEASURED: Mapping[str, Value] = {
    "forward": Value(6.0e10, "floating-point operations a core second", f"{BENCH}, Extraction"),
    "training": Value(4.0e10, "floating-point operations a core second", f"{DEMO}/train_language_model"),
    "trainer_step": Value(0.02, "s of a step beside its operations, transformers' Trainer", FINE_TUNING),
    "search_coordinate": Value(1.5e-11, "s for each pair of points and coordinate", f"{BENCH}, Growth: kNN"),
    "search_pair": Value(3.0e-9, "s for each pair of points", f"{BENCH}, Growth: kNN"),
    "search_neighbor": Value(3.0e-7, "s for each neighbour found", f"{BENCH}, Growth: kNN; {DEMO}/find_neighbors"),
    "null_coordinate": Value(3.0e-8, "s for each point and coordinate of a null", f"{DEMO}/find_neighbors"),
    "twonn": Value(2.8e-7, "s for each point and neighbour", f"{BENCH}, Local: TwoNN, from the graph"),
    "lpca": Value(2.6e-8, "s for each point and squared neighbour", f"{BENCH}, Local: lPCA FO, from the graph"),
    "mle": Value(2.0e-8, "s for each point and neighbour", f"{BENCH}, Local: MLE, from the graph"),
    "global": Value(1.0e-6, "s for each point", f"{BENCH}, Global: GRIDE and TwoNN, from the graph"),
    "describe": Value(1.6e-4, "s for each local value described", "token_groups and token_extremes on results/demo"),
    "describe_losses": Value(3.7e-4, "s for each local value set against a loss", "loss_correlations on results/demo"),
    "write": Value(5.0e8, "bytes a second", "pyarrow, lz4, design of files/vectors.py"),
    "start_models": Value(2.4, "s of a process with torch, transformers and datasets", f"{DEMO}/sample_tokens"),
    "gguf": Value(5e-8, "s a byte of the weights that a GGUF file stands for", "SmolLM2-135M-Instruct, Q4_1, benchmark of convert_weights in `idsweep run smollm2`"),
    "start_estimation": Value(1.0, "s of a process with numpy, numba and pyarrow", f"{BENCH}, Job"),
    "start_tables": Value(1.0, "s of a process that makes a table", f"{DEMO}/collect_estimates"),
    "start_plain": Value(0.4, "s of a process with pyarrow alone", f"{DEMO}/collect_training, collect_reference, describe_sweep, write_csv"),
    "start_figures": Value(3.0, "s of a process that draws", f"{DEMO}/draw_figure"),
    "job": Value(0.4, "s of Snakemake itself for each job", f"{DEMO}, user and system time of snakemake"),
    "compilation": Value(15.0, "s once, numba", "tests/workflow: the first find_neighbors and estimate_dimensions"),
    "memory_models": Value(4.8e8, "bytes of a process with torch and transformers", f"{DEMO}/extract_embeddings"),
    "memory_search": Value(5.0e8, "bytes of blocks of inner products", "neighbors/search.py, at most"),
    "memory_pair": Value(300.0, "bytes of a neighbour while estimates are made", "make bench-memory"),
    "memory_row": Value(130.0, "bytes of an estimate in a table", "make bench-memory"),
    "memory_written": Value(300.0, "bytes of an estimate while it is written", "make bench-memory"),
    "memory_token": Value(100.0, "bytes of a sampled token", "make bench-memory"),
    "memory_estimation": Value(4.0e8, "bytes of a process with numpy and numba", f"{DEMO}/estimate_dimensions"),
    "memory_figures": Value(3.0e8, "bytes of a process that draws", f"{DEMO}/draw_figure"),
    "memory_job": Value(2.3e4, "bytes of Snakemake itself for each job", f"{BENCH}, Plan: its memory"),
    "file": Value(1.2e4, "bytes of what a file carries beside its rows", "provenance: idsweep show results/demo/estimates/…"),
    "records": Value(9.0e3, "bytes of a job's log, benchmark and Snakemake's record", f"{DEMO}, logs and .snakemake/metadata"),
    "estimate_row": Value(12.0, "bytes of a local value", f"{RUN}, estimates"),
    "neighbor": Value(10.5, "bytes of a neighbour and its distance, compressed", f"{RUN}, neighbors"),
    "map_row": Value(13.0, "bytes of a point in a map", "snakemake on tests/data/mini.yaml with explorer_map, maps"),
    "token_row": Value(16.0, "bytes of a sampled token", f"{RUN}, tokens"),
    "prediction_row": Value(8.0, "bytes of a measure of a token", f"{RUN}, predictions"),
}  # fmt: skip

CARD = "an A100"
ASSUMED: Mapping[str, Value] = {
    "gpu_16_bit": Value(0.3 * 312e12, "floating-point operations a second", f"30 % of {CARD}'s 312 TFLOP/s in 16 bits"),
    "gpu_32_bit": Value(
        0.3 * 19.5e12, "floating-point operations a second", f"30 % of {CARD}'s 19.5 TFLOP/s in 32 bits"
    ),
    "gpu_start": Value(10.0, "s in which a job holds the card before and after its work", "a guess"),
    "load": Value(1.0e9, "bytes of weights a second, from the disk to the card", "a guess"),
}
BUFFER_BYTES, STATES_BYTES, BATCH_TOKENS = 64 * 2**20, 256 * 2**20, 1024  # of extraction.py, on a CPU
TRAINING_PASSES = 3  # a training step is a forward pass and twice as much backwards
EIGENVECTORS = 9  # operations for each cubed coordinate
EIGH_MATRICES = 4  # the covariance, its copy, eigenvectors and work space
OPTIMIZER = 4  # weights, gradients and two moments of each


@dataclass(frozen=True)
class Cost:
    """What one job takes.

    cpu: core seconds where there is no GPU. gpu: seconds of a GPU, where there is one; the job then takes `beside` core
    seconds, else `cpu`. memory: bytes. written: folder of results/ -> bytes. download: bytes.
    """

    cpu: float = 0.0
    gpu: float = 0.0
    beside: float = 0.0
    memory: float = 0.0
    written: Mapping[str, float] = field(default_factory=dict)
    download: float = 0.0

    @property
    def cpu_beside_gpu(self) -> float:
        return self.beside if self.gpu else self.cpu


class Cloud(NamedTuple):
    """A point cloud: N points of `width` coordinates, the variants that are measured (name -> number of points), and k."""

    width: int
    variants: Mapping[str, int]
    neighbors: int


def rate(name: str) -> float:
    return (MEASURED[name] if name in MEASURED else ASSUMED[name]).value


def operations(shape: Shape, tokens: float, length: float, head: bool) -> float:
    """Floating-point operations of a forward pass over `tokens`, in sequences of `length`."""
    attention = 4 * shape.depth * shape.width * length
    return tokens * (2 * shape.in_blocks + attention + (2 * shape.in_head if head else 0))


def _on_gpu(shape: Shape, operations: float) -> float:
    return (
        rate("gpu_start")
        + shape.files / rate("load")
        + operations / rate("gpu_16_bit" if shape.loaded == 2 else "gpu_32_bit")
    )


def extraction(shape: Shape, tokens: float, length: float, points: int, layers: int, head: bool, storage: int) -> Cost:
    """A forward pass over `tokens`; `points` vectors of `layers` layers are written, of `storage` bytes a coordinate."""
    work = operations(shape, tokens, length, head)
    rows = points * layers * (shape.width * storage + FLOAT) + rate("file")
    loaded = shape.parameters * shape.loaded
    states = layers * shape.width * FLOAT
    buffers = 2 * min(BUFFER_BYTES, points * states) + min(STATES_BYTES, BATCH_TOKENS * states)
    return Cost(
        cpu=rate("start_models") + loaded / rate("load") + work / rate("forward") + rows / rate("write"),
        gpu=_on_gpu(shape, work),
        beside=rate("start_models") + _on_gpu(shape, work) + rows / rate("write"),
        memory=rate("memory_models") + max(loaded, shape.files) + buffers,
        written={
            "embeddings": rows,
            "predictions": (points * rate("prediction_row") if head else 0) + rate("file"),
            "losses": rate("file"),
        },
    )


def rows_of_matrices(shape: Shape, points: int, matrices: int, storage: int) -> Cost:
    rows = points * matrices * (shape.width * storage + FLOAT) + rate("file")
    loaded = shape.parameters * shape.loaded
    return Cost(
        cpu=rate("start_models") + loaded / rate("load") + rows / rate("write"),
        memory=rate("memory_models") + loaded + shape.in_head * FLOAT,
        written={"embeddings": rows},
    )


def search(cloud: Cloud) -> float:
    """Core seconds of all neighbours of a cloud and its variants, these made first."""
    pairs = sum(number**2 for number in cloud.variants.values())
    points = sum(cloud.variants.values())
    return (
        pairs * (rate("search_coordinate") * cloud.width + rate("search_pair"))
        + points * cloud.neighbors * rate("search_neighbor")
        + _nulls(cloud)
    )


def _nulls(cloud: Cloud) -> float:
    return sum(
        number * cloud.width * (rate("null_coordinate") + 4 * min(number, cloud.width) / rate("forward"))
        for name, number in cloud.variants.items()
        if is_null(name)
    )


def neighbors(clouds: Sequence[Cloud]) -> Cost:
    """The neighbours of one cloud in each of several representations; memory: see `memory_of_search`."""
    seconds = sum(map(search, clouds))
    points = [sum(cloud.variants.values()) for cloud in clouds]
    rows = sum(n * (cloud.neighbors * rate("neighbor") + FLOAT) for n, cloud in zip(points, clouds, strict=True))
    pairs = sum(2 * n**2 * cloud.width for cloud in clouds for n in cloud.variants.values())
    gpu = rate("gpu_start") + pairs / rate("gpu_32_bit")
    return Cost(
        cpu=rate("start_estimation") + seconds + rows / rate("write"),
        gpu=gpu,
        beside=rate("start_models") + gpu + sum(map(_nulls, clouds)) + rows / rate("write"),
        written={"neighbors": rows + len(clouds) * rate("file")},
    )


def projections(points: int, most: int, widths: Sequence[int]) -> Cost:
    """Representations of `points` vectors, at most `most`, projected to their principal components; `widths`: coordinates of each."""
    work = sum(2 * points * width * width + EIGENVECTORS * min(points, width) ** 3 for width in widths)
    rows = points * len(widths) * rate("map_row") + rate("file")
    memory = max(4.5 * FLOAT * most * width + EIGH_MATRICES * 8 * min(most, width) ** 2 for width in widths)
    return Cost(
        cpu=rate("start_estimation") + work / rate("forward"),
        memory=rate("memory_estimation") + memory,
        written={"maps": rows},
    )


def estimates(cloud: Cloud, items: Sequence[Mapping[str, Any]], needs_vectors: bool) -> Cost:
    """All estimates of one part of a set on one representation, without the start of the process.

    items: estimator, scope and n_neighbors. Estimators whose time was not measured count as local PCA. memory: see
    `memory_of_estimates`.
    """
    points = sum(cloud.variants.values())
    seconds, rows = (_nulls(cloud) if needs_vectors else 0.0), 0
    for item in items:
        if item["scope"] == "global":
            seconds += points * rate("global")
            continue
        k = item["n_neighbors"]
        each = {"twonn": k * rate("twonn"), "mle": k * rate("mle")}.get(item["estimator"], k**2 * rate("lpca"))
        seconds, rows = seconds + points * each, rows + points
    return Cost(cpu=seconds, written={"estimates": rows * rate("estimate_row") + rate("file")})


def memory_of_search(clouds: Sequence[Cloud], sampled: int) -> float:
    """Bytes of one search of neighbours, the most at one time; `make bench-memory` holds it against measured searches."""
    each = [
        memory_of_cloud(cloud, sampled)
        + number * (2 * FLOAT * cloud.width + (cloud.neighbors + 64) * rate("memory_pair"))
        for cloud in clouds
        for number in [max(cloud.variants.values())]
    ]
    return rate("memory_estimation") + rate("memory_search") + max(each)


def memory_of_cloud(cloud: Cloud, sampled: int) -> float:
    """Bytes while the vectors of a cloud are read, out of `sampled`, and its variants are made: the most at one time."""
    number, width = max(cloud.variants.values()), cloud.width
    read, drawn = FLOAT * sampled * width, FLOAT * number * width
    null = 9 * drawn + 24 * min(number, width) ** 2 if NULLS[0] in cloud.variants else 3 * drawn
    return max(4.5 * read, read + 4 * drawn, null)


def memory_of_estimates(
    cloud: Cloud, items: Sequence[Mapping[str, Any]], sampled: int, needs_vectors: bool, representations: int = 1
) -> float:
    """Bytes of one job of estimates, the most at one time; `make bench-memory` holds it against measured jobs.

    items: estimator, scope, parameters and `n_neighbors`. representations: of its block, whose tables are written together.
    """
    number = max(cloud.variants.values())
    rows = sum(cloud.variants.values()) * sum(item["scope"] == "local" for item in items)
    vectors = beyond = 0.0
    if needs_vectors:
        of_points = 2.5 * FLOAT * number * cloud.width
        beyond = max(memory_beyond(item, number, cloud.width) for item in items)
        vectors = max(memory_of_cloud(cloud, sampled), of_points + beyond)
    pairs = number * cloud.neighbors
    tables = rows * (representations * rate("memory_row") + rate("memory_written"))
    return rate("memory_estimation") + vectors + pairs * rate("memory_pair") + tables + sampled * rate("memory_token")


def training(
    shape: Shape,
    steps: float,
    batch: float,
    evaluated: float,
    length: float,
    saved: int,
    trainer: bool = False,
    trained_share: float = 1.0,
) -> Cost:
    """A training of `steps` steps on `batch` tokens each, in sequences of `length`.

    evaluated: tokens of all evaluations. saved: checkpoints. trainer: whether transformers' Trainer goes from step to step.
    trained_share: of the parameters, what is trained; an adapter's is small, and the rest has no gradients or moments.
    """
    trained, forward = (
        TRAINING_PASSES * operations(shape, steps * batch, length, True),
        operations(shape, evaluated, length, True),
    )
    between = steps * rate("trainer_step") if trainer else 0.0
    activations = batch * FLOAT * (shape.depth * (16 * shape.width + 2 * shape.inner) + 3 * shape.vocabulary)
    parameters = FLOAT * shape.parameters * (1 + (OPTIMIZER - 1) * trained_share)
    writing, on_gpu = (
        saved * shape.files / rate("write"),
        between + _on_gpu(shape._replace(loaded=FLOAT), trained + forward),
    )
    return Cost(
        cpu=rate("start_models") + between + trained / rate("training") + forward / rate("forward") + writing,
        gpu=on_gpu,
        beside=rate("start_models") + on_gpu + writing,
        memory=1.2 * rate("memory_models") + parameters + activations,
        written={"training": saved * (shape.files + 2 * rate("file"))},
    )


def word_vectors(shape: Shape, words: float, negative: int) -> Cost:
    """A training of word vectors on `words` words, each told from `negative` others."""
    seconds = 6 * words * shape.width * (1 + negative) / rate("training")
    return small("start_models", "memory_models", seconds, training=shape.files)


def small(start: str, memory: str, seconds: float = 0.0, **written: float) -> Cost:
    """A job that hardly does more than start. start, memory: names in `MEASURED`."""
    return Cost(cpu=rate(start) + seconds, memory=rate(memory), written=written)


def together(each: Sequence[Cost]) -> Cost:
    """What one job takes that does all of `each` on the CPU, one after the other, without its start."""
    written: dict[str, float] = {}
    for cost in each:
        for folder, size in cost.written.items():
            written[folder] = written.get(folder, 0.0) + size
    return Cost(cpu=sum(cost.cpu for cost in each), memory=max(cost.memory for cost in each), written=written)
