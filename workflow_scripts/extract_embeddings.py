"""Run one checkpoint over the sampled sequences and keep the hidden states of all layers.

Reads: tokens and sequences of the model and dataset, the checkpoint's weights.
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet.
"""

from idsweep.checkpoints import commit_of, load_model
from idsweep.devices import resolve
from idsweep.extraction import extract_hidden_states
from idsweep.jobs import job
from idsweep.store import EmbeddingsWriter, read_table

with job(snakemake, reads=[snakemake.input.tokens, *snakemake.input.training]) as run:
    device = resolve(snakemake.resources.device)
    model = load_model(snakemake.resources.weights, device=device, **run.settings["model"])
    with EmbeddingsWriter(
        snakemake.output[0], lambda: run.provenance(device=device, commit=commit_of(snakemake.resources.weights))
    ) as file:
        extract_hidden_states(
            model,
            read_table(snakemake.input.tokens),
            read_table(snakemake.input.sequences),
            file.write,
            batch_tokens=snakemake.resources.batch_tokens,
            device=device,
        )
