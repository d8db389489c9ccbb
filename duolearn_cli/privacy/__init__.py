"""Differential privacy accounting: the account of a model, the mechanism, randomness."""
