"""Sources of a concept hierarchy, one module for each format."""
