"""Another workflow imports this one as a module: with the real Snakemake, from a checkout that its Python imports."""

from __future__ import annotations

import copy
import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import warm
import yaml
from idsweep.files.parquet import read_table

from workflow.checkout import MINI, Project, check_out

ONE = """
import idsweep

configfile: "config.yaml"

module idsweep:
    snakefile: idsweep.snakefile()
    config: config["idsweep"]

use rule * from idsweep as idsweep_*
"""
TWO = f"""{ONE}
module second:
    snakefile: idsweep.snakefile()
    config: config["second"]

use rule * from second as second_*
"""
PARENT = """
rule count_rows:
    default_target: True
    input: "results/mini/tables/local.parquet"
    output: "rows.txt"
    run:
        import pyarrow.parquet as pq
        with open(output[0], "w") as file:
            file.write(str(pq.read_metadata(input[0]).num_rows))

onstart:
    idsweep.onstart()
"""
TRIGGERS = ["--rerun-triggers", "mtime", "params", "software-env", "--"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class Parent:
    """A folder with a workflow that imports the one of a checkout."""

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder = folder
        self.project = project
        folder.mkdir(exist_ok=True)
        self.configure(idsweep=MINI)

    def configure(self, **sections: Any) -> None:
        text = yaml.safe_dump(copy.deepcopy(sections), sort_keys=False)
        (self.folder / "config.yaml").write_text(text)

    def write(self, snakefile: str) -> None:
        (self.folder / "Snakefile").write_text(snakefile)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run `snakemake` where Python imports the checkout's library."""
        env = {**os.environ, "PYTHONPATH": str(self.project.folder / "workflow_scripts")}
        env["XDG_CACHE_HOME"] = str(self.folder.parent / "cache")  # of files from the web
        command = [warm.python(), "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs of a dry run."""
        done = self.snakemake("--dry-run", "--quiet", "rules", *arguments)
        assert done.returncode == 0, done.stdout
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}

    def refusal(self) -> str:
        """What a dry run that must fail says."""
        done = self.snakemake("--dry-run")
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    return Parent(tmp_path / "parent", check_out(tmp_path / "idsweep"))


def test_a_rule_of_the_parent_reads_a_table_of_the_module(parent: Parent, finished: Project) -> None:
    parent.write(ONE + PARENT)
    done = parent.snakemake()
    assert done.returncode == 0, done.stdout
    name = "results/mini/tables/local.parquet"
    ours, theirs = (read_table(folder / name).to_pandas() for folder in (parent.folder, finished.folder))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert (parent.folder / "rows.txt").read_text() == str(len(ours))
    assert parent.planned(*TRIGGERS) == {}
    config = copy.deepcopy(MINI)
    config["estimator_sets"]["quick"][0]["n_neighbors"] = 12
    parent.configure(idsweep=config)
    stale = parent.planned(*TRIGGERS)
    assert stale == {"idsweep_estimate_dimensions": 3, "idsweep_collect_estimates": 1, "count_rows": 1, "total": 5}


def test_triggers_that_look_at_times_of_scripts_are_told(parent: Parent) -> None:
    parent.write(ONE)
    said = "a new installation of idsweep would repeat every job"
    assert said in parent.snakemake("--dry-run", "--quiet", "rules").stdout
    assert said not in parent.snakemake("--dry-run", *TRIGGERS).stdout


def test_two_instances_have_files_and_constraints_of_their_own(parent: Parent) -> None:
    second = {**copy.deepcopy(MINI), "sweep": "second", "models": {"minilm": {"layers": [0]}}}
    parent.configure(idsweep=MINI, second=second)
    parent.write(TWO + PARENT.replace('local.parquet"\n', 'local.parquet", "results/second/tables/local.parquet"\n'))
    planned = parent.planned()
    assert planned["idsweep_extract_embeddings"] == 3
    assert planned["second_extract_embeddings"] == 1
    assert planned["count_rows"] == 1


def test_the_first_rule_is_what_is_made_by_default(parent: Parent) -> None:
    parent.write(ONE)
    assert parent.planned()["idsweep_all"] == 1
    parent.write("rule mine:\n    output: 'mine.txt'\n    shell: 'touch {output}'\n\n" + ONE)
    assert parent.planned() == {"mine": 1, "total": 1}


def test_a_rule_may_be_changed_by_the_parent(parent: Parent) -> None:
    changed = "use rule find_neighbors from idsweep as idsweep_find_neighbors with:\n    threads: 2\n"
    parent.write(f"{ONE}\n{changed}{PARENT}")
    assert parent.planned()["idsweep_find_neighbors"] == 3


def test_a_local_path_needs_no_installed_library(parent: Parent) -> None:
    parent.write(
        ONE.replace("import idsweep\n", "").replace("idsweep.snakefile()", f'"{parent.project.folder}/Snakefile"')
    )
    assert parent.planned()["idsweep_all"] == 1


def test_a_snakefile_from_the_web_reads_the_installed_library_and_the_deployed_configuration(parent: Parent) -> None:
    """As after snakedeploy: the catalogs of the working folder count, where it has them."""
    serve = functools.partial(Quiet, directory=str(parent.project.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'"http://127.0.0.1:{server.server_port}/Snakefile"'
        parent.write(ONE.replace("import idsweep\n", "").replace("idsweep.snakefile()", address))
        assert parent.planned()["idsweep_all"] == 1
        shutil.copytree(parent.project.folder / "config", parent.folder / "config")
        catalog = parent.folder / "config/catalog/models.yaml"
        catalog.write_text(catalog.read_text().replace("kind: encoder", "knid: encoder", 1))
        assert "models.yaml: minilm.knid: unknown key" in parent.refusal()
        server.shutdown()


def test_values_of_the_command_line_are_numbers(parent: Parent) -> None:
    parent.write(ONE + PARENT)
    assert parent.planned("--config", "idsweep={tokens: {number: 250}}")["count_rows"] == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('    config: config["idsweep"]\n', "", "module idsweep: there is no `config:`"),
        (
            'config["idsweep"]\n',
            'config["idsweep"]\n    prefix: "elsewhere"\n',
            "give each module a `sweep:` of its own",
        ),
        (
            'config["idsweep"]\n',
            'config["idsweep"]\n    pathvars: logs="elsewhere"\n',
            "module idsweep: `pathvars:` set logs, which always lie with the results",
        ),
        (
            'config["idsweep"]\n',
            'config["idsweep"] | {"token": 1}\n',
            "module idsweep: The configuration cannot be run",
        ),
    ],
)
def test_what_cannot_work_is_refused(parent: Parent, old: str, new: str, message: str) -> None:
    assert old in ONE
    parent.write(ONE.replace(old, new))
    assert message in parent.refusal()


def test_pathvars_say_where_results_lie(parent: Parent, finished: Project) -> None:
    moved = 'config["idsweep"]\n    pathvars: results="measured/here"\n'
    parent.write(ONE.replace('config["idsweep"]\n', moved))
    (tokens,) = (finished.results / "tokens/minilm").glob("*.parquet")
    target = f"measured/here/mini/tokens/minilm/{tokens.name}"
    done = parent.snakemake(target)
    assert done.returncode == 0, done.stdout
    pd.testing.assert_frame_equal(*(read_table(file).to_pandas() for file in (parent.folder / target, tokens)))
    assert not (parent.folder / "results").exists()
    assert [*(parent.folder / "measured/here/mini/logs").rglob("*.log")]
    # The same signatures: what was measured elsewhere is current here.
    shutil.copytree(finished.results, parent.folder / "measured/here/mini", dirs_exist_ok=True)
    assert parent.planned(*TRIGGERS) == {}


def test_pathvars_of_the_parent_hold_for_its_modules(parent: Parent) -> None:
    parent.write(f'pathvars:\n    results="measured",\n    logs="of_the_parent",\n{ONE}')
    done = parent.snakemake("--dry-run", "measured/mini/tables/local.parquet")
    assert done.returncode == 0, done.stdout  # it would be refused if the module's logs followed the parent's


def test_one_sweep_may_have_results_in_two_places(parent: Parent) -> None:
    parent.configure(idsweep=MINI, second=MINI)
    parent.write(TWO.replace('config["second"]\n', 'config["second"]\n    pathvars: results="second"\n'))
    done = parent.snakemake("--dry-run", "results/mini/report.html", "second/mini/report.html")
    assert done.returncode == 0, done.stdout


def test_two_instances_of_one_sweep_are_refused(parent: Parent) -> None:
    parent.configure(idsweep=MINI, second=MINI)
    parent.write(TWO)
    assert "modules idsweep and second both have the sweep 'mini'" in parent.refusal()


def test_the_snakefile_of_one_checkout_with_the_library_of_another_is_refused(parent: Parent, tmp_path: Path) -> None:
    other = check_out(tmp_path / "other")
    parent.write(
        ONE.replace("idsweep.snakefile()", f'"{other.folder}/Snakefile"').replace(
            "import idsweep", "import idsweep.version"
        )
    )
    assert "the package idsweep that Python has imported is" in parent.refusal()
