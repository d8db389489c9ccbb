"""Pure functions from scores to metrics with confidence intervals. Knows no model."""
