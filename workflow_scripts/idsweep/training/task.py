"""What a training is given by the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One training: what shapes it, what it reads, and where it writes.

    settings: of the job, not to be changed: `training` (the keys of its block, without those that name texts), `threads` of
        torch, `texts` (an entry of the catalog of datasets for each of these) and, where it has them, `architecture`,
        `checkpoints` (steps or epochs), `tokenizer`, `base` and `kind`.
    files: key that names texts -> their local file or folder, empty for texts from the hub.
    tokenizer, base: folders; empty where there is none.
    checkpoints: the folder that the training makes.
    identity: what shapes it (its signature), for going on where it was killed.
    device: "cpu" or "cuda".
    """

    settings: Mapping[str, Any]
    files: Mapping[str, str]
    tokenizer: str
    base: str
    checkpoints: str
    identity: str
    device: str
