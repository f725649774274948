"""Load one checkpoint once and run it over all datasets that still need it, ahead of their own jobs.

Reads: tokens and sequences of all datasets, the checkpoint's weights.
Writes: results/{sweep}/passes/{model}/{checkpoint}/prepared.json, which names them, and a folder for each beside it.
"""

import json
from functools import partial
from pathlib import Path

from idsweep.extraction.prepared import Pass, make_ahead, missing
from idsweep.files.atomic import whole_or_nothing
from idsweep.models.checkpoint_disk import measuring
from idsweep.workflow.script import job

given, read, prepared = snakemake.resources, snakemake.input, Path(snakemake.output.prepared)
with job(snakemake) as run, measuring(given.adapter or given.weights):
    passes = {}
    for (dataset, one), tokens, sequences in zip(
        run.settings["passes"].items(), read.tokens, read.sequences, strict=True
    ):
        own = {**one, "reads": [tokens, *read.training], "dataset": dataset}
        begin = partial(run.on_behalf_of, "extract_embeddings", **own)
        passes[dataset] = Pass(**one, tokens=tokens, sequences=sequences, begin=begin)
    needed = missing(passes, json.loads(given.written))
    if len(needed) > 1:  # one alone is as well made by its own job
        from idsweep.extraction.passes import load_checkpoint, run_pass

        settings = next(iter(needed.values())).settings
        loaded = load_checkpoint(settings, weights=given.weights, adapter=given.adapter, device=given.device)
        options = {key: given[key] for key in ("tokenizer", "padding_side", "batch_tokens")}
        make_ahead(prepared.parent, needed, lambda one, outputs: run_pass(loaded, one, outputs, **options))
    with whole_or_nothing(prepared) as unfinished:
        unfinished.write_text(json.dumps(run.provenance(needed=list(needed))))
