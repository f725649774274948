"""What of a Snakemake profile bounds a sweep: cores, jobs at a time, the disk of checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config.yaml_file import read_yaml


class Bounds(NamedTuple):
    """cores: that jobs share, or jobs that a cluster runs at a time. checkpoint_disk_gb: None without a bound."""

    cores: int
    checkpoint_disk_gb: float | None


def bounds(profile: Path) -> Bounds:
    """Those of a profile's folder. Raises ValueError if it holds no config.yaml, or one that is no mapping."""
    file = profile / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{profile} is not a profile: there is no {file}.")
    given = read_yaml(file)
    if not isinstance(given, dict):
        raise ValueError(f"{file} holds no mapping of options.")
    at_a_time = given.get("jobs") if "executor" in given else given.get("cores", given.get("jobs"))
    cores = at_a_time if isinstance(at_a_time, int) else len(os.sched_getaffinity(0))
    disk = _resources(given.get("resources", {})).get("checkpoint_disk_gb")
    return Bounds(cores, None if disk is None else float(disk))


def _resources(given: Any) -> dict[str, Any]:
    """Resources as a mapping, which profiles may also write as a list of NAME=VALUE, or one text of them."""
    if isinstance(given, dict):
        return given
    listed = given.split() if isinstance(given, str) else given
    return dict(str(item).split("=", 1) for item in listed)
