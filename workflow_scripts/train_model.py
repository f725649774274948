"""Train a model and save its checkpoints; which training it is, the settings say.

Reads: the model's tokenizer and, where it starts from a base, the base's weights.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/ (or epoch{n}/), each a whole model folder or a PEFT adapter (of
static vectors the file final.bin alone), and metrics.parquet beside them with what is measured over training.
"""

import json

from idsweep.files.parquet import write_table
from idsweep.machine.devices import resolve
from idsweep.machine.uncounted import uncounted
from idsweep.models.checkpoint_disk import measuring
from idsweep.training.task import Task
from idsweep.workflow.script import job

given = snakemake.resources
with job(snakemake) as run, measuring(given.weights):
    training = uncounted(f"idsweep.training.{run.settings['train']}")
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
