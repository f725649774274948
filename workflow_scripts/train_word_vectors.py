"""Train static word vectors on a corpus.

Writes: results/{sweep}/training/{model}/checkpoints/final.bin (word2vec's binary format), and an empty metrics.parquet.
"""

from pathlib import Path

from idsweep.data.corpora import load_sequences
from idsweep.files.parquet import write_table
from idsweep.training.metrics import METRICS
from idsweep.training.word_vectors import train_word_vectors
from idsweep.workflow.script import job

with job(snakemake) as run:
    texts = load_sequences(run.settings["texts"]["entry"], snakemake.resources.corpus)
    folder = Path(snakemake.output.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    train_word_vectors(texts, folder / "final.bin", **run.settings["training"])
    write_table(snakemake.output.metrics, METRICS.empty_table(), run.provenance())
