"""The files of a saved adapter. This file imports nothing.

The first two have the names that PEFT gives them; `HELD_FILE` holds the gradients of `training/held.py`.
"""

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
HELD_FILE = "held.safetensors"
