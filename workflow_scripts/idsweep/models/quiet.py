"""Silence for what transformers prints by itself."""

from __future__ import annotations

import logging as standard_logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, and no tables of unexpected weights: what matters of these is raised as an error.

    All other warnings stay: they may concern numbers (`workflow.library_warnings`).
    """
    from transformers.utils import logging

    reports = standard_logging.getLogger("transformers.modeling_utils")
    bars = logging.is_progress_bar_enabled()
    reports.addFilter(_is_no_report)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        reports.removeFilter(_is_no_report)
        if bars:
            logging.enable_progress_bar()


def _is_no_report(record: standard_logging.LogRecord) -> bool:
    return " LOAD REPORT" not in str(record.msg)
