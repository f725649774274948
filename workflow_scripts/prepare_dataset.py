"""Turn the original release of a dialogue dataset into utterances.

Reads: the local release (an archive or a folder), or fetches it, or makes dialogues up.
Writes: results/{sweep}/corpora/{release}.parquet, one row per utterance.
"""

import shutil
from pathlib import Path

from idsweep.data.dialogues import fetch_release, utterances
from idsweep.files.parquet import write_table
from idsweep.machine.uncounted import uncounted
from idsweep.workflow.script import job

with job(snakemake) as run:
    output = Path(snakemake.output[0])
    release = Path(snakemake.resources.release or output.with_suffix(".release"))
    is_local = bool(snakemake.resources.release)
    if run.settings["release"] == "made_up":
        write_release = uncounted("idsweep.data.generated_dialogues").write_release
        write_release(release, run.settings["dialogues"], run.settings.get("seed", 0))
    elif not is_local:
        fetch_release(run.settings["url"], release)
    write_table(output, utterances(release, run.settings["release"]), run.provenance())
    if not is_local:
        shutil.rmtree(release) if release.is_dir() else release.unlink()
