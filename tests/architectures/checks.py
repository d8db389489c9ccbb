"""What every architecture must do, or be refused for with a clear message: never a wrong number, never a traceback.

Each check takes a folder with a model, as a user would give it, and raises AssertionError where the program and a plain
computation by transformers and autograd disagree.
"""

from __future__ import annotations

import atexit
import copy
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from omegaconf import DictConfig
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from duolearn_cli.audits.robustness.rounding import rounded
from duolearn_cli.cli.commands import unlearn
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import component, compose
from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import LearnConfig, ModelConfig, PromptConfig, RunConfig, RuntimeConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.readers.minimed import Minimed, to_medmcqa
from duolearn_cli.errors import UserError
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.files import write_jsonl
from duolearn_cli.model import losses
from duolearn_cli.model.encoding import Encoded, Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import unlearn_run
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.per_example import GradientRows
from duolearn_cli.training.per_example_probe import check_per_example
from tests.small_models import draw_adapter
from tests.training.private.engine import one_unit_each, private_steps

# Relative; float32 sums differ in the sixth digit, and a wrong number in the first or second.
CLOSE = 1e-3
SMALL = [
    "split.max_forget=4",
    "split.max_retain=6",
    "learn.epochs=1",
    "learn.batch_size=8",
    "unlearn.epochs=2",
    "unlearn.batch_size=4",
    "unlearn.checkpoint_every=1",
    "unlearn.evaluate_every=0",
    "evaluation.max_items=2",
    "evaluation.quick_items=2",
    "evaluation.generate_items=0",
    "labels.conflicts=ignore",
    "evaluation.report=false",
    "runtime.device=cpu",
    "runtime.precision=fp32",
]


def open_model(folder: Path, targets: str = "all-linear") -> LanguageModel:
    """The model as a run loads it, with an adapter that changes something everywhere."""
    adapter = AdapterConfig(rank=4, alpha=8, targets=targets)
    config = ModelConfig(name="local", path=str(folder), adapter=adapter)
    model = load_model(find_weights(config, None), config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)
    draw_adapter(model.network, 0.1)
    return model


@cache
def items() -> list[Item]:
    """Two dozen questions of four options, a third of them of surgery."""
    found: dict[bool, dict[str, Item]] = {True: {}, False: {}}
    for item in Minimed().load().items:
        if len(item.options) == 4:
            found[item.subject == "Surgery"].setdefault(item.fact_id, item)
    return [*list(found[True].values())[::5][:8], *list(found[False].values())[::31][:16]]


@cache
def _files() -> Path:
    """A folder with the questions and a hierarchy of two concepts: nothing large is read."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_jsonl(folder / "items.jsonl", [to_medmcqa(item) for item in items()])
    (folder / "hierarchy.csv").write_text("id,name,subjects\nsurgery,surgery,Surgery\nanatomy,anatomy,Anatomy\n")
    return folder


@cache
def _composed(method: str) -> DictConfig:
    """A run on these questions with this method; `configured` gives it a model and folders."""
    columns = ["hierarchy=csv", f"hierarchy.path={_files() / 'hierarchy.csv'}", "hierarchy.columns.subjects=subjects"]
    data = ["dataset=medmcqa", f"dataset.path={_files() / 'items.jsonl'}", "prompt.form=cloze"]
    model = ["model=local", f"model.path={_files()}", "model.adapter.rank=4", "model.adapter.alpha=8"]
    request = ["+forget=custom", "forget.concepts=[surgery]", *data, *columns, *model, *SMALL]
    return compose("unlearn", [*request, f"method={method}"])


def configured(method: str, folder: Path, scratch: Path, output: str) -> DictConfig:
    """The configuration of a run of a model: composing takes longer than the run."""
    config = _composed(method).copy()
    config.model.path, config.cache_dir, config.output_dir = str(folder), str(scratch / "cache"), str(scratch / output)
    return config


def texts(model: LanguageModel, count: int = 5) -> list[Encoded]:
    """Questions of different lengths with their answers."""
    return [_encoder(model).encode(item) for item in items()[::3][:count]]


def _encoder(model: LanguageModel) -> Encoder:
    return Encoder(model.tokenizer, PromptConfig(form="cloze"))


def all_logits(network: torch.nn.Module, text: Encoded) -> Tensor:
    """Logits of a text that is alone in its batch, by transformers itself. Shape: [tokens, vocabulary]."""
    with torch.no_grad():
        return network(input_ids=torch.tensor([text.ids]), use_cache=False).logits[0].float()


def apart(one: Tensor, other: Tensor) -> float:
    """Relative distance."""
    return float((one.double() - other.double()).norm() / other.double().norm())


def options_in_one_row_equal_options_alone(folder: Path, scratch: Path) -> None:
    """Evaluation: every option's log-probability is that of the option alone, by transformers' own logits."""
    model, asked = open_model(folder), items()[::6]
    encoder = _encoder(model)
    for item, answer in zip(asked, score(model, encoder, asked, 512), strict=True):
        for option, found in enumerate(answer.totals):
            text = encoder.encode(item, option)
            logp = all_logits(model.network, text).log_softmax(-1)
            expected = sum(float(logp[i - 1, text.ids[i]]) for i in text.labels("answer"))
            assert abs(found - expected) <= CLOSE * abs(expected), f"{item.id} option {option}: {found}, {expected}"


def packing_equals_padding(folder: Path, scratch: Path) -> None:
    """Hidden states of texts that share a row, and of texts in padded rows, are those of each text alone."""
    model = open_model(folder)
    own = texts(model)
    with torch.no_grad():
        alone = torch.cat([model.head(model.hidden(collate([one], "text"))) for one in own])
        padded = model.head(model.hidden(collate(own, "text")))
        assert apart(padded, alone) <= CLOSE, f"padded: {apart(padded, alone):.2g}"
        model.check_attention(masks=True, kept_layers=0)
        packed = model.head(model.hidden(collate(own, "text", pack_to=256)))
    assert apart(packed, alone) <= CLOSE, f"packed: {apart(packed, alone):.2g}"


def single_gradients_equal_backwards(folder: Path, scratch: Path) -> None:
    """Per-example gradients of a padded batch against one backward for each record, matrix by matrix."""
    model = open_model(folder)
    own = texts(model, 4)
    watch, batch = GradientRows(model.network, model.adapter), collate(own, "text")
    with watch.recording():
        loss = _mean_nll(model, batch, len(own))
    with watch.rows(batch, range(len(own))) as (rows, _):
        loss.backward()
        found = rows.clone()
    model.network.zero_grad()
    expected = torch.stack([_gradient(model, one) for one in own])
    assert bool(torch.isfinite(expected).all()) and float(expected.norm()) > 0
    assert apart(found, expected) <= CLOSE, f"single gradients: {apart(found, expected):.2g}"


def _mean_nll(model: LanguageModel, batch: Any, count: int) -> Tensor:
    nll = losses.nll(model.head(model.hidden(batch)).double(), batch.label)
    return losses.sum_of_means(nll, torch.ones_like(nll), batch.sequence, count)


def _gradient(model: LanguageModel, text: Encoded) -> Tensor:
    """By transformers' own logits and autograd. Shape: [adapter]."""
    logits = model.network(input_ids=torch.tensor([text.ids]), use_cache=False).logits[0, :-1].double()
    loss = losses.nll(logits, torch.tensor(text.ids[1:])).mean()
    found = torch.autograd.grad(loss, model.adapter, allow_unused=True)
    return flatten([g if g is not None else torch.zeros_like(p) for g, p in zip(found, model.adapter, strict=True)])


def a_private_step_is_the_clipped_sum(folder: Path, scratch: Path) -> None:
    """Without noise, a private step's gradient is the sum of each record's own clipped one."""
    model = open_model(folder)
    # As a run does before: it compares single gradients, and learns.
    check_per_example(model)
    fine_tune(model, texts(model, 3), LearnConfig(epochs=1, batch_size=4), lambda values: None)
    compare_private_step(model, folder, scratch)


def compare_private_step(model: LanguageModel, folder: Path, scratch: Path) -> None:
    """A private step of `model` as it is, against one backward a record."""
    config = configured("graddiff", folder, scratch, "outputs")
    study, method = prepare(cast(RunConfig, config)), component(config.method)
    lab = SimpleNamespace(study=study, model=model, encoder=_encoder(model))
    forget, retain = (
        unlearn_run.examples(lab, side, is_forget, method.labels, method.attention)
        for side, is_forget in ((study.splits.forget_train[:3], True), (study.splits.retain_train[:3], False))
    )
    clip = 0.05
    units = {"forget": one_unit_each("forget", forget), "retain": one_unit_each("retain", retain)}
    found = private_steps(model, method, units, scratch, clip=clip).gradients(1)
    assert found is not None
    model.network.zero_grad()
    for side, sign, own in (("forget", -1.0, forget), ("preserve", 1.0, retain)):
        single = [sign * _answer_gradient(model, one.text) for one in own]
        expected = sum(gradient * min(1.0, clip / float(gradient.norm())) for gradient in single) / len(own)
        assert apart(getattr(found, side), expected) <= CLOSE, f"{side}: {apart(getattr(found, side), expected):.2g}"


def _answer_gradient(model: LanguageModel, text: Encoded) -> Tensor:
    """By transformers' own logits and autograd, in the order of a step's coordinates. Shape: [adapter]."""
    logits = model.network(input_ids=torch.tensor([text.ids]), use_cache=False).logits[0].double()
    at = text.labels("answer")
    loss = losses.nll(logits[[i - 1 for i in at]], torch.tensor([text.ids[i] for i in at])).mean()
    parameters = Coordinates(model.named_adapter).parameters
    return flatten(torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True))


def rounding_to_16_bits_changes_nothing(folder: Path, scratch: Path) -> None:
    """The quantise attack at 16 bits: the adapter is merged into every layer that carries it."""
    model = open_model(folder)
    text = texts(model, 1)[0]
    plain = all_logits(model.network, text)
    with rounded(model, 16, 64):
        found = all_logits(model.network, text)
    assert apart(found, plain) <= 20 * CLOSE, f"rounded: {apart(found, plain):.2g}"
    assert torch.equal(all_logits(model.network, text), plain)


def merged_equals_adapter(folder: Path, scratch: Path) -> None:
    """The adapter that a run saves, loaded by PEFT and merged, is the model that was measured."""
    model = open_model(folder)
    text = texts(model, 1)[0]
    plain = all_logits(model.network, text)
    model.save_adapter(scratch / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), scratch / "adapter").eval()
        found = all_logits(loaded, text)
        merged = copy.deepcopy(loaded).merge_and_unload()
    assert apart(found, plain) <= CLOSE, f"loaded: {apart(found, plain):.2g}"
    assert apart(all_logits(merged, text), plain) <= CLOSE, f"merged: {apart(all_logits(merged, text), plain):.2g}"


def learns_and_unlearns(method: str) -> Callable[[Path, Path], None]:
    """The main job with this method, by the command's own function: everything is finite, and the adapter moves."""

    def check(folder: Path, scratch: Path) -> None:
        run = _run(method, folder, scratch, method)
        left = _tensors(run / "adapter")
        assert bool(torch.isfinite(left).all()) and not torch.equal(left, _tensors(_target(scratch, run)))

    return check


def a_resumed_run_is_bit_equal(folder: Path, scratch: Path) -> None:
    """Interrupted after the first step and resumed, a run leaves the adapter of an unbroken one."""
    finished = [path.parent for path in (scratch / "duolearn").glob("*/*/metrics.json")]
    whole = finished[0] if finished else _run("duolearn", folder, scratch, "duolearn")
    with _interrupted_after_a_step():
        try:
            _run("duolearn", folder, scratch, "broken")
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("the run was not interrupted")
    (broken,) = (scratch / "broken").glob("*/*")
    config = configured("duolearn", folder, scratch, "broken")
    config.resume = str(broken)
    unlearn.run(config, Invocation([f"resume={broken}"]))
    assert torch.equal(_tensors(broken / "adapter"), _tensors(whole / "adapter"))


@contextmanager
def _interrupted_after_a_step() -> Iterator[None]:
    @contextmanager
    def interrupt() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    usual = unlearn_run.deferred_interrupt
    unlearn_run.deferred_interrupt = interrupt
    try:
        yield
    finally:
        unlearn_run.deferred_interrupt = usual


def _run(method: str, folder: Path, scratch: Path, output: str) -> Path:
    return Path(unlearn.run(configured(method, folder, scratch, output), Invocation()))


def _target(scratch: Path, run: Path) -> Path:
    return scratch / "cache" / "models" / json.loads((run / "run.json").read_text())["target_model"]


def _tensors(folder: Path) -> Tensor:
    found = load_file(folder / "adapter_model.safetensors")
    return torch.cat([found[name].flatten() for name in sorted(found)])


CHECKS: dict[str, Callable[[Path, Path], None]] = {
    "learn, duolearn": learns_and_unlearns("duolearn"),
    "npo": learns_and_unlearns("npo"),
    "rmu": learns_and_unlearns("rmu"),
    "resume": a_resumed_run_is_bit_equal,
    "single gradients": single_gradients_equal_backwards,
    "private step": a_private_step_is_the_clipped_sum,
    "16-bit rounding": rounding_to_16_bits_changes_nothing,
    "merge": merged_equals_adapter,
    "packing": packing_equals_padding,
    "options in a row": options_in_one_row_equal_options_alone,
}


def outcome(check: str, folder: Path, scratch: Path) -> str:
    """``works``, or the message that the program refuses with. What is wrong raises."""
    try:
        CHECKS[check](folder, scratch)
    except UserError as error:
        return str(error)
    return "works"


def outcomes(folder: Path, scratch: Path, checks: Sequence[str] = tuple(CHECKS)) -> dict[str, str]:
    """By check."""
    return {name: outcome(name, folder, scratch) for name in checks}
