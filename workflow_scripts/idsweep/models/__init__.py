"""Weights and tokenizers: folders, the hub, checkpoints, adapters, static vectors."""
