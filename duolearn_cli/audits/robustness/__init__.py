"""Attacks that try to get forgotten knowledge back out of an unlearned model."""
