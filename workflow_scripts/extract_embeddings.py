"""Keep the hidden states of all layers of one checkpoint at the sampled tokens of one dataset.

Reads: tokens and sequences of the tokenizer and dataset, and what prepare_embeddings made ahead; the checkpoint's weights if
it made nothing.
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet, and beside it in predictions/ the
log-probability of each sampled token and in losses/ the loss of each sequence (without rows where a model has none).
"""

from pathlib import Path

from idsweep.extraction.prepared import Pass, forget, take
from idsweep.models.checkpoint_disk import measuring
from idsweep.workflow.script import job

given, read, written = snakemake.resources, snakemake.input, dict(snakemake.output.items())
signature, ahead = snakemake.params.signature, Path(snakemake.input.prepared).parent / snakemake.wildcards.dataset
with job(snakemake, reads=[read.tokens, *read.training]) as run, measuring(given.adapter or given.weights):
    if not take(ahead, written, signature):
        from idsweep.extraction.passes import load_checkpoint, run_pass

        own = Pass(run.settings, signature, read.tokens, read.sequences, lambda: run)
        loaded = load_checkpoint(run.settings, weights=given.weights, adapter=given.adapter, device=given.device)
        options = {key: given[key] for key in ("tokenizer", "padding_side", "batch_tokens")}
        run_pass(loaded, own, written, **options)
        forget(ahead)
