"""Train a model and save its checkpoints; which training it is, the settings say.

Reads: the model's tokenizer and, where it starts from a base, the base's weights.
Writes: results/{sweep}/training/{model}/checkpoints/ with a model folder, a PEFT adapter or (static vectors) final.bin for
each step, and metrics.parquet beside them.
"""

import json

from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve, set_torch_threads
from idsweep.machine.uncounted import uncounted
from idsweep.models.checkpoint_disk import measuring
from idsweep.training.task import Task
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, measuring(given.weights):
    training = uncounted(f"idsweep.training.{run.settings['train']}")
    set_torch_threads(run.settings["threads"])
    task = Task(
        settings=run.settings,
        files=json.loads(given.corpora),
        tokenizer=given.tokenizer,
        base=given.weights,
        checkpoints=snakemake.output.checkpoints,
        identity=snakemake.params.signature,
        device=resolve(given.device),
    )
    write_table(snakemake.output.metrics, training.train(task), run.provenance(device=task.device))
