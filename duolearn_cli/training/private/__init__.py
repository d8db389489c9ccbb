"""Differentially private gradients and fine-tuning."""
