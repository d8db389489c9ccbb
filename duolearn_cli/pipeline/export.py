"""Write a run's model for others: an adapter for plain PEFT, or a whole model for plain transformers."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from peft import PeftModel
from transformers import AutoConfig, GenerationConfig
from transformers.utils import logging as transformers_logging

from duolearn_cli.config.privacy import ACCOUNT_FILE
from duolearn_cli.data.earlier import spec_of
from duolearn_cli.errors import ModelError
from duolearn_cli.evaluation.perplexity import plain_texts
from duolearn_cli.files import write_json, write_text
from duolearn_cli.model import lora
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.model.loading import load_tokenizer
from duolearn_cli.model.origin import Origin, licence_files, origin_of
from duolearn_cli.model.pretrained import load_base
from duolearn_cli.model.weights import Weights, sha256
from duolearn_cli.pipeline.export_plan import ExportPlan, whole
from duolearn_cli.pipeline.requests import read_chain
from duolearn_cli.privacy.account import read_account
from duolearn_cli.report.inputs import read_history
from duolearn_cli.report.model_card import Subject, model_card
from duolearn_cli.report.terminal import Display

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Nats. A model written in float32 must answer as the run does; a larger difference is not rounding.
CLOSE = 1e-4
# Tokens of the probe text, at most.
PROBE = 64


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `difference` is in nats, and None unless the model is merged."""

    folder: Path
    files: list[str]
    difference: float | None


def export(plan: ExportPlan, display: Display) -> Exported:
    """Write the folder of `plan`, completely or not at all.

    Raises:
        ModelError: base or adapter cannot be read, or the written model answers differently from the run's model.
        RunError: the folder cannot be written, the adapter's privacy account is missing, or its record of requests
            belongs to other weights.
    """
    read_account(plan.adapter)  # an adapter that spent privacy is never exported without its account
    chain = read_chain(plan.adapter)
    # A folder that exists is complete: whoever finds it may hand it on.
    with whole(plan.folder) as part:
        tokenizer = _write_tokenizer(plan, part)
        if plan.format == "merged":
            difference = _write_merged(plan, part, tokenizer, display)
        else:
            difference = None
            _write_adapter(plan, part)
        origin = origin_of(plan.weights, plan.model)
        if chain:  # after the weights, whose hashes it holds
            chain.write(part)
        _write_papers(plan, part, origin, difference)
        files = sorted(path.name for path in part.iterdir())
        for name in files:  # safetensors' own writer lets nobody else read
            (part / name).chmod((part / "README.md").stat().st_mode)
    return Exported(plan.folder, files, difference)


def _write_tokenizer(plan: ExportPlan, part: Path) -> Any:
    """Write the tokenizer with its chat template, and the generation settings. Return the tokenizer."""
    tokenizer = load_tokenizer(plan.weights, plan.model)
    tokenizer.save_pretrained(part)
    again = load_tokenizer(_written(plan, part), plan.model)
    changed = [text for text in plain_texts() if tokenizer(text)["input_ids"] != again(text)["input_ids"]]
    if changed or tokenizer.chat_template != again.chat_template:
        raise ModelError(
            f"the tokenizer of {plan.model.name} changes when it is written and read again; this model cannot be "
            "exported with its tokenizer."
        )
    _generation_config(plan.weights).save_pretrained(part)
    return tokenizer


def _written(plan: ExportPlan, part: Path) -> Weights:
    """The weights that have been written."""
    return Weights(str(part), None, None, False, plan.weights.trust_remote_code)


def _generation_config(weights: Weights) -> GenerationConfig:
    """The base model's generation settings. Without such a file, transformers derives them from its config."""
    folder = weights.folder()
    if folder and (folder / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(str(folder))
    return GenerationConfig.from_model_config(AutoConfig.from_pretrained(weights.location, **weights.arguments()))


def _write_adapter(plan: ExportPlan, part: Path) -> None:
    """Copy the adapter bit for bit, and its held gradients if wanted. Its configuration names the base, not a path."""
    shutil.copyfile(plan.adapter / ADAPTER_FILE, part / ADAPTER_FILE)
    if plan.settings.held and (plan.adapter / HELD_FILE).is_file():
        shutil.copyfile(plan.adapter / HELD_FILE, part / HELD_FILE)
    config = json.loads((plan.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    name, revision = plan.weights.reference(plan.model.name)
    named = {"base_model_name_or_path": name, "revision": revision, "inference_mode": True}
    write_json(part / "adapter_config.json", config | named)


def _write_merged(plan: ExportPlan, part: Path, tokenizer: Any, display: Display) -> float:
    """Merge in float32, write, and read again. Return how far the answers to a probe text differ, in nats."""
    display.stage(f"Load {plan.model.name} and merge the adapter into it")
    network = _network(plan)
    probe = torch.tensor([tokenizer(plain_texts()[0])["input_ids"][:PROBE]])
    before = _log_probabilities(network, probe)
    merged: Any = network.merge_and_unload(safe_merge=True)
    if found := _unmerged(merged):
        raise ModelError(f"format=merged: PEFT did not merge {found}; allowed here: format=adapter.")
    merged = merged.to(DTYPES[plan.settings.precision])
    display.stage(f"Write {plan.folder}")
    _save(merged, part, plan)
    # Both models at once would need twice the memory that `plan_export` has checked for.
    del merged, network
    # Test the files, not the network in memory: others get the files.
    again = load_base(_written(plan, part), plan.model.name, torch.float32)
    difference = float((_log_probabilities(again.eval(), probe) - before).abs().max())
    # `not <=` because a difference of NaN must fail too. The user chose the rounding of half precision, and the card
    # says how large it is.
    if plan.settings.precision == "fp32" and not difference <= CLOSE:
        raise ModelError(
            f"format=merged: read again, the written model's log-probabilities differ by {difference:.2g} nats from "
            f"the run's ({CLOSE:g} are allowed); nothing was exported. Allowed here: format=adapter."
        )
    return difference


def _network(plan: ExportPlan) -> PeftModel:
    """The base in float32 with the run's adapter, on the CPU. It rounds no more than the run did."""
    # Merging in half precision would round the sum of base and adapter before `export.precision` applies.
    base = load_base(plan.weights, plan.model.name, torch.float32)
    network = lora.attach(plan.model.adapter, base)
    lora.load(network, plan.adapter)
    return network.eval()


@torch.no_grad()
def _log_probabilities(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Log-probability of each token given those before it. Shape: [1, tokens] -> [tokens - 1]."""
    found = model(input_ids=ids, use_cache=False).logits[0, :-1].double().log_softmax(-1)
    return found.gather(-1, ids[0, 1:, None])[:, 0]


def _unmerged(model: torch.nn.Module) -> str:
    """The first parameter of the adapter that is left; empty if none is."""
    return next((name for name, _ in model.named_parameters() if "lora_" in name), "")


def _save(model: Any, part: Path, plan: ExportPlan) -> None:
    _forget_packing(model)
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(part, max_shard_size=int(1e9 * plan.settings.max_shard_gb))
    folder = plan.weights.folder()
    if plan.weights.trust_remote_code and folder:  # its configuration names code that lies beside the weights
        for path in folder.glob("*.py"):
            shutil.copyfile(path, part / path.name)


def _forget_packing(model: Any) -> None:
    """Let a base that was unpacked from GGUF be saved as the plain model that it is now.

    Raises:
        ModelError: it is still packed.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:
        return
    if any(not parameter.is_floating_point() or parameter.itemsize < 2 for parameter in model.parameters()):
        raise ModelError("format=merged: transformers keeps this base in packed numbers; allowed: format=adapter.")
    quantizer.remove_quantization_config(model)


def _write_papers(plan: ExportPlan, part: Path, origin: Origin, difference: float | None) -> None:
    """Write the privacy account, the licence, the base's hashes and the card."""
    if (plan.adapter / ACCOUNT_FILE).is_file():
        shutil.copyfile(plan.adapter / ACCOUNT_FILE, part / ACCOUNT_FILE)
    for path in licence_files(plan.weights):
        shutil.copyfile(path, part / path.name)
    write_json(part / "base_model.json", origin.as_dict())
    write_text(part / "README.md", model_card(_subject(plan, origin, difference, part)))


def _subject(plan: ExportPlan, origin: Origin, difference: float | None, part: Path) -> Subject:
    config, folder = plan.config, plan.run.folder
    metrics, forgets = folder / "metrics.json", config.command == "unlearn"
    spec = spec_of(config.forget) if forgets and not OmegaConf.is_missing(config.forget, "name") else None
    forgotten = {"name": [spec.name], "concepts": [*spec.concepts, *spec.add], "labels": spec.subjects} if spec else {}
    return Subject(
        name=f"{config.model.name}{f' without {spec.name}' if spec else ''}",
        format=plan.format,
        base=origin.as_dict(),
        metrics=json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else None,
        run=plan.run.info,
        forgotten=forgotten,
        earlier=[*(config.forgotten or []), *(request.name for request in config.requests)],
        history=read_history(folder / "history.jsonl"),
        precision=plan.settings.precision,
        difference=difference,
        adapter_sha256=sha256(plan.adapter / ADAPTER_FILE),
        files=[path.name for path in part.iterdir()],
    )
