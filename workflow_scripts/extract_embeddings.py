"""Run one checkpoint over the sampled sequences and keep the hidden states of all layers.

Reads: tokens and sequences of the tokenizer and dataset, the checkpoint's weights.
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet, and beside it in predictions/ the
log-probability of each sampled token and in losses/ the loss of each sequence (without rows where a model has none).
"""

from idsweep.extraction.forward import extract_hidden_states
from idsweep.extraction.losses import NO_LOSSES
from idsweep.files.parquet import read_table, write_table
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.machine.devices import resolve
from idsweep.models.checkpoint_disk import measuring
from idsweep.models.checkpoints import load_model, number_of_parameters
from idsweep.models.folders import commit_of
from idsweep.models.tokenizers import load_tokenizer, mask_token_id
from idsweep.workflow.script import job

given, output = snakemake.resources, snakemake.output
with (
    job(snakemake, reads=[snakemake.input.tokens, *snakemake.input.training]) as run,
    measuring(given.adapter or given.weights),
):
    device, of_pass = resolve(given.device), run.settings["pass"]
    mask = mask_token_id(load_tokenizer(given.tokenizer, **run.settings["mask"])) if of_pass["masked"] else None
    base_name = run.settings.get("base", {}).get("hub")
    model = load_model(
        given.weights, device=device, adapter=given.adapter or None, base_name=base_name, **run.settings["model"]
    )

    def provenance():
        commits = {"commit": commit_of(given.weights), "adapter_commit": commit_of(given.adapter)}
        return run.provenance(device=device, n_parameters=number_of_parameters(model), **commits)

    with EmbeddingsWriter(output.embeddings, provenance, run.settings["storage"]) as file:
        losses = extract_hidden_states(
            model,
            read_table(snakemake.input.tokens),
            read_table(snakemake.input.sequences),
            file.write,
            **of_pass,
            mask_token=mask,
            padding_side=given.padding_side,
            batch_tokens=given.batch_tokens,
            device=device,
        )
    predictions, of_sequences = losses or NO_LOSSES
    write_table(output.predictions, predictions, provenance())
    write_table(output.losses, of_sequences, provenance())
