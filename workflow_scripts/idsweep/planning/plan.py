"""The costs of all jobs of a sweep added up: what it will take, before anything runs."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from idsweep.planning import costs
from idsweep.planning.costs import Cost
from idsweep.planning.jobs import Sizes, Work, assumptions, work_of
from idsweep.sweep.checks import foreseen
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph

FETCHED, VECTORS, GRAPHS = "checkpoints", "embeddings", "neighbors"
DELETED = (VECTORS, GRAPHS)  # folders of results/ whose files are deleted when nothing needs them, unless keep_* is set


@dataclass(frozen=True)
class Plan:
    """What a sweep takes in a folder without results.

    work: its jobs. keeps: of `DELETED`, those that are kept. cores: that jobs share, or jobs that a cluster runs at a
    time. checkpoint_disk: bytes that fetched checkpoints may take at one time; None without a bound. device: of the
    configuration. assumed: what is not known beforehand, in words. foreseen: which checkpoints will fail, and why.
    """

    name: str
    work: Sequence[Work]
    keeps: frozenset[str]
    cores: int
    checkpoint_disk: float | None
    device: str
    assumed: Sequence[str]
    foreseen: str = ""

    @property
    def jobs(self) -> dict[str, int]:
        """Rule -> number of its jobs."""
        counted: Counter[str] = Counter()
        for work in self.work:
            counted[work.rule] += work.number
        return dict(counted)

    @property
    def number(self) -> int:
        return sum(work.number for work in self.work)

    def core_seconds(self, gpu: bool = False) -> dict[str, float]:
        """Rule -> core seconds of its jobs, without or beside a GPU."""
        return self._by_rule(lambda cost: cost.cpu_beside_gpu if gpu else cost.cpu)

    def gpu_seconds(self) -> dict[str, float]:
        """Rule -> seconds of a GPU, of rules that use one."""
        return {rule: seconds for rule, seconds in self._by_rule(lambda cost: cost.gpu).items() if seconds}

    def memory(self) -> dict[str, float]:
        """Rule -> bytes of its largest job."""
        largest: dict[str, float] = {}
        for work in self.work:
            largest[work.rule] = max(largest.get(work.rule, 0.0), work.cost.memory)
        return largest

    @property
    def overhead(self) -> float:
        """Core seconds of Snakemake itself, and of what is compiled once."""
        return self.number * costs.rate("job") + costs.rate("compilation")

    @property
    def memory_of_snakemake(self) -> float:
        return 1.5e8 + self.number * costs.rate("memory_job")

    @property
    def download(self) -> float:
        """Bytes of weights and tokenizers; of datasets nothing is known beforehand."""
        return sum(work.number * work.cost.download for work in self.work)

    def written(self) -> dict[str, float]:
        """Folder of results/ -> bytes that are written into it, deleted ones included; largest first."""
        sizes: Counter[str] = Counter({"logs and records": self.number * costs.rate("records")})
        for work in self.work:
            for folder, size in work.cost.written.items():
                sizes[folder] += work.number * size
        return dict(sizes.most_common())

    def checkpoints_at_once(self) -> float:
        """Bytes of fetched checkpoints that are there at one time, at most."""
        whole = self.written().get(FETCHED, 0.0)
        if self.checkpoint_disk is None:
            return whole
        return min(whole, max(self.checkpoint_disk, self._largest(FETCHED, 1)))

    def at_once(self, folder: str) -> float:
        """Bytes of a folder of `DELETED` that are there at one time, at most, where its files are deleted.

        What reads a file comes before what makes another (`priority` of the rules), so that no more files are there than
        jobs run at a time and, of hidden states, as many passes that wait for their jobs (`extraction/shared.py`).
        """
        return self._largest(folder, self.files_at_once(folder))

    def files_at_once(self, folder: str) -> int:
        """Files of a folder of `DELETED` that are there at one time, at most, where they are deleted after use."""
        return self.cores * (2 if folder == VECTORS else 1)

    def left(self, keeps: Collection[str]) -> float:
        """Bytes that stay, where of `DELETED` those in `keeps` are kept."""
        gone = {FETCHED, *DELETED} - set(keeps)
        return sum(size for folder, size in self.written().items() if folder not in gone)

    def peak(self, keeps: Collection[str] | None = None) -> float:
        """Most bytes on the disk at one time, where of `DELETED` those in `keeps` are kept; as configured if None."""
        keeps = self.keeps if keeps is None else keeps
        passing = sum(self.at_once(folder) for folder in DELETED if folder not in keeps)
        return self.left(keeps) + self.checkpoints_at_once() + passing

    def _largest(self, folder: str, number: int) -> float:
        """Bytes of the `number` largest files of a folder."""
        sizes = ((work.cost.written.get(folder, 0.0), work.number) for work in self.work)
        total, left = 0.0, number
        for size, there in heapq.nlargest(number, sizes):
            total, left = total + min(left, there) * size, left - min(left, there)
        return total

    def _by_rule(self, part: Callable[[Cost], float]) -> dict[str, float]:
        added: Counter[str] = Counter()
        for work in self.work:
            added[work.rule] += work.number * part(work.cost)
        return dict(added)


def plan(sweep: Sweep, *, cores: int = 1, checkpoint_disk_gb: float | None = None) -> Plan:
    """The plan of a sweep.

    cores: that the jobs share, or jobs that a cluster runs at a time. checkpoint_disk_gb: what fetched checkpoints may take.
    """
    bound = None if checkpoint_disk_gb is None else 1e9 * checkpoint_disk_gb
    sizes = Sizes(sweep)
    return Plan(
        name=sweep.name,
        work=work_of(sizes, JobGraph(sweep)),
        keeps=frozenset(folder for folder in DELETED if sweep.config[f"keep_{folder}"]),
        cores=cores,
        checkpoint_disk=bound,
        device=sweep.config["compute"]["device"],
        assumed=list(assumptions(sizes)),
        foreseen=foreseen(sweep),
    )


def corrected(planned: Plan, factors: Mapping[str, float]) -> Plan:
    """The plan with the core seconds of each rule multiplied by its factor (1 if it has none)."""
    work = [one._replace(cost=replace(one.cost, cpu=one.cost.cpu * factors.get(one.rule, 1.0))) for one in planned.work]
    return replace(planned, work=work)
