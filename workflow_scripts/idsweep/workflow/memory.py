"""When memory runs out: how that is told, and what can be done about it."""

from __future__ import annotations

# As numpy, torch, C++ and the system's loader say it, some of them in errors of other kinds.
WORDS = (
    "out of memory",
    "cannot allocate memory",
    "can't allocate memory",
    "unable to allocate",
    "not enough memory",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
)


def ran_out(error: BaseException) -> BaseException | None:
    """The error among `error` and its causes that says that memory ran out."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, MemoryError) or any(words in said for words in WORDS):
            return error
        error = error.__cause__ or error.__context__
    return None


def explain(error: BaseException, rule: str, asked_mb: int | None) -> str:
    """The reason of a job that failed with `error` (see `ran_out`), and what to do."""
    lines = str(error).strip().splitlines()
    limit = f" (its mem_mb was {asked_mb:,})" if asked_mb else ""
    return f"memory ran out in {rule}{limit}: {lines[0] if lines else type(error).__name__}. {advice(rule)}"


def advice(rule: str) -> str:
    return (
        "Run fewer jobs at once (--cores 1), let this one have more (on a cluster: "
        f"--set-resources {rule}:mem_mb=MB), or make it smaller (compute.batch_tokens, tokens.number, points.number)."
    )
