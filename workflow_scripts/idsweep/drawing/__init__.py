"""What all figures share: style, the choice of rows, curves over training."""
