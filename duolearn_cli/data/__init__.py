"""Items, and what happens to them before tokenisation: sides, splits, order. Nothing here uses tensors."""
