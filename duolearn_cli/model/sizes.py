"""Sizes that the code of the model and the prediction of memory share. This file imports nothing."""

# Numbers in the logits of a chunk: 32 MiB in float32, enough to keep a matrix product busy.
LOGITS_PER_CHUNK = 2**23
# Below this size bf16 saves no time on a CPU: the casts cost what the products gain.
BF16_FROM_PARAMETERS = 20_000_000
