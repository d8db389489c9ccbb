"""Refuse a folder that holds no model in order, from its files alone: before PyTorch starts or a run folder exists.

transformers reads these files too, but late, and answers damage with errors of many kinds or with endless work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.errors import ModelError
from duolearn_cli.files import checked_file, read_json
from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.weights import Weights

CONFIG, TOKENIZER, WEIGHTS, INDEX = "config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"
# JSON files that transformers reads where they are there; each is an object.
OBJECTS = ("tokenizer_config.json", "generation_config.json", "special_tokens_map.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# Whole numbers from 1 on, where a configuration has them, and their largest plausible values.
COUNTS = {
    "hidden_size": 10**6,
    "intermediate_size": 10**7,
    "num_hidden_layers": 10**4,
    "num_attention_heads": 10**5,
    "num_key_value_heads": 10**5,
    "head_dim": 10**5,
    "vocab_size": 10**8,
    "max_position_embeddings": 10**9,
}
# Some configurations say null here, and mean the default.
MAY_BE_NULL = ("num_key_value_heads", "head_dim", "max_position_embeddings", "intermediate_size")
# A configuration may describe more numbers than are stored (a tied or shared layer), but not this many times more.
MOST = 8


def check_folder(weights: Weights, name: str) -> None:
    """Check the files of a model that lies on this machine.

    Raises:
        ModelError: a file is missing, cannot be read, is damaged, or does not belong to the others.
    """
    folder = Path(weights.location)
    if not folder.is_dir():
        return  # a model of the hub; transformers checks what it downloads
    if (folder / CONFIG_FILE).is_file() and not (folder / CONFIG).is_file():
        return  # an adapter; loading refuses it and says what to do
    if weights.gguf_file:
        check_gguf(folder / weights.gguf_file)
        return
    config = _config(folder / CONFIG, name)
    for each in OBJECTS:
        if _exists(folder / each):
            _object(folder / each)
    if _exists(folder / TOKENIZER):
        _object(folder / TOKENIZER)
    _check_size(folder, config, sum(_numbers(path) for path in _stored(folder, name)))


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path, ModelError)
    if not isinstance(found, dict):
        raise ModelError(f"{path}: a JSON object is needed, found {type(found).__name__}; get the file again.")
    return found


def _config(path: Path, name: str) -> dict[str, Any]:
    if not _exists(path):
        raise ModelError(f"model {name}: {path.parent} has no {CONFIG}, so it is no model; give the folder of one.")
    config = _object(path)
    problems = list(_faults(config))
    if problems:
        raise ModelError(f"{path}: {'; '.join(problems)}. Get the file again that belongs to the weights.")
    return config


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        yield f"model_type={kind!r}: the name of an architecture is needed, such as llama"
    for key, most in COUNTS.items():
        if key not in config or (config[key] is None and key in MAY_BE_NULL):
            continue
        values = config[key] if isinstance(config[key], list) and config[key] else [config[key]]
        if not all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= most for one in values):
            yield f"{key}={str(config[key])[:40]}: a whole number from 1 to {most:,} is needed"


def _stored(folder: Path, name: str) -> list[Path]:
    """The files of the weights. Raises ModelError where none is there, or one of several is missing."""
    if _exists(folder / INDEX):
        return _shards(folder / INDEX)
    if _exists(folder / WEIGHTS):
        return [folder / WEIGHTS]
    if any(_exists(folder / one) for one in PICKLES):
        raise ModelError(
            f"model {name}: {folder} holds its weights as pickle ({PICKLES[0]}), which can run code and is not read; "
            f"get or convert them as safetensors ({WEIGHTS})."
        )
    raise ModelError(f"model {name}: {folder} holds no weights ({WEIGHTS}); get the complete folder.")


def _shards(index: Path) -> list[Path]:
    names = _object(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(one, str) for one in names.values()):
        raise ModelError(f"{index}: it has no weight_map from tensors to files; get the file again.")
    files = sorted(set(names.values()))
    for one in files:
        if Path(one).name != one:
            raise ModelError(f"{index}: weight_map names {one!r}, which is not a file of this folder.")
        if not _exists(index.parent / one):
            raise ModelError(f"{index}: {one} is missing; get all {len(files)} files of the weights.")
    return [index.parent / one for one in files]


def _numbers(path: Path) -> int:
    """How many numbers a safetensors file holds; its head is checked, its tensors are not read."""
    from safetensors import SafetensorError, safe_open

    checked_file(path, ModelError)
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error}); get it again.") from error


def _check_size(folder: Path, config: Mapping[str, Any], stored: int) -> None:
    """Refuse dimensions for which the weights are far too few: transformers would fill them with random numbers."""
    width, layers, vocabulary = (config.get(key) for key in ("hidden_size", "num_hidden_layers", "vocab_size"))
    if not all(isinstance(one, int) for one in (width, layers, vocabulary)) or config.get("quantization_config"):
        return
    least = width * vocabulary + layers * width * width  # type: ignore[operator]
    if least > MOST * max(stored, 1):
        raise ModelError(
            f"{folder / CONFIG}: hidden_size={width}, num_hidden_layers={layers} and vocab_size={vocabulary} mean more "
            f"than {least:,} numbers, and the weights hold {stored:,}; get the files that belong together."
        )


def check_gguf(path: Path) -> None:
    """Check that a GGUF file is whole, as far as its tensors' table tells. Raises ModelError."""
    if _exists(path):
        checked_file(path, ModelError)
    else:
        raise ModelError(f"model.gguf_file={path.name}: there is no such file in {path.parent}.")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] != b"GGUF" or len(start) < 8:
        raise ModelError(f"{path}: not a GGUF file, or cut; get it again.")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        end = max((tensor.data_offset + tensor.n_bytes for tensor in reader.tensors), default=0)
        is_whole = 0 < end <= path.stat().st_size and "general.architecture" in reader.fields
    except Exception as error:  # the reader computes with what it finds; any error means damage
        raise ModelError(f"{path}: not a whole GGUF file ({str(error)[:200]}); get it again.") from error
    if not is_whole:
        raise ModelError(f"{path}: not a whole GGUF file (its tensors are missing or cut); get it again.")
