"""Compare the local estimates of fine-tuned models with those of their bases, token by token.

Reads: the estimates of both, and the sampled tokens.
Writes: results/{sweep}/tables/shifts.parquet.
"""

from idsweep.files.parquet import provenance, read_table, write_table
from idsweep.files.vectors import read_estimates
from idsweep.machine.errors import about
from idsweep.machine.progress import Progress
from idsweep.tables.collect import SHIFTED, identified
from idsweep.tables.shifts import compare_estimates
from idsweep.workflow.script import job

SAME = ("set", "dataset", "representation", "cloud")

with job(snakemake) as run:
    measured = {}
    for file, tokens in zip(snakemake.input.estimates, snakemake.input.tokens, strict=True):
        for identity in provenance(file)["identities"].values():
            key = (identity["model"], identity["checkpoint"], *(identity[name] for name in SAME))
            measured[key] = identity, file, tokens
    shifts = []
    compared = run.settings["compared"]
    progress = Progress("comparing", len(compared), "pairs of models")
    for done, pair in enumerate(compared, start=1):
        for (model, _, *same), (identity, file, tokens) in measured.items():
            base = measured.get((pair["base"], pair["base_checkpoint"], *same))
            if model != pair["model"] or base is None:
                continue
            of_base, base_file, base_tokens = base
            with about(f"{file} and {base_file}"):
                if (one := identity["extrinsic_dimension"]) != (other := of_base["extrinsic_dimension"]):
                    raise ValueError(
                        f"their vectors have {one} and {other} coordinates: {model} was not fine-tuned from {pair['base']}; "
                        "name what it was made of under `comparisons:`, or as its `base` in the catalog."
                    )
                estimates = [read_estimates(path, identity["representation"]) for path in (base_file, file)]
                table = compare_estimates(*estimates, read_table(base_tokens), read_table(tokens))
            against = {"base_model": pair["base"], "base_checkpoint": pair["base_checkpoint"]}
            shifts.append((identity | against, table))
        progress.report(done)
    write_table(snakemake.output[0], identified(shifts, SHIFTED), run.provenance())
