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
written, folder = dict(snakemake.output.items()), Path(given.passes)
with (
    job(snakemake, [read.tokens, *read.training]) as run,
    measuring(given.adapter or given.weights),
    own_pass(folder / snakemake.wildcards.dataset, written, signature) as in_place,
):
    if not in_place:
        from idsweep.extraction.passes import run_passes

        own = Pass(run.settings, signature, read.tokens, "", read.sequences, lambda: run)
        plans, begin = read_plans(folder, os.environ.get("IDSWEEP_RUN", "")), partial(run.on_behalf_of, read.training)
        run_passes(own, written, plans, begin, **{key: given[key] for key in RESOURCES})
