"""Train the byte-level BPE tokenizer of a model on its training texts.

Writes: results/{sweep}/tokenizers/{tokenizer}/, a folder that transformers loads.
"""

from idsweep.data.corpora import Part, read_corpus
from idsweep.training.tokenizer import train_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    part = Part(**run.settings["part"]) if "part" in run.settings else None
    corpus = read_corpus(run.settings["texts"]["entry"], snakemake.resources.corpus, part=part)
    train_tokenizer(
        corpus.texts,
        snakemake.output[0],
        vocabulary_size=run.settings["vocabulary_size"],
        mask=run.settings["mask"],
        special_tokens=run.settings.get("special_tokens", "end"),
    )
