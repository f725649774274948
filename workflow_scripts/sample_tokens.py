"""Draw the token positions that are measured: once per tokenizer and dataset, the same for all checkpoints.

Writes: results/{sweep}/tokens/{tokenizer}/{dataset}.parquet, one row per sampled token, and
results/{sweep}/sequences/{tokenizer}/{dataset}.parquet, the tokenised sequences that hold them.
"""

from idsweep.data.corpora import Part, read_corpus
from idsweep.data.tokens import sample_tokens
from idsweep.files.parquet import write_table
from idsweep.models.tokenizers import load_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    settings, tokens = run.settings, run.settings["tokens"]
    choice = {"number": tokens.pop("sequences"), "choose": tokens.pop("choose"), "seed": tokens.pop("sequence_seed", 0)}
    part = Part(**settings["part"]) if "part" in settings else None
    corpus = read_corpus(settings["texts"]["entry"], snakemake.resources.corpus, **choice, part=part)
    tokenizer = load_tokenizer(snakemake.resources.tokenizer, **settings["options"])
    sampled = sample_tokens(corpus, tokenizer, **tokens)
    for name, table in (("sequences", sampled.sequences), ("tokens", sampled.points)):
        write_table(snakemake.output[name], table, run.provenance(dataset_commit=corpus.commit))
