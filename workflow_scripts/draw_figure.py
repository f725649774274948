"""Draw one figure of the sweep.

Reads: the tables that the figure names, or for violins the last checkpoints' estimates as they are.
Writes: results/{sweep}/figures/{figure}.pdf, .png and .svg.
"""

from idsweep.drawing import labels, style
from idsweep.figures import registry
from idsweep.tables.collect import read_frame
from idsweep.workflow.script import job

with job(snakemake) as run:
    figure = snakemake.wildcards.figure
    names = run.settings.get("names")
    frames = [read_frame(table, snakemake.input[table], names) for table in registry.tables(figure)]
    frames, options = labels.label(frames, run.settings["options"], run.settings.get("labels", {}))
    drawn = registry.get(figure)(*frames, **options)
    style.save(drawn, snakemake.output, missing=run.settings.get("missing", ()))
