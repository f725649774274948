"""A SLURM cluster of one node, this machine, with a GPU that is none: started without systemd, stopped without a trace."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "setpriv")
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# Ports, key and sockets are its own, so that nothing else on the machine is in its way. There is no accounting; a
# job beyond its memory is killed within seconds; finished jobs are remembered long enough to be looked at.
CONFIGURATION = """\
ClusterName=idsweep
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
MinJobAge=7200
KillWait=2
GresTypes=gpu
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN Gres=gpu:1
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpus Nodes={host} MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and what it remembers of its jobs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which SLURM's commands talk to this cluster."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        path = os.pathsep.join([str(self.folder / "bin"), SYSTEM_PATH])
        return others | {"PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def jobs(self) -> dict[int, dict[str, str]]:
        """Number -> record of every job that was ever submitted, as `scontrol` shows it: `JobState`, `TresPerJob` …"""
        shown = self.call("scontrol", "--oneliner", "show", "jobs")
        records = [dict(re.findall(r"(?:^| )([A-Za-z/:]+)=(\S*)", line)) for line in shown.splitlines()]
        return {int(record["JobId"]): record for record in records if "JobId" in record}

    def script(self, job: int) -> str:
        """What was given to `sbatch`."""
        return self.call("scontrol", "write", "batch_script", str(job), "-")

    def cancel_all(self) -> None:
        self.call("scancel", "--user", getpass.getuser())
        wait_until(lambda: not self.call("squeue", "--noheader").strip(), "the last jobs end")


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.2)


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def daemon(*command: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A program that runs while the block does, and no longer than this process; Ctrl-C is left to the block's end."""
    with log.open("ab") as file:
        command = ("setpriv", "--pdeathsig", "KILL", *command)
        process = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start munge, the controller and the node's daemon in a new folder; stop them, and what jobs there are, at the end.

    Raises
    ------
    RuntimeError
        If a program is missing, or the node does not come up; the message ends with what the daemons said.
    """
    missing = [name for name in NEEDED if shutil.which(name, path=SYSTEM_PATH) is None]
    if missing:
        raise RuntimeError(
            f"{', '.join(missing)} not found; on Debian: apt-get install slurm-wlm munge (make test-slurm)"
        )
    for part in ("state", "spool", "bin"):
        (folder / part).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(host=host, user=getpass.getuser(), folder=folder, ports=free_ports(2))
    )
    (folder / "gres.conf").write_text("Name=gpu Count=1 File=/dev/null\n")
    # The executor plugin takes all of SLURM's variables from the environment of steps, where this cluster is not /etc's.
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=SYSTEM_PATH)} "$@"\n')
    srun.chmod(0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))

    cluster = Cluster(folder)
    munge = [
        f"--{name}={folder}/munge.{ending}"
        for name, ending in {
            "socket": "socket",
            "key-file": "key",
            "log-file": "log",
            "pid-file": "pid",
            "seed-file": "seed",
        }.items()
    ]
    output = folder / "daemons.out"
    with ExitStack() as stack:
        start = lambda *command: stack.enter_context(daemon(*command, log=output, env=cluster.environment))  # noqa: E731
        start("munged", "--foreground", "--force", *munge)
        try:
            wait_until((folder / "munge.socket").exists, "munged")
            start("slurmctld", "-D")
            wait_until(lambda: answers(cluster, "scontrol", "ping"), "slurmctld")
            start("slurmd", "-D")
            wait_until(lambda: "idle" in cluster.call("sinfo", "--noheader", "--format=%T"), "slurmd")
        except (TimeoutError, subprocess.SubprocessError) as error:
            said = "\n".join(path.read_text(errors="replace")[-2000:] for path in [output, *folder.glob("*.log")])
            raise RuntimeError(f"the SLURM cluster for tests did not start: {error}\n{said}") from error
        try:
            yield cluster
        finally:
            cluster.cancel_all()


def answers(cluster: Cluster, *command: str) -> bool:
    return subprocess.run(command, env=cluster.environment, capture_output=True, timeout=60).returncode == 0
