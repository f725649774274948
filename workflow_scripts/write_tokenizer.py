"""Write the tokenizer of a model of equations, whose words are the elements, the operator and the sign of equality.

Writes: results/{sweep}/tokenizers/{tokenizer}/, a folder that transformers loads.
"""

from idsweep.data.equations import of_entry, vocabulary
from idsweep.training.tokenizer import word_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    word_tokenizer(vocabulary(of_entry(run.settings["entry"])), snakemake.output[0])
