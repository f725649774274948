"""Detect what happens over training, from the mean local dimension and from the metrics, and which comes first.

Reads: the tables of local estimates and of training curves.
Writes: results/{sweep}/tables/events.parquet, leads.parquet, run_leads.parquet and correlations.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.collect import read_frame
from idsweep.tables.events import detect_events
from idsweep.workflow.script import job

with job(snakemake, reads=snakemake.input) as run:
    found = detect_events(read_frame("local", snakemake.input.local), read_frame("training", snakemake.input.training))
    for name, table in found._asdict().items():
        write_table(snakemake.output[name], table, run.provenance())
