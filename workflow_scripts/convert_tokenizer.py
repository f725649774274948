"""Take the tokenizer out of a GGUF file, here or on the hub.

Reads: the file, from a package, a folder or the hub.
Writes: results/{sweep}/tokenizers/{tokenizer}/.
"""

from idsweep.models.gguf_files import convert_tokenizer, on_hand
from idsweep.workflow.script import job

with job(snakemake) as run, on_hand(snakemake.resources.gguf, run.settings) as file:
    convert_tokenizer(file, snakemake.output[0])
