"""Train a model on a part of all equations of a task and save its checkpoints.

Reads: the model's tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/, each a whole model folder, and
metrics.parquet beside them with losses and accuracies on training and validation equations by step.
"""

from idsweep.data.equations import of_entry, split
from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.training.grokking import train_grokking
from idsweep.workflow.script import job

with job(snakemake) as run:
    texts = run.settings["texts"]
    equations = of_entry(texts["entry"])
    train, validation = split(len(equations.left), texts["fraction"], texts["seed"])
    device = resolve(snakemake.resources.device)
    metrics = train_grokking(
        equations,
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
