"""Where the workflow lies: a checkout of the project, or the copy of it that an installed package carries."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).parents[1]
CARRIED = LIBRARY / "project"  # in a wheel, beside the library's packages
PROJECT = CARRIED if CARRIED.is_dir() else LIBRARY.parents[1]


def in_project(path: Path) -> Path:
    """A path as it is given, from the working folder; if nothing is there, from the project's folder, if something is there."""
    beside = PROJECT / path
    return beside if not path.exists() and beside.exists() else path


def snakefile() -> Path:
    """Where the workflow's Snakefile is: in the installed package, or in the checkout that the library is part of.

    Returns
    -------
    Path
        For `snakemake --snakefile`, and for `snakefile:` of a module in another workflow.

    Raises
    ------
    FileNotFoundError
        If the library was copied somewhere without its workflow.

    Examples
    --------
    >>> from idsweep import snakefile
    >>> snakefile().name
    'Snakefile'
    """
    path = PROJECT / "Snakefile"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no workflow beside this library: {path} is missing. Install the package (pip install idsweep), or use "
            "the library of a checkout."
        )
    return path


def sweep_file(sweep: str) -> Path:
    """The file of a sweep: a path, or a name in config/experiments. Raises ValueError if there is none."""
    experiments = PROJECT / "config/experiments"
    places = (Path(sweep), experiments / f"{sweep}.yaml", in_project(Path(sweep)))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        names = ", ".join(sorted(path.stem for path in experiments.glob("*.yaml")))
        raise ValueError(f"There is no file {sweep!r}, and no experiment of that name; the experiments are {names}.")
    return file
