"""Turn the weights of a GGUF file, here or on the hub, into a model folder.

Reads: the file, from a package, a folder or the hub.
Writes: results/{sweep}/checkpoints/{model}/{checkpoint}/, deleted when nothing needs it any more.
"""

from idsweep.models.gguf_files import convert_weights, on_hand
from idsweep.workflow.script import job

with job(snakemake) as run, on_hand(snakemake.resources.gguf, run.settings) as file:
    convert_weights(file, snakemake.output[0])
