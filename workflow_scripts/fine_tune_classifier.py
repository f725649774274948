"""Fine-tune a classifier of texts and save its checkpoints.

Reads: the base's weights and tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/epoch{n}/ (or step{n}/), each a whole model folder or a PEFT adapter, and
metrics.parquet beside them with losses, accuracies and F1 scores.
"""

import json

from idsweep.data.corpora import read_labelled
from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.models.checkpoint_disk import measuring
from idsweep.training.fine_tuned_classifier import fine_tune_classifier
from idsweep.training.from_base import arguments
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, measuring(given.weights):
    files, training, device = json.loads(given.corpora), run.settings["training"], resolve(given.device)
    number = {"dataset": training["sequences"]}
    read = {
        key: read_labelled(texts["entry"], files[key], number=number.get(key), seed=training["seed"])
        for key, texts in run.settings["texts"].items()
    }
    metrics = fine_tune_classifier(
        read["dataset"],
        read["validation"],
        read.get("test"),
        given.weights,
        given.tokenizer,
        snakemake.output.checkpoints,
        identity=snakemake.params.signature,
        device=device,
        **arguments(run.settings),
    )
    write_table(snakemake.output.metrics, metrics, run.provenance(device=device))
