"""Items and what happens to them before any tokenizer: sides, splits, order. Knows no tensors."""
