"""Python reads this first where it is on PYTHONPATH: scripts of rules leave a note of the GPUs that SLURM gave them.

The first script that trains a tokenizer also takes more memory than it has, for long enough that whoever watches sees it.
"""

import os
import sys
import time

if script := next((argument for argument in sys.orig_argv if "/.snakemake/scripts/" in argument), None):
    from pathlib import Path

    path = Path(os.environ["IDSWEEP_TEST_NOTES"])
    first = not path.with_suffix(".memory").exists()
    with path.open("a") as notes:  # one short line: whole, whoever else writes
        notes.write(f"{os.environ.get('SLURM_JOB_ID')} {os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}\n")
    if first and script.endswith(".train_tokenizer.py"):
        path.with_suffix(".memory").touch()
        held = b"\1" * 10**9
        time.sleep(60)
