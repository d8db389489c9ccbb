"""Data set readers: one module for each data set or format, and the checks of rows that they share."""
