"""Train a language model from scratch and save its checkpoints.

Reads: the model's tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/, each a whole model folder, and
metrics.parquet beside them with training and validation loss by step.
"""

from idsweep.data.corpora import load_sequences, split_sequences
from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.training.language_model import train_language_model
from idsweep.workflow.script import job

with job(snakemake) as run:
    texts = run.settings["texts"]
    train, validation = split_sequences(
        load_sequences(texts["entry"], snakemake.resources.corpus), texts["fraction"], texts["seed"]
    )
    device = resolve(snakemake.resources.device)
    metrics = train_language_model(
        train,
        validation,
        snakemake.resources.tokenizer,
        snakemake.output.checkpoints,
        identity=snakemake.params.signature,
        architecture=run.settings["architecture"],
        checkpoints=run.settings["checkpoints"],
        device=device,
        **run.settings["training"],
    )
    write_table(snakemake.output.metrics, metrics, run.provenance(device=device))
