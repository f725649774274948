"""Train a low-rank update of a frozen model's token embeddings and save checkpoints of the whole model.

Reads: the base's weights and tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/ (or epoch{n}/), each a whole model folder, and
metrics.parquet beside them with losses and perplexity.
"""

from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.models.checkpoint_disk import measuring
from idsweep.training.from_base import arguments, plain_texts
from idsweep.training.lora_embedding import train_lora_embedding
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, measuring(given.weights):
    device = resolve(given.device)
    metrics = train_lora_embedding(
        *plain_texts(run.settings, given.corpora),
        given.weights,
        given.tokenizer,
        snakemake.output.checkpoints,
        identity=snakemake.params.signature,
        kind=run.settings["kind"],
        device=device,
        **arguments(run.settings),
    )
    write_table(snakemake.output.metrics, metrics, run.provenance(device=device))
