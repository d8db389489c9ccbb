"""Data set readers: one module for each format, and the checks on rows that they share."""
