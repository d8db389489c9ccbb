"""Metrics with confidence intervals: pure functions of scores, which know no model (docs/metrics.md)."""
