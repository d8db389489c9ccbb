"""The predictions of the base and the target model for every training token, computed once before the first step.

Steps then need neither a second model in memory nor a second forward. Predictions are stored as last hidden states:
that takes `width` numbers per token instead of `vocabulary`, and the frozen output layer turns them into logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN
from duolearn_cli.methods.base import NO_ATTENTION, Attention
from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.host_to_device import Rows, send
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.model.readout import Readout


@dataclass(frozen=True, eq=False)
class Reference:
    """The references of one text with n labels and p preservation-critical tokens, on the CPU.

    Shapes: base_nll, target_nll [n] (nats); base_hidden, target_hidden [n, width]; target_attention [layers, p, width]
    and target_activations [n, width], None unless the method requests them.
    """

    base_nll: Tensor
    target_nll: Tensor
    base_hidden: Tensor
    target_hidden: Tensor
    target_attention: Tensor | None = None
    target_activations: Tensor | None = None


def references(
    model: LanguageModel,
    texts: Sequence[Encoded],
    labels: str,
    batch_tokens: int,
    attention: Attention = NO_ATTENTION,
    kinds: Sequence[Sequence[int]] = (),
) -> list[Reference]:
    """Run the base (adapter off) and the target (adapter as it is now) on `texts`.

    Args:
        labels: which tokens have labels, ``"answer"`` or ``"text"``.
        batch_tokens: the number of tokens in one batch, padding included.
        attention: what the method reads or changes inside the model. Both models get its key biases, as the model has
            them during unlearning.
        kinds: the class of every token of each text; needed only with an `attention`.
    """
    by_text: list[Reference | None] = [None] * len(texts)
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], labels).to(model.device)
            own_kinds = [kinds[i] for i in indices] if kinds else []
            target = attend(model, batch, attention, own_kinds)
            with model.without_adapter():
                base_hidden = attend(model, batch, attention, own_kinds)["hidden"]
            target_hidden, inner = target["hidden"], target.get("activations")
            base_nll, target_nll = (
                # The readout works in chunks: the logits of 8,192 tokens can take gigabytes.
                Readout(model, Rows([hidden]), batch.label, {}).nll
                for hidden in (base_hidden, target_hidden)
            )
            attended = [None] * len(indices)
            if "attention" in target:
                attended = _split_by_text(target["attention"], own_kinds)
            for position, index in enumerate(indices):
                own = batch.sequence == position
                # References live on the CPU: with a large model and many items they are the largest tensors of a run.
                values = [t[own].cpu() for t in (base_nll, target_nll, base_hidden, target_hidden)]
                own_inner = None if inner is None else inner[own].cpu()
                by_text[index] = Reference(*values, target_attention=attended[position], target_activations=own_inner)
    return [reference for reference in by_text if reference is not None]


def _split_by_text(outputs: Tensor, kinds: Sequence[Sequence[int]]) -> list[Tensor]:
    """Split [layers, p, width] by text, as bfloat16: half the memory of float32 with its range, which float16 lacks."""
    counts = [sum(kind == PRESERVE for kind in row) for row in kinds]
    # Cloned, because a view would keep the outputs of the whole batch in memory.
    return [part.clone() for part in outputs.to("cpu", torch.bfloat16).split(counts, dim=1)]


def attend(
    model: LanguageModel, batch: Batch, attention: Attention, kinds: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Run the forward of a batch and return its outputs by name, in the order of the sequences.

    - ``hidden`` [n, width]: the last hidden states at the labels, under the key biases of `attention`.
    - ``attention`` [layers, p, width], if requested: what some attention layers write for preservation-critical tokens.
    - ``activations`` [n, width], if requested: the output of an inner layer at the labels.
    """
    if attention == NO_ATTENTION:
        return {"hidden": model.hidden(batch)}
    flat = [kind for row in kinds for kind in row]
    with model.attention_outputs(attention.kept_layers) as outputs, model.activations(attention.depth) as inner:
        by_name = {"hidden": model.hidden(batch, _key_bias(batch, attention, flat))}
    if outputs:
        preserved = torch.tensor([i for i, kind in enumerate(flat) if kind == PRESERVE], dtype=torch.long)
        positions = batch.token[send(preserved, batch.token.device)]
        by_name["attention"] = torch.stack([output.flatten(0, 1)[positions] for output in outputs.values()])
    if inner:
        by_name["activations"] = inner[-1][batch.row, batch.position]
    return by_name


def _key_bias(batch: Batch, attention: Attention, kinds: Sequence[int]) -> Tensor | None:
    """Return the key bias of every token of the batch [rows, length], None if the method has none."""
    if not attention.is_biased:
        return None
    by_kind = {UNLEARN: attention.unlearn_key_bias, PRESERVE: attention.preserve_key_bias}
    values = send(torch.tensor([by_kind.get(kind, 0.0) for kind in kinds]), batch.ids.device)
    return values.new_zeros(batch.ids.numel()).index_copy(0, batch.token, values).view_as(batch.ids)
