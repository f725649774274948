"""Read the published values that the sweep is compared with; none if it names no file.

Writes: results/{sweep}/tables/reference.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.brought import REFERENCE, read_reference
from idsweep.workflow.script import job

with job(snakemake) as run:
    file, names = snakemake.resources.reference, run.settings.get("names")
    table = read_reference(file, names) if file else REFERENCE.empty_table()
    write_table(snakemake.output[0], table, run.provenance())
