"""Whole files and what is in them: Parquet with provenance, vectors, neighbour graphs, estimates."""
