"""Tell which tokens have high or low local dimension, and how that goes with what the model makes of them.

Reads: the estimates of one set at all representations of a cloud, the sampled tokens and, of texts, their sequences and
what the model makes of them.
Writes: results/{sweep}/token_tables/{set}/{model}/{checkpoint}/{dataset}/{cloud}/: token_groups.parquet,
token_extremes.parquet and loss_correlations.parquet.
"""

from idsweep.files.parquet import read_table, write_table
from idsweep.machine.progress import Progress
from idsweep.tables.collect import each_representation, identified
from idsweep.tables.token_tables import loss_correlations, token_extremes, token_groups
from idsweep.workflow.script import job

with job(snakemake) as run:
    tokens = read_table(snakemake.input.tokens)
    of_text = hasattr(snakemake.input, "sequences")
    sequences = read_table(snakemake.input.sequences) if of_text else None
    predictions = read_table(snakemake.input.predictions) if of_text else None
    parts = {"token_groups": [], "token_extremes": [], "loss_correlations": []}
    progress = Progress("describing tokens", len(run.settings["representations"]), "representations")
    for done, (identity, estimates) in enumerate(each_representation(snakemake.input.estimates), start=1):
        new_tables = {
            "token_groups": token_groups(estimates, tokens),
            "token_extremes": token_extremes(estimates, tokens, sequences, predictions),
            "loss_correlations": loss_correlations(estimates, tokens, predictions),
        }
        for name, table in new_tables.items():
            parts[name].append((identity, table))
        progress.report(done)
    for name, tables in parts.items():
        write_table(snakemake.output[name], identified(tables), run.provenance())
