"""Differential privacy: what a model has spent, the noisy mechanism and its randomness (docs/privacy.md)."""
