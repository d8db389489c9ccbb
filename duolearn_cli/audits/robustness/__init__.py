"""Attacks that try to recover forgotten knowledge from an unlearned model (docs/robustness.md)."""
