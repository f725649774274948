"""`idsweep measure`: from a model, checkpoints or vectors that a user names to a sweep, its run and a table."""
