"""idsweep: intrinsic dimension of hidden states over models, checkpoints, datasets and layers."""

import atexit
import gc
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.utils import min_version

min_version("9.17")

# A plan is many small objects that all stay: looking through them for garbage takes a tenth of the time.
gc.set_threshold(200_000, 100, 1000)

# Of this file, also where another workflow imports it as a module; an address where that one has it from the web.
BASE = Path(workflow.current_basedir.get_path_or_uri(secret_free=False))
IS_MODULE = not workflow.modifier.is_main_snakefile()
# The first rule of a workflow is what it makes by default, as everywhere in Snakemake.
IS_FIRST = workflow.default_target is None
# A checkout brings its library. An installed workflow lies within it: BASE is idsweep/project.
if (BASE / "workflow_scripts/idsweep").is_dir():
    sys.path.insert(0, str(BASE / "workflow_scripts"))
elif (BASE.parent / "files/project.py").is_file() and find_spec("idsweep") is None:
    sys.path.append(str(BASE.parents[1]))
elif find_spec("idsweep") is None:
    sys.exit("This workflow needs the package idsweep of the same version: pip install idsweep")

if not IS_MODULE:

    if not workflow.overwrite_configfiles:

        configfile: f"{BASE}/config/config.yaml"

    report: "report/workflow.rst"


# Jobs with serial=1 come one after the other in their submission, where a profile says `resources: serial=1`.
resource_scopes:
    serial="local",


# Here by name, since a module called idsweep hides the package of that name from the workflow that imports it.
try:
    from idsweep.files.project import snakefile
    from idsweep.workflow import kept, modules, preflight, same_weights
    from idsweep.workflow.library_folder import library_folder
    from idsweep.workflow.library_warnings import describe_warnings
    from idsweep.workflow.run import describe_failures, describe_results, name_of_run, plan_passes, set_environment
except ModuleNotFoundError as error:
    if (error.name or "idsweep").startswith("idsweep"):
        raise
    sys.exit(
        f"This workflow needs Python packages beside Snakemake, also to be linted or planned: {error.name} is missing. Install "
        f"them where snakemake is: pip install {BASE if (BASE / 'pyproject.toml').is_file() else 'idsweep'}"
    )

if IS_MODULE:
    preflight.refuse(modules.complaints(workflow, BASE))
    config = dict(config)  # which is the importing workflow's

set_environment(library_folder(BASE))
preflight.refuse([preflight.not_writable(".snakemake")])


include: "rules/common.smk"
include: "rules/resources.smk"


# What is not measured is left out of a partial run, so nothing is to be measured, whatever Snakemake knows.
if not SWEEP.config["partial"]:

    include: "rules/fetch.smk"
    include: "rules/train.smk"
    include: "rules/extract.smk"
    include: "rules/neighbors.smk"
    include: "rules/project.smk"
    include: "rules/estimate.smk"


include: "rules/collect.smk"
include: "rules/figures.smk"


if workflow.is_main_process:
    tell(foreseen(SWEEP))
    tell_alike(same_weights.in_folders(SWEEP, GRAPH))


rule all:
    default_target: IS_FIRST
    input:
        REPORT,
        EXPLORER,
        TOKEN_FILES,


rule figures:
    input:
        FIGURE_FILES,


# At exit, since Snakemake calls no hook in a dry run, and does not know yet whether this is one.
atexit.register(lambda: workflow.dryrun and workflow.dag and tell_repeated_passes())


onstart:
    preflight.refuse(complaints())
    tell_alike(same_weights.on_hub(SWEEP, own(workflow.dag.needrun_jobs())))
    tell_repeated_passes()
    if not workflow.touch:
        kept.keep(own(workflow.dag.needrun_jobs()), workflow.persistence, Path(RESULTS))
    plan_passes(
        workflow.dag,
        own(workflow.dag.needrun_jobs()),
        GRAPH,
        Path(RESULTS, "passes"),
        None if SWEEP.config["keep_embeddings"] else CORES,
    )


onsuccess:
    kept.forget(Path(RESULTS))
    shutil.rmtree(f"{RESULTS}/passes", ignore_errors=True)
    print(
        describe_results([*FIGURE_FILES, *TABLE_FILES, REPORT, *([EXPLORER] if EXPLORER else [])]), file=sys.stderr
    )
    if SWEEP.missing:
        print(left_out(SWEEP), file=sys.stderr)
    if warned := describe_warnings(f"{RESULTS}/logs", name_of_run()):
        print(warned, file=sys.stderr)


onerror:
    back = kept.put_back(workflow.persistence, Path(RESULTS))
    # At exit, since Snakemake itself still has a few lines to say.
    warned = describe_warnings(f"{RESULTS}/logs", name_of_run())
    atexit.register(
        print, "\n".join(filter(None, [warned, describe_failures(log, put_back=len(back))])), file=sys.stderr
    )
