"""What makes checkpoints: training runs whose every saved step is a whole model folder."""
