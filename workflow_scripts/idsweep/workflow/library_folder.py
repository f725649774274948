"""The folder from which jobs import the library."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from idsweep.files.project import LIBRARY

LINKS = Path(".snakemake/idsweep/library")  # from the folder in which the workflow runs


def library_folder(base: Path) -> Path:
    """A folder that holds the package idsweep and no other.

    base: where the Snakefile lies. An installed library lies among all other packages, which the Python of a conda environment
    must not see; so a link to it is made, in a folder of its own.
    """
    if (base / "workflow_scripts" / LIBRARY.name).is_dir():
        return base / "workflow_scripts"
    if LIBRARY.parent.name == "workflow_scripts":
        return LIBRARY.parent
    library = LIBRARY.resolve()
    folder = (LINKS / hashlib.sha256(str(library).encode()).hexdigest()[:12]).absolute()
    link = folder / LIBRARY.name
    if not link.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster
            link.symlink_to(library)
    return folder
