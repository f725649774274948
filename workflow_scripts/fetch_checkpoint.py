"""Fetch one revision of a model from the Hugging Face hub.

Writes: results/{sweep}/checkpoints/{model}/{checkpoint}/, deleted when nothing needs it any more.
"""

from idsweep.hub import fetch
from idsweep.jobs import job

with job(snakemake) as run:
    fetch(run.settings["hub"], run.settings["revision"], snakemake.output[0])
