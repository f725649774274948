"""Fetch one revision of a model from the Hugging Face hub, once there is room for it on the disk.

Writes: results/{sweep}/checkpoints/{model}/{checkpoint}/, deleted when nothing needs it any more.
"""

from idsweep.models.checkpoint_disk import room_for
from idsweep.models.hub import fetch
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, room_for(snakemake.output[0], float(given.size_gb), given.disk_bound or None):
    fetch(run.settings["hub"], run.settings["revision"], snakemake.output[0], **run.settings["options"])
