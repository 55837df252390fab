"""Trained models on disk, and the run that has not finished yet."""
