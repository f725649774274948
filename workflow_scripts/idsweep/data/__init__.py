"""Texts: catalog entries of datasets, their rows, and the tokens that are measured."""
