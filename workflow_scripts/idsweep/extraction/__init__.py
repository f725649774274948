"""From tokens to hidden states and to what the model predicts, in one forward pass."""
