"""idsweep: intrinsic dimension of hidden states over models, checkpoints, datasets and layers."""

import atexit
import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

LIBRARY = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(LIBRARY))
# Scripts use the library beside this file, whose source is in the signatures, not another that is installed.
if str(LIBRARY) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(LIBRARY), os.environ.get("PYTHONPATH")]))

# Jobs share cores: a thread that waits for its siblings must sleep, not spin on a core that another job needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The report is written by a nested call of this Snakemake, whatever environment its job runs in.
os.environ.setdefault("IDSWEEP_PYTHON", sys.executable)

# For the page about the sweep; jobs inherit it, nested calls keep the first.
os.environ.setdefault("IDSWEEP_COMMAND", shlex.join(["snakemake", *sys.argv[1:]]))

if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


report: "report/workflow.rst"


from idsweep import jobs


include: "rules/common.smk"
include: "rules/fetch.smk"
include: "rules/train.smk"
include: "rules/extract.smk"
include: "rules/neighbors.smk"
include: "rules/estimate.smk"
include: "rules/collect.smk"
include: "rules/figures.smk"


rule all:
    default_target: True
    input:
        REPORT.format(sweep=SWEEP.name),


rule figures:
    input:
        FIGURE_FILES,


onsuccess:
    print(jobs.made([*FIGURE_FILES, *TABLE_FILES, REPORT.format(sweep=SWEEP.name)]), file=sys.stderr)


onerror:
    # At exit, since Snakemake itself still has a few lines to say.
    atexit.register(print, jobs.failures(log), file=sys.stderr)
