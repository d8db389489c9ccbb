"""What the base and the target model think of every training token, computed once: no second model, no second forward.

Predictions are kept as last hidden states (width numbers a token instead of vocabulary): the logits are the frozen head
applied to them.
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
    """Of one text with n labels and p preservation-critical tokens, on the CPU.

    Shapes: base_nll, target_nll [n]; base_hidden, target_hidden [n, width]; target_attention [layers, p, width] and
    target_activations [n, width], None where the method does not ask for them.
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
    """Run the base (adapter off) and the target (adapter as it is now) over `texts`.

    Both see the key biases of `attention`, as the model will while unlearning; `kinds` then holds the class of every
    token of each text.
    """
    found: list[Reference | None] = [None] * len(texts)
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], labels).to(model.device)
            own_kinds = [kinds[i] for i in indices] if kinds else []
            target = attend(model, batch, attention, own_kinds)
            with model.without_adapter():
                base_hidden = attend(model, batch, attention, own_kinds)["hidden"]
            target_hidden, inner = target["hidden"], target.get("activations")
            base_nll, target_nll = (
                # In chunks: of 8,192 tokens all logits may be gigabytes.
                Readout(model, Rows([hidden]), batch.label, {}).nll
                for hidden in (base_hidden, target_hidden)
            )
            kept = _by_text(target["attention"], own_kinds) if "attention" in target else [None] * len(indices)
            for place, index in enumerate(indices):
                own = batch.sequence == place
                # Off the device: of a large model on many items these are the largest tensors of the run.
                values = [t[own].cpu() for t in (base_nll, target_nll, base_hidden, target_hidden)]
                own_inner = None if inner is None else inner[own].cpu()
                found[index] = Reference(*values, target_attention=kept[place], target_activations=own_inner)
    return [reference for reference in found if reference is not None]


def _by_text(outputs: Tensor, kinds: Sequence[Sequence[int]]) -> list[Tensor]:
    """Split [layers, p, width] by text. bfloat16: half the memory, and float32's range, which outputs may need."""
    counts = [sum(kind == PRESERVE for kind in row) for row in kinds]
    return [part.clone() for part in outputs.to("cpu", torch.bfloat16).split(counts, dim=1)]


def attend(
    model: LanguageModel, batch: Batch, attention: Attention, kinds: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """What the forward of a batch gives, by name; all follow the order of the sequences.

    ``hidden`` [n, width]: last hidden states at the labels, under the key biases. Where asked for, ``attention``
    [layers, p, width]: what the kept layers write for P tokens; ``activations`` [n, width]: an inner layer's output at
    the labels.
    """
    if attention == NO_ATTENTION:
        return {"hidden": model.hidden(batch)}
    flat = [kind for row in kinds for kind in row]
    with model.attention_outputs(attention.kept_layers) as outputs, model.activations(attention.depth) as inner:
        found = {"hidden": model.hidden(batch, _key_bias(batch, attention, flat))}
    if outputs:
        preserved = torch.tensor([i for i, kind in enumerate(flat) if kind == PRESERVE], dtype=torch.long)
        places = batch.token[send(preserved, batch.token.device)]
        found["attention"] = torch.stack([output.flatten(0, 1)[places] for output in outputs.values()])
    if inner:
        found["activations"] = inner[-1][batch.row, batch.position]
    return found


def _key_bias(batch: Batch, attention: Attention, kinds: Sequence[int]) -> Tensor | None:
    """The bias of every token of the batch, [rows, length]; None where the method has none."""
    if not attention.is_biased:
        return None
    by_kind = {UNLEARN: attention.unlearn_key_bias, PRESERVE: attention.preserve_key_bias}
    values = send(torch.tensor([by_kind.get(kind, 0.0) for kind in kinds]), batch.ids.device)
    return values.new_zeros(batch.ids.numel()).index_copy(0, batch.token, values).view_as(batch.ids)
