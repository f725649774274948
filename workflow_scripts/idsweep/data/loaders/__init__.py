"""Loaders of datasets: one module each."""
