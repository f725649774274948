"""The project as users install it: a wheel that is made from the sdist, without network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from builders.project import PROJECT

# What stands at the top level and travels inside the wheel.
CARRIED = ("Snakefile", "config", "envs", "profiles", "report", "rules")
OTHERS = (
    "workflow_scripts",
    "tests",
    "results",
    "docs",
    *(path.name for path in PROJECT.glob("*.*") if path.is_file()),
)
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
CACHES = shutil.ignore_patterns("__pycache__", "*.egg-info", "mini", "demo")


class Installed(NamedTuple):
    """sdist, wheel: the archives. site: the folder in which the wheel is installed, and no other package."""

    sdist: Path
    wheel: Path
    site: Path


def install(folder: Path) -> Installed:
    """Build both archives and install the wheel below a folder."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in (*CARRIED, *OTHERS, "LICENSE"):
        if (path := PROJECT / name).is_dir():
            shutil.copytree(path, source / name, ignore=CACHES)
        elif path.exists():
            shutil.copy2(path, source / name)
    (source / "rules/__pycache__").mkdir()
    (source / "rules/__pycache__/left.pyc").touch()
    sdist = _build("build_sdist", source, folder / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheel = _build("build_wheel", unpacked, folder / "dist")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", folder / "site", wheel], check=True, capture_output=True)
    return Installed(sdist, wheel, folder / "site")


def installed_below(folder: Path) -> Installed:
    """What `install` has made there."""
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return Installed(sdist, wheel, folder / "site")


def _build(kind: str, source: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", BUILD, kind, target], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]
