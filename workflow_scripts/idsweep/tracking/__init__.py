"""Dialogue state tracking: slots, labels, a tracker's inputs, decoding, joint goal accuracy."""
