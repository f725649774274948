"""Train a low-rank update of a frozen model's token embeddings and save checkpoints of the whole model.

Reads: the base's weights and tokenizer.
Writes: results/{sweep}/training/{model}/checkpoints/step{n}/ (or epoch{n}/), each a whole model folder, and
metrics.parquet beside them with losses and perplexity.
"""

import json

from idsweep.corpora import load_sequences, read_corpus
from idsweep.devices import resolve
from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.training.fine_tuning import BASE_OPTIONS
from idsweep.training.lora_embedding import train_lora_embedding

with job(snakemake) as run:
    given, texts, training = snakemake.resources, run.settings["texts"], run.settings["training"]
    base, files, device = run.settings["base"], json.loads(given.corpora), resolve(given.device)
    train = read_corpus(
        texts["dataset"]["entry"], files["dataset"], number=training.pop("sequences"), seed=training["seed"]
    )
    metrics = train_lora_embedding(
        train.texts,
        load_sequences(texts["validation"]["entry"], files["validation"]),
        given.weights,
        given.tokenizer,
        snakemake.output.checkpoints,
        identity=snakemake.params.signature,
        kind=run.settings["kind"],
        checkpoints=run.settings["checkpoints"],
        base_name=base["name"],
        loading={key: base[key] for key in BASE_OPTIONS if key in base},
        tokenizer_options=run.settings["tokenizer"]["options"],
        device=device,
        **training,
    )
    write_table(snakemake.output.metrics, metrics, run.provenance(device=device))
