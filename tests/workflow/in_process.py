"""Plans that the real Snakemake makes in this process, in a fraction of the time that a process of its own needs to begin."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator

from snakemake.api import SnakemakeApi
from snakemake.dag import DAG
from snakemake.settings.types import ConfigSettings, ExecutionSettings, OutputSettings, Quietness, ResourceSettings

from workflow.checkout import Project


class CannotPlan(Exception):
    """There is no plan; what was said, and the traceback if it was no message."""


@contextlib.contextmanager
def inside(project: Project) -> Iterator[None]:
    """Work in a checkout's folder; afterwards all is undone that the workflow sets for a whole process."""
    environment, path, thresholds = dict(os.environ), [*sys.path], gc.get_threshold()
    with contextlib.chdir(project.folder):
        yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    gc.set_threshold(*thresholds)


def plan(project: Project) -> DAG:
    """Snakemake's plan of the project's configuration, as of a dry run.

    The library is the one of this process, so the project's code must be unchanged.

    Raises
    ------
    CannotPlan
    """
    said = io.StringIO()
    output = OutputSettings(dryrun=True, quiet={Quietness.ALL}, enable_file_logging=False)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), SnakemakeApi(output) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[project.configfile]),
                snakefile=project.folder / "Snakefile",
                workdir=project.folder,
            )
            workflow.dag().execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))
            return workflow._workflow.dag
    except SystemExit as end:
        raise CannotPlan(str(end.code)) from end
    except Exception as error:
        raise CannotPlan(f"{said.getvalue()}\n{traceback.format_exc()}") from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Snakemake leaves a temporary folder to this
            gc.collect()


def stale(project: Project) -> dict[str, int]:
    """Rule -> number of its jobs that a run would do, as `Project.stale` tells."""
    return dict(
        Counter(job.rule.name for job in plan(project).needrun_jobs(exclude_finished=False) if job.rule.name != "all")
    )
