"""The cost of a step and of an evaluation, relative to plain implementations of the same (docs/speed.md)."""
