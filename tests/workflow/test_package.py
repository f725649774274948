"""The installed package: what its archives hold, and that it measures as a checkout does, from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.once import once
from builders.project import PROJECT
from builders.wheel import CARRIED, Installed, install, installed_below
from idsweep.files.parquet import provenance, read_table

from workflow.checkout import COMPILED, PARTS, Project

TABLES = ("local", "global", "training")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed_below(once(tmp_path_factory, "installed", install))


def environment(installed: Installed) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed.site), "PYTHONSAFEPATH": "1"}


def call(installed: Installed, folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`idsweep` of the installed package, in a folder."""
    command = [sys.executable, "-m", "idsweep.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment(installed), capture_output=True, text=True, timeout=600)


def files_of_the_project() -> set[str]:
    """Files that travel, as paths from the project's folder."""
    places = [PROJECT / part for part in PARTS]
    found = [path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(PROJECT)) for path in found}
    return {name for name in names if "__pycache__" not in name and ".egg-info" not in name}


def test_the_parts_of_a_checkout_travel() -> None:
    assert {*PARTS} == {*CARRIED, "workflow_scripts"}


def test_the_wheel_holds_the_library_and_the_workflow_and_nothing_else(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    held = {name for name in names if ".dist-info/" not in name}
    library = "workflow_scripts/idsweep/"
    settings_of_linters = {f"{library}biome.json", f"{library}tsconfig.json"}
    expected = {
        f"idsweep/{name.removeprefix(library)}" if name.startswith(library) else f"idsweep/project/{name}"
        for name in files_of_the_project() - settings_of_linters
    }
    assert held == expected


def test_the_sdist_is_clean(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Snakefile", "setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"tests", "results", "docs", "build", ".venv"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_it_says_where_the_workflow_is(installed: Installed, tmp_path: Path) -> None:
    code = "import idsweep; print(idsweep.snakefile())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(installed), capture_output=True, text=True
    )
    assert done.stdout.strip() == str(installed.site / "idsweep/project/Snakefile"), done.stderr


def test_an_installed_package_measures_as_a_checkout_does(
    installed: Installed, finished: Project, tmp_path: Path
) -> None:
    for place in COMPILED:  # as checkouts in tests share it
        beside = installed.site / Path(place).relative_to("workflow_scripts")
        if not beside.exists():
            beside.symlink_to(PROJECT / place)
    (tmp_path / "mini.yaml").write_text(finished.configfile.read_text())
    targets = [f"results/mini/tables/{table}.parquet" for table in TABLES] + ["results/mini/figures/violins.png"]
    done = call(installed, tmp_path, "run", "mini.yaml", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in targets:
        if name.endswith(".parquet"):
            ours, theirs = (read_table(place / name).to_pandas() for place in (tmp_path, finished.folder))
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    made = sorted(path.relative_to(tmp_path) for path in (tmp_path / "results").rglob("*.parquet"))
    assert len(made) > 10
    for name in made:
        ours, theirs = provenance(tmp_path / name), provenance(finished.folder / name)
        assert ours["signature"] == theirs["signature"], name
    again = call(installed, tmp_path, "run", "mini.yaml", *targets, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    jobs_import = [path.resolve() for path in (tmp_path / ".snakemake/idsweep/library").glob("*/idsweep")]
    assert jobs_import == [(installed.site / "idsweep").resolve()]


def test_a_new_folder_can_be_run(installed: Installed, tmp_path: Path) -> None:
    made = call(installed, tmp_path, "init", "my_run")
    assert made.returncode == 0, made.stderr
    done = call(installed, tmp_path / "my_run", "run", "sweep.yaml", "-n", "--config", "tokens.number=1500")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/my_run/report.html" in done.stdout + done.stderr
    planned = call(installed, tmp_path / "my_run", "plan", "sweep.yaml")
    assert planned.returncode == 0, planned.stderr


def test_the_package_says_what_it_would_measure_of_vectors(installed: Installed, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(250, 5)))
    done = call(installed, tmp_path, "measure", "vectors.npy", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 vectors of width 5, format npy" in done.stdout


def test_experiments_of_the_package_are_run_by_name(installed: Installed, tmp_path: Path) -> None:
    done = call(installed, tmp_path, "run", "grokking_laptop", "-n", "-q", "rules", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train_grokking" in done.stdout + done.stderr


def test_a_snakefile_of_an_installed_package_that_python_does_not_know(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text((PROJECT / "config/new_sweep.yaml").read_text())
    hidden = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]; "
    hidden += "sys.path = [p for p in sys.path if not p.endswith('workflow_scripts')]; "
    hidden += "from snakemake.cli import main; main()"
    project = installed.site / "idsweep/project"
    options = ["-n", "-q", "rules", "--snakefile", project / "Snakefile", "--profile", project / "profiles/local"]
    command = [sys.executable, "-c", hidden, *options, "--configfile", "new.yaml"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs_import = [path.resolve() for path in (tmp_path / ".snakemake/idsweep/library").glob("*/idsweep")]
    assert jobs_import == [(installed.site / "idsweep").resolve()]


WITHOUT_NUMPY = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            raise ModuleNotFoundError("No module named 'numpy'", name=name)

sys.meta_path.insert(0, Absent())
from snakemake.cli import main
main()
"""


@pytest.mark.parametrize("options", [("--lint",), ("--dry-run",)])
def test_where_snakemake_is_alone_it_is_told_what_to_install(fresh: Project, options: tuple[str, ...]) -> None:
    """As by linters of catalogs of workflows."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMPY, *options], cwd=fresh.folder, capture_output=True, text=True
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "numpy is missing. Install them where snakemake is: pip install idsweep" in said
    assert "Traceback" not in said and "Error in file" not in said
