"""Read the published values that the sweep is compared with; none if it names no file.

Writes: results/{sweep}/tables/reference.parquet.
"""

from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.user_tables import REFERENCE, read_reference

with job(snakemake) as run:
    file = snakemake.resources.reference
    write_table(snakemake.output[0], read_reference(file) if file else REFERENCE.empty_table(), run.provenance())
