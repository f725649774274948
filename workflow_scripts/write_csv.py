"""Write a table as CSV, for those who open it elsewhere.

Reads: results/{sweep}/tables/{table}.parquet. Writes: {table}.csv beside it.
"""

from idsweep.tables.collect import write_csv
from idsweep.workflow.script import job

with job(snakemake) as run:
    write_csv(snakemake.input[0], snakemake.output[0], **run.settings)
