"""What transformers, peft and datasets warn of while jobs run: kept beside the logs, told once at the end of a run.

They warn where they go on with something else than was asked: weights that are not tied, settings of an adapter that they do
not know, a cached copy of a dataset. Such a line concerns numbers and would be lost among thousands of logs.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.files.atomic import FULL
from idsweep.machine.printable import printable

LIBRARIES = ("datasets", "peft", "transformers")
ENDING = ".warnings"  # in the place of .log
LONGEST = 400  # characters on the screen; the log has all
# Of what will be called otherwise in a later version; numbers are what they were.
ABOUT_LATER = (FutureWarning, DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
# Patterns of warnings that concern no number -> why.
HARMLESS = {
    r"is deprecated|will be removed": "it is about a later version",
    r"Token indices sequence length is longer": "texts are cut to `max_length`, and longer ones refused, where they are run",
    r"fast path is not available|falling back to (the )?(sequential|naive|eager|torch)": "it is about speed",
    r"with a model not initialized on GPU": "it is moved there once it is loaded",
    r"pin_memory|use_cache=True|gradient checkpointing": "it is about memory and speed",
    r"loss_type=": "no loss of transformers is used",
    r"generation (flags|config)|GenerationConfig|GenerationMixin": "nothing is generated",
    r"(tokenizer has new|The model is already on|Repo card metadata)": "it is about what is saved beside the weights",
}


class Kept(NamedTuple):
    """One warning. subject: the model, or what else a job was about. library: that gave it. log: of the job."""

    subject: str
    library: str
    message: str
    log: str


@contextmanager
def keeping(log: str, subject: str, run: str) -> Iterator[None]:
    """Keep what the libraries warn of in a file beside a job's log; there is none where they do not.

    log: its path, which ends in .log. subject: see `Kept`. run: what tells this run from others.
    """
    path = Path(log).with_suffix(ENDING)
    path.unlink(missing_ok=True)
    seen: set[str] = set()

    def keep(library: str, message: str) -> None:
        if message in seen or any(re.search(pattern, message, re.IGNORECASE) for pattern in HARMLESS):
            return
        seen.add(message)
        line = {"run": run, "subject": subject, "library": library, "message": message, "log": log}
        try:
            with path.open("a", encoding="utf-8") as file:
                print(json.dumps(line), file=file)
        except OSError as error:
            if error.errno not in FULL:  # a full disk is told by what the job itself writes
                raise

    handler = _Handler(keep)
    show = warnings.showwarning

    def show_and_keep(message: Any, category: type[Warning], *place: Any, **options: Any) -> None:
        library = _issuer()
        if library in LIBRARIES and not issubclass(category, ABOUT_LATER):
            keep(library, str(message))
        show(message, category, *place, **options)

    for library in LIBRARIES:
        logging.getLogger(library).addHandler(handler)
    warnings.showwarning = show_and_keep
    try:
        yield
    finally:
        warnings.showwarning = show
        for library in LIBRARIES:
            logging.getLogger(library).removeHandler(handler)


def subject_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """The model that a job is about; of one that is about none, the dataset and the tokenizer, or its rule."""
    if "model" in wildcards:
        return wildcards["model"]
    names = [wildcards[name] for name in ("dataset", "release", "tokenizer") if name in wildcards]
    return " for ".join(names) or rule


def describe_warnings(logs: str | Path, run: str, most: int = 10) -> str:
    """What the libraries warned of in the jobs of a run, each warning once with all it was about; empty if of nothing.

    logs: the folder of all logs. Warnings that differ in numbers or quoted names alone (a checkpoint's) are one.
    """
    alike: dict[tuple[str, str], list[Kept]] = {}
    for path in sorted(Path(logs).rglob(f"*{ENDING}")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:  # a job was killed while it wrote
                continue
            if found.pop("run") == run:
                kept = Kept(**found)
                alike.setdefault((kept.library, re.sub(r"\d+|'[^']*'|\S*/\S*", "#", kept.message)), []).append(kept)
    if not alike:
        return ""
    lines = [f"{len(alike)} warning(s) of libraries that may concern numbers:"]
    for group in list(alike.values())[:most]:
        subjects = _without_repetition({kept.subject for kept in group})
        others = f" and {len(subjects) - 3} more" if subjects[3:] else ""
        message = " ".join(group[0].message.split())
        shown = message if len(message) <= LONGEST else f"{message[:LONGEST]} …"
        lines += [f"  {', '.join(subjects[:3])}{others} ({group[0].library}): {shown}", f"    log: {group[0].log}"]
    if len(alike) > most:
        lines.append(f"  … and {len(alike) - most} more: {logs}/**/*{ENDING}")
    return printable("\n".join(lines))


def _without_repetition(subjects: set[str]) -> list[str]:
    """Subjects, sorted, without datasets for a tokenizer whose model is named as well."""
    return sorted(one for one in subjects if one.rpartition(" for ")[2] not in subjects - {one})


class _Handler(logging.Handler):
    def __init__(self, keep: Any) -> None:
        super().__init__(logging.WARNING)
        self._keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        self._keep(record.name.split(".")[0], record.getMessage())


def _issuer() -> str:
    """The package whose code called `warnings.warn`, whatever line the warning points to."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "") in ("warnings", "logging", __name__):
        frame = frame.f_back
    return "" if frame is None else frame.f_globals.get("__name__", "").split(".")[0]
