"""Write a table as CSV, for those who open it elsewhere.

Reads: results/{sweep}/tables/{table}.parquet. Writes: {table}.csv beside it.
"""

from idsweep.jobs import job
from idsweep.tables import write_csv

with job(snakemake):
    write_csv(snakemake.input[0], snakemake.output[0])
