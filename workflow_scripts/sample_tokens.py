"""Draw the token positions that are measured: once per tokenizer and dataset, the same for all checkpoints.

Writes: results/{sweep}/tokens/{tokenizer}/{dataset}.parquet, one row per sampled token, and
results/{sweep}/sequences/{tokenizer}/{dataset}.parquet, the tokenised sequences that hold them.
"""

from idsweep.data.corpora import Part, read_corpus
from idsweep.data.tokens import sample_tokens
from idsweep.files.parquet import write_table
from idsweep.machine.uncounted import uncounted
from idsweep.models.tokenizers import load_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    settings, tokens = run.settings, run.settings["tokens"]
    entry, file = settings["texts"]["entry"], snakemake.resources.corpus
    choice = {"number": tokens.pop("sequences"), "choose": tokens.pop("choose"), "seed": tokens.pop("sequence_seed", 0)}
    part = Part(**settings["part"]) if "part" in settings else None
    tokenizer = load_tokenizer(snakemake.resources.tokenizer, **settings["options"])
    composed = None
    if "compose" in entry:
        compose = uncounted("idsweep.tracking.measured").compose
        composed = compose(entry, file, tokenizer, tokens["max_length"])
    corpus = read_corpus(entry, file, **choice, part=part, ids=True, composed=composed)
    sampled = sample_tokens(corpus, tokenizer, **tokens)
    for name, table in (("sequences", sampled.sequences), ("tokens", sampled.points)):
        write_table(snakemake.output[name], table, run.provenance(dataset_commit=corpus.commit))
