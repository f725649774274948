"""How a sweep runs: the graph of jobs, their signatures, what surrounds each script, the report."""
