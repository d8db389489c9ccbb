"""Estimates of a run's cost before a model is loaded: memory, steps, time."""
