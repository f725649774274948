"""Write the page in which the sweep's results are looked at.

Reads: tables, local estimates, sampled tokens, their texts, and what models predict at them.
Writes: results/{sweep}/explorer.html.
"""

from idsweep.explorer.explorer import Pass, write_explorer
from idsweep.files.representations import VOCABULARY
from idsweep.workflow.script import job

read = snakemake.input
with job(snakemake) as run:
    settings = run.settings
    sequences = iter(read.get("sequences", ()))
    predictions = list(zip(settings["predictions"], read.get("predictions", ()), strict=True))
    passes = [
        Pass(
            models=tuple(one["models"]),
            dataset=one["dataset"],
            tokens=tokens,
            sequences=None if one["dataset"] == VOCABULARY else next(sequences),
            predictions=tuple(
                (predicted["model"], predicted["checkpoint"], file)
                for predicted, file in predictions
                if predicted["dataset"] == one["dataset"] and predicted["model"] in one["models"]
            ),
        )
        for one, tokens in zip(settings["passes"], read.tokens, strict=True)
    ]
    write_explorer(
        snakemake.output[0],
        title=settings["title"],
        tables=dict(zip(settings["tables"], read.tables, strict=True)),
        estimates=list(read.get("estimates", ())),
        passes=passes,
    )
