"""Turn the original release of a dialogue dataset into utterances.

Reads: the local release (an archive or a folder), or fetches it.
Writes: results/{sweep}/corpora/{release}.parquet, one row per utterance.
"""

from pathlib import Path

from idsweep.data.dialogues import fetch_release, utterances
from idsweep.files.parquet import write_table
from idsweep.workflow.script import job

with job(snakemake) as run:
    output = Path(snakemake.output[0])
    release = Path(snakemake.resources.release or output.with_suffix(".release"))
    if not snakemake.resources.release:
        fetch_release(run.settings["url"], release)
    write_table(output, utterances(release, run.settings["release"]), run.provenance())
    if not snakemake.resources.release:
        release.unlink()
