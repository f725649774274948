"""What a configuration means: models x checkpoints x datasets x representations, checked before anything runs."""
