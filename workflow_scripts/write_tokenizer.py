"""Write the tokenizer of a model whose texts are made of known words, as equations are; each word is a token.

Writes: results/{sweep}/tokenizers/{tokenizer}/, a folder that transformers loads.
"""

from idsweep.data.loaders import registry as loaders
from idsweep.training.tokenizer import word_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    entry = run.settings["entry"]
    word_tokenizer(loaders.get(entry["loader"]).generator.words(entry), snakemake.output[0])
