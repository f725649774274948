"""Fetch the tokenizer of a model, and its config, from the Hugging Face hub.

Writes: results/{sweep}/tokenizers/{tokenizer}/.
"""

from idsweep.models.hub import fetch
from idsweep.workflow.script import job

with job(snakemake) as run:
    fetch(run.settings["hub"], run.settings["revision"], snakemake.output[0], weights=False, code=run.settings["code"])
