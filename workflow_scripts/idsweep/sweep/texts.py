"""What is wrong with the texts of a sweep, as far as their first rows tell."""

from __future__ import annotations

from idsweep.config.load import ConfigError
from idsweep.data.corpora import check_beginning
from idsweep.sweep.models import catalog_path
from idsweep.sweep.sweep import Sweep


def check_texts(sweep: Sweep) -> None:
    """Read the first rows of each dataset of local files, with labels where a training reads them.

    Quick as it is: it stops at the first rows that hold a text. Raises ConfigError for each that cannot be read as its entry says.
    """
    labelled = {
        corpus.path
        for model in sweep.known.values()
        if model.reads_labels
        for corpus in sweep.training_corpora(model.entry).values()
    }
    complaints = []
    for corpus in sweep.corpora.values():
        try:
            check_beginning(corpus.entry, corpus.path in labelled)
        except (ValueError, OSError) as error:
            complaints.append(f"{catalog_path('datasets', corpus.source)}: {error}")
    if complaints:
        raise ConfigError(complaints)
