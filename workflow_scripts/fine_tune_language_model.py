"""Train a language model further on texts and save its checkpoints.

Reads: the base's weights and tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/ (or epoch{n}/), each a whole model folder or a PEFT adapter, and
metrics.parquet beside them with training and validation loss.
"""

from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.models.checkpoint_disk import measuring
from idsweep.training.fine_tuned_language_model import fine_tune_language_model
from idsweep.training.from_base import arguments, plain_texts
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, measuring(given.weights):
    device = resolve(given.device)
    metrics = fine_tune_language_model(
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
