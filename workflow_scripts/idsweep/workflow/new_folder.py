"""`idsweep init`: a folder with all that a sweep of one's own begins with."""

from __future__ import annotations

import re
from pathlib import Path

from idsweep.files.project import PROJECT

# File of the new folder -> the file of the project that it is a copy of.
COPIES = {
    "sweep.yaml": "config/new_sweep.yaml",
    "config/cluster.yaml": "config/cluster.yaml",
    "profiles/local/config.yaml": "profiles/local/config.yaml",
    "profiles/slurm/config.yaml": "profiles/slurm/config.yaml",
}
IGNORED = "results/\n.snakemake/\n"
NAME = "my_sweep"  # in the file that is copied


def make_folder(folder: Path) -> list[Path]:
    """Write a commented sweep.yaml, profiles, the settings of a cluster and a .gitignore.

    Parameters
    ----------
    folder
        Made if it is not there. Its name becomes that of the sweep, if it is made of letters, digits and `_`.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    ValueError
        If one of the files is there already; then nothing is written.
    OSError
        If the folder cannot be written to.

    Examples
    --------
    >>> from idsweep.workflow.new_folder import COPIES
    >>> sorted(COPIES)[-1]
    'sweep.yaml'
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder that is not there yet.")
    texts = {name: (PROJECT / source).read_text(encoding="utf-8") for name, source in COPIES.items()}
    texts[".gitignore"] = IGNORED
    if there := [str(folder / name) for name in texts if (folder / name).exists()]:
        raise ValueError(f"{', '.join(there)} is there already; nothing was written. Name another folder.")
    name = folder.resolve().name
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and len(name) <= 60:
        texts["sweep.yaml"] = texts["sweep.yaml"].replace(f"sweep: {NAME}", f"sweep: {name}", 1)
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in texts]
