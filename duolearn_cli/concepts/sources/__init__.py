"""Where a concept hierarchy comes from: one module for each format."""
