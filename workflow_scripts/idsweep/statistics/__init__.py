"""Uncertainty, resampling and change points, of any numbers."""
