"""Write the page in which the sweep's results are looked at.

Reads: tables, local estimates, sampled tokens, their texts, what models predict at them and, where asked for, their map.
Writes: results/{sweep}/explorer.html.
"""

from idsweep.explorer.explorer import join_passes, write_explorer
from idsweep.explorer.maps import MapFile
from idsweep.workflow.script import job

read = snakemake.input
with job(snakemake) as run:
    settings = run.settings
    files = {name: read.get(name, ()) for name in ("tokens", "sequences", "predictions")}
    write_explorer(
        snakemake.output[0],
        title=settings["title"],
        tables=dict(zip(settings["tables"], read.tables, strict=True)),
        estimates=list(read.get("estimates", ())),
        passes=join_passes(settings["passes"], settings["predictions"], **files),
        maps=[MapFile(**one, file=file) for one, file in zip(settings["maps"], read.get("maps", ()), strict=True)],
        labels=settings.get("labels"),
    )
