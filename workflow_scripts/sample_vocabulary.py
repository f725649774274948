"""Draw the entries of a vocabulary whose rows of the embedding matrices are measured.

Reads: a tokenizer, or a file of static vectors.
Writes: results/{sweep}/tokens/{tokenizer}/vocabulary.parquet, one row per entry.
"""

from idsweep.data.corpora import read_corpus
from idsweep.data.tokens import sample_vocabulary
from idsweep.files.parquet import write_table
from idsweep.machine.uncounted import uncounted
from idsweep.models.tokenizers import load_tokenizer
from idsweep.workflow.script import job

with job(snakemake) as run:
    source = snakemake.resources.tokenizer
    if "vectors" in run.settings:
        # gensim's version counts for word vectors alone.
        vectors = run.settings["vectors"]
        load_vectors = uncounted("idsweep.models.static_vectors").load_vectors
        entries, _ = load_vectors(source, vectors["format"], vectors.get("array"))
    else:
        entries = load_tokenizer(source, **run.settings["options"])
    counted_in = None
    if "counted_in" in run.settings:
        entry = run.settings["counted_in"]["entry"]
        counted_in = read_corpus(entry, snakemake.resources.corpus, number=None, choose="first", seed=0)
    sampled = sample_vocabulary(entries, **run.settings["vocabulary"], counted_in=counted_in)
    commit = counted_in.commit if counted_in is not None else None
    write_table(snakemake.output[0], sampled, run.provenance(dataset_commit=commit))
