"""Benchmarks: methods side by side (`duolearn benchmark`), and speed (`duolearn bench`)."""
