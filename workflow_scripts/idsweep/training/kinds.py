"""The kinds of training there are: what each makes, starts from, reads and measures."""

from __future__ import annotations

LOSSES = ("train_loss", "validation_loss")
SCORES = ("loss", "accuracy", "macro_f1", "weighted_f1")
TRAINED_METRICS = {
    "language_model": LOSSES,
    "grokking": (*LOSSES, "train_accuracy", "validation_accuracy"),
    "word_vectors": (),
    "fine_tuned_language_model": LOSSES,
    "fine_tuned_classifier": tuple(f"{split}_{score}" for split in ("train", "validation") for score in SCORES),
    "lora_embedding": (*LOSSES, "validation_perplexity", "base_validation_loss"),
}
TEST_METRICS = tuple(f"test_{score}" for score in SCORES)
# `train:` of an entry -> the rule that makes it, where that is not train_ and its name.
RULES = {
    "fine_tuned_language_model": "fine_tune_language_model",
    "fine_tuned_classifier": "fine_tune_classifier",
}
# Trainings that start from the weights of another entry, `base`, and the kinds that they make.
KINDS_FROM_BASE = {
    "fine_tuned_language_model": ("causal", "masked"),
    "fine_tuned_classifier": ("encoder",),
    "lora_embedding": ("causal", "masked"),
}
