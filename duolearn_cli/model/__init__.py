"""The language model: loading, the LoRA adapter, encoding of items, losses, and work in several processes."""
