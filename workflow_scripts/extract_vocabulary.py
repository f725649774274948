"""Take rows of one checkpoint's embedding matrices: no text and no forward pass.

Reads: the sampled entries of the vocabulary, the checkpoint's weights (or a file of static word vectors).
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/vocabulary.parquet.
"""

from functools import partial

from idsweep.files.parquet import read_table, to_numpy
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.machine.uncounted import uncounted
from idsweep.models.checkpoint_disk import measuring
from idsweep.models.checkpoints import load_model, number_of_parameters
from idsweep.models.folders import commit_of
from idsweep.models.vocabulary import embedding_rows, take_rows
from idsweep.workflow.script import job

given = snakemake.resources
with (
    job(snakemake, reads=[snakemake.input.tokens, *snakemake.input.training]) as run,
    measuring(given.adapter or given.weights),
):
    tokens = read_table(snakemake.input.tokens)
    points, ids = to_numpy(tokens["point"]), to_numpy(tokens["token_id"])
    if "vectors" in run.settings:
        # gensim's version counts for word vectors alone.
        _, rows = uncounted("idsweep.models.static_vectors").load_vectors(
            given.weights, run.settings["vectors"]["format"]
        )
        matrices, n_parameters = {"input_embeddings": rows}, rows.size
    else:
        base_name = run.settings.get("base", {}).get("hub")
        model = load_model(given.weights, adapter=given.adapter or None, base_name=base_name, **run.settings["model"])
        matrices = {name: embedding_rows(model, name) for name in run.settings["matrices"]}
        n_parameters = number_of_parameters(model)
    commits = {"commit": commit_of(given.weights), "adapter_commit": commit_of(given.adapter)}
    provenance = partial(run.provenance, n_parameters=n_parameters, **commits)
    with EmbeddingsWriter(snakemake.output[0], provenance, run.settings["storage"]) as file:
        for name, matrix in matrices.items():
            file.write(points, {name: take_rows(matrix, ids)})
