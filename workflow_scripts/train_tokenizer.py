"""Train the byte-level BPE tokenizer of a model on its training texts.

Writes: results/{sweep}/tokenizers/{tokenizer}/, a folder that transformers loads.
"""

from idsweep.data.corpora import load_sequences, split_sequences
from idsweep.training.tokenizer import train_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    texts = run.settings["texts"]
    train, _ = split_sequences(
        load_sequences(texts["entry"], snakemake.resources.corpus), texts["fraction"], texts["seed"]
    )
    train_tokenizer(
        train,
        snakemake.output[0],
        vocabulary_size=run.settings["vocabulary_size"],
        mask=run.settings["mask"],
    )
