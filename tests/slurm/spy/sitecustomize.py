"""Python reads this first where it is on PYTHONPATH: scripts of rules leave a note of the GPUs that SLURM gave them."""

import os
import sys

if any("/.snakemake/scripts/" in argument for argument in sys.orig_argv):
    from pathlib import Path

    with Path(os.environ["IDSWEEP_TEST_NOTES"]).open("a") as notes:  # one short line: whole, whoever else writes
        notes.write(f"{os.environ.get('SLURM_JOB_ID')} {os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}\n")
