"""Folders of models that are damaged, incomplete, contradictory or hostile."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from duolearn_cli.files import ASSETS
from tests.hardening.row import Row

TINY = ASSETS / "tiny"
INSPECT = ("inspect", "medmini-0001", "+forget=surgery", "model=local", "model.path=m", "prompt.chat=always")


def loading(folder: Path, gguf_file: str | None = None) -> None:
    """Load the model in `folder`/m as a run does: its dimensions, its tokenizer, its weights."""
    from duolearn_cli.config.model import AdapterConfig
    from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
    from duolearn_cli.model.folder_check import check_folder
    from duolearn_cli.model.shape import read_shape
    from duolearn_cli.model.weights import find_weights

    path, adapter = str(folder / "m"), AdapterConfig(rank=2, alpha=4)
    config = ModelConfig(name="local", path=path, gguf_file=gguf_file, adapter=adapter)
    weights = find_weights(config, None)
    check_folder(weights, "local")
    read_shape(weights)
    # Only now: what the files alone tell is told before PyTorch is imported.
    from duolearn_cli.model.loading import load_model, load_tokenizer, read_context

    load_tokenizer(weights, config)
    read_context(weights)
    load_model(weights, config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)


def loading_gguf(folder: Path) -> None:
    loading(folder, "x.gguf")


def loading_gguf_outside(folder: Path) -> None:
    loading(folder, "../x.gguf")


def model(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        shutil.copytree(TINY, path, copy_function=shutil.copyfile)
        change(path)

    return make


def written(name: str, content: bytes | str) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return model(lambda path: (path / name).write_bytes(data))


def without(*names: str) -> Callable[[Path], object]:
    return model(lambda path: [(path / name).unlink() for name in names])


def setting(name: str, **values: Any) -> Callable[[Path], object]:
    """Change fields of a JSON file; `...` deletes one."""

    def change(path: Path) -> None:
        found = json.loads((path / name).read_text()) | values
        kept = {key: value for key, value in found.items() if value is not ...}
        (path / name).write_text(json.dumps(kept))

    return model(change)


def spoilt(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return model(lambda path: (path / name).write_bytes(change((path / name).read_bytes())))


TEXTS: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"hidden_size": 6',
    "list": b"[1, 2]",
    "null": b"null",
    "number": b"5",
    "not_utf8": b'{"model_type": "\xff\xfe"}',
    "utf16": '{"a": 1}'.encode("utf-16"),
    "deep": b"[" * 50_000,
    "nul_bytes": bytes(500),
    "empty_object": b"{}",
    "html": b"<html>404</html>",
    "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}
FIELDS: dict[str, tuple[Any, ...]] = {
    "num_attention_heads": (0, -1, None, "four", 4.5, [], 10**12),
    "num_key_value_heads": (0, None, "two", 3),
    "hidden_size": (0, -64, None, "wide", 63, 10**9),
    "num_hidden_layers": (0, -1, None, "many", 10**6),
    "intermediate_size": (0, None, "x", -5),
    "vocab_size": (0, None, "x", 5, 10**10),
    "head_dim": ("x", -4),
    "model_type": (None, "klingon", 5, [], ""),
    "architectures": ("x", [5]),
    "rope_parameters": ("x",),
    "rms_norm_eps": ("x",),
    "hidden_act": ("frob", None),
    "max_position_embeddings": (0, "x", None),
    "torch_dtype": ("float9", 5),
    "auto_map": ({"AutoModelForCausalLM": "evil.Model"},),
    "quantization_config": ({"quant_method": "frob"}, "x"),
}
# transformers computes with these as they are, or has a default: the model loads.
ACCEPTED = (
    *(("torch_dtype", "float9"), ("torch_dtype", "5"), ("quantization_config", "{'quant_method': 'frob'}")),
    ("auto_map", "{'AutoModelForCausalLM': 'evil.Model'}"),  # nothing of it is imported
    *(("architectures", "x"), ("architectures", "[5]")),
    *(("max_position_embeddings", "None"), ("num_key_value_heads", "None")),
)
TEMPLATES = {
    "syntax": "{% if %}",
    "unknown_filter": "{{ messages | frob }}",
    "raises": "{{ raise_exception('no') }}",
    "escapes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "divides_by_zero": "{{ 1 / 0 }}",
    "undefined_attribute": "{{ a.b.c }}",
    "long_range": "{% for a in range(99999999) %}x{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "drops_everything": "",
    "number": 5,
    "object": {"a": 1},
    "not_closed": "{{ messages",
}


def rows() -> Iterator[Row]:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        for kind, content in TEXTS.items():
            if name.startswith(("tokenizer_config", "generation")) and kind == "empty_object":
                continue  # nothing is needed in them
            yield Row(f"{name}-{kind}", loading, ("m",), {"m": written(name, content)}, quick=(name, kind) == QUICK)
    for key, values in FIELDS.items():
        for value in values:
            status = 0 if (key, str(value)) in ACCEPTED else 2
            yield Row(f"{key}={value}"[:40], loading, (), {"m": setting("config.json", **{key: value})}, status)
        yield Row(f"{key}-gone", loading, (), {"m": setting("config.json", **{key: ...})}, status=_without(key))
    yield from _tensors()
    yield from _gguf()
    for kind, template in TEMPLATES.items():
        made = setting("tokenizer_config.json", chat_template=template)
        yield Row(f"template-{kind}", INSPECT, ("template",), {"m": made}, seconds=60)


QUICK = ("config.json", "cut")
NEEDED = ("num_attention_heads", "hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "model_type")


def _without(key: str) -> int:
    """The defaults of transformers are another model's: shapes do not fit."""
    return 2 if key in NEEDED else 0


def _header(data: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _with_header(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def act(data: bytes) -> bytes:
        head, body = _header(data)
        change(head)
        text = json.dumps(head).encode()
        return struct.pack("<Q", len(text)) + text + body

    return act


def _first(head: dict[str, Any]) -> dict[str, Any]:
    return head[next(name for name in head if name != "__metadata__")]


TENSORS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "garbage": lambda data: b"garbage" * 100,
    "cut": lambda data: data[: len(data) // 2],
    "one_byte_short": lambda data: data[:-1],
    "one_byte_more": lambda data: data + b"x",
    "header_length_huge": lambda data: b"\xff" * 8 + data[8:],
    "header_length_zero": lambda data: bytes(8) + data[8:],
    "header_no_json": lambda data: data[:8] + b"x" * 50 + data[58:],
    "pickle": lambda data: b"\x80\x04cos\nsystem\n(S'id'\ntR.",
    "zip": lambda data: b"PK\x03\x04" + data[4:],
    "offsets_outside": _with_header(lambda head: _first(head).update(data_offsets=[0, 10**12])),
    "offsets_backwards": _with_header(lambda head: _first(head).update(data_offsets=[64, 0])),
    "shape_wrong": _with_header(lambda head: _first(head).update(shape=[1, 1])),
    "shape_negative": _with_header(lambda head: _first(head).update(shape=[-1, 64])),
    "dtype_unknown": _with_header(lambda head: _first(head).update(dtype="F9")),
    "nan_everywhere": lambda data: data[:-4096] + b"\xff" * 4096,
}


def _tensors() -> Iterator[Row]:
    for kind, change in TENSORS.items():
        yield Row(f"safetensors-{kind}", loading, ("m",), {"m": spoilt("model.safetensors", change)})
    yield Row("safetensors-missing", loading, ("m",), {"m": without("model.safetensors")})
    yield Row("tokenizer-missing", loading, ("m",), {"m": without("tokenizer.json", "tokenizer_config.json")})
    yield Row("config-missing", loading, ("m",), {"m": without("config.json")})
    index = json.dumps({"metadata": {}, "weight_map": {"a": "nosuch.safetensors"}})
    yield Row("index-of_missing_files", loading, ("m",), {"m": model(lambda path: _sharded(path, index))})
    for kind in ("cut", "list", "null", "empty"):
        made = model(lambda path, text=TEXTS[kind]: _sharded(path, text))
        yield Row(f"index-{kind}", loading, ("m",), {"m": made})
    outside = json.dumps({"metadata": {}, "weight_map": {"a": "../../../etc/passwd"}})
    yield Row("index-outside", loading, ("m",), {"m": model(lambda path: _sharded(path, outside))})
    pickled = model(lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"))
    yield Row("pickle-only", loading, ("m",), {"m": pickled})
    yield Row("folder-empty", loading, ("m",), {"m": lambda path: path.mkdir()})


def _sharded(path: Path, index: str | bytes) -> None:
    (path / "model.safetensors").unlink()
    data = index.encode() if isinstance(index, str) else index
    (path / "model.safetensors.index.json").write_bytes(data)


def _gguf() -> Iterator[Row]:
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
    for kind, content in {
        "empty": b"",
        "garbage": b"garbage" * 100,
        "only_magic": b"GGUF",
        "no_fields": head,
        "version_huge": b"GGUF" + struct.pack("<IQQ", 2**31, 0, 0),
        "counts_huge": b"GGUF" + struct.pack("<IQQ", 3, 2**62, 2**62),
        "fields_cut": b"GGUF" + struct.pack("<IQQ", 3, 0, 5) + b"\x05",
        "string_huge": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60) + b"abc",
        "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        "safetensors": (TINY / "model.safetensors").read_bytes()[:5000],
    }.items():
        made = model(lambda path, content=content: (path / "x.gguf").write_bytes(content))
        yield Row(f"gguf-{kind}", loading_gguf, ("x.gguf",), {"m": made}, quick=kind == "empty")
    yield Row("gguf-missing", loading_gguf, ("x.gguf",), {"m": model(lambda path: None)})
    yield Row("gguf-outside", loading_gguf_outside, ("x.gguf",), {"m": model(lambda path: None)})
