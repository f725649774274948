"""Python reads this first where it is on PYTHONPATH: scripts of rules leave a note of the GPUs that SLURM gave them."""

import os
import sys

if any("/.snakemake/scripts/" in argument for argument in sys.orig_argv):
    with open(os.environ["IDSWEEP_TEST_NOTES"], "a") as notes:  # one short line each: whole, whoever else writes
        notes.write(f"{os.environ.get('SLURM_JOB_ID')} {os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}\n")
