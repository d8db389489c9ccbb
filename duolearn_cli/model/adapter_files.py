"""The files of a saved adapter, as PEFT names them. This file imports nothing."""

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
