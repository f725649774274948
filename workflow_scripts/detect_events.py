"""Detect what happens over training, from the mean local dimension and from the metrics, and which comes first.

Reads: the tables of local estimates and of training curves.
Writes: results/{sweep}/tables/events.parquet, leads.parquet and correlations.parquet.
"""

from idsweep.events import detect_events
from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.tables import read_frame

with job(snakemake, reads=snakemake.input) as run:
    found = detect_events(read_frame("local", snakemake.input.local), read_frame("training", snakemake.input.training))
    for name, table in found._asdict().items():
        write_table(snakemake.output[name], table, run.provenance())
