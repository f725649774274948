"""Load one checkpoint once and run it over all datasets that still need it, ahead of their own jobs.

Reads: tokens and sequences of all datasets, the checkpoint's weights.
Writes: results/{sweep}/passes/{model}/{checkpoint}/prepared.json, which names them, and a folder for each beside it.
"""

import json
from pathlib import Path

from idsweep.extraction.prepared import RESOURCES, missing, passes_of
from idsweep.files.atomic import whole_or_nothing
from idsweep.models.checkpoint_disk import measuring
from idsweep.workflow.script import job

given, read, prepared = snakemake.resources, snakemake.input, Path(snakemake.output.prepared)
with job(snakemake) as run, measuring(given.adapter or given.weights):
    asked = run.settings["passes"]

    def begin(dataset, tokens):
        reads = [tokens, *read.training]
        return run.on_behalf_of("extract_embeddings", **asked[dataset], reads=reads, dataset=dataset)

    passes = passes_of(asked, read.tokens, read.sequences, begin)
    needed = missing(passes, json.loads(given.written))
    if len(needed) > 1:  # one alone is as well made by its own job
        from idsweep.extraction.passes import run_passes

        run_passes(needed, prepared.parent, **{key: given[key] for key in RESOURCES})
    with whole_or_nothing(prepared) as unfinished:
        unfinished.write_text(json.dumps(run.provenance(needed=list(needed))))
