"""Keep the hidden states of all layers of one checkpoint at the sampled tokens of one dataset.

Reads: tokens and sequences of the tokenizer and dataset, the checkpoint's weights.
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet, and beside it in predictions/ the measures of
each sampled token and in losses/ the loss of each sequence (without rows where a model has none). The pass may have been
made by the job of another dataset, and this one make those of others: see idsweep/extraction/shared.py.
"""

import os
from functools import partial
from pathlib import Path

from idsweep.extraction.shared import RESOURCES, Pass, own_pass, read_plans
from idsweep.models.checkpoint_disk import measuring
from idsweep.workflow.script import job

given, read, signature = snakemake.resources, snakemake.input, snakemake.params.signature
folder, run_id = Path(given.passes), os.environ.get("IDSWEEP_RUN", "")
written = dict(snakemake.output.items())
with (
    job(snakemake, [read.tokens, *read.training]) as run,
    measuring(given.adapter or given.weights),
    own_pass(folder / snakemake.wildcards.dataset, written, signature, read, run_id) as files,
):
    if files is not None:
        from idsweep.extraction.passes import run_passes

        own = Pass(run.settings, signature, read.tokens, "", read.sequences, lambda: run)
        plans, begin = read_plans(folder, run_id), partial(run.on_behalf_of, read.training)
        run_passes(own, files, plans, begin, given.get("runtime", 120), **{key: given[key] for key in RESOURCES})
