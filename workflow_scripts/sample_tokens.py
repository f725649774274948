"""Draw the token positions that are measured: once per tokenizer and dataset, the same for all checkpoints.

Writes: results/{sweep}/tokens/{model}/{dataset}.parquet, one row per sampled token, and
results/{sweep}/sequences/{model}/{dataset}.parquet, the tokenised sequences that hold them.
"""

from idsweep.corpora import load_sequences
from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.tokenizers import load_tokenizer
from idsweep.tokens import sample_tokens

with job(snakemake) as run:
    texts = load_sequences(run.settings["texts"]["entry"], snakemake.resources.corpus)
    sampled = sample_tokens(texts, load_tokenizer(snakemake.resources.tokenizer), **run.settings["tokens"])
    write_table(snakemake.output.sequences, sampled.sequences, run.provenance())
    write_table(snakemake.output.tokens, sampled.points, run.provenance())
