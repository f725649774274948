"""The version of idsweep, in a module of its own so that a release makes no result stale."""

__version__ = "0.2.0"
