"""Greedy generation in batches: the model answers questions in its own words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from duolearn_cli.data.items import Item
from duolearn_cli.errors import DivergedError
from duolearn_cli.model import isolation
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length

# The probe of left padding: lengths of two made-up prompts, and how many tokens are generated after them. More than one
# token, since some models are wrong only from the second on.
PROBE, PROBE_NEW = (5, 12), 3
log = logging.getLogger("duolearn")


def generate(
    model: LanguageModel,
    encoder: Encoder,
    items: Sequence[Item],
    max_new_tokens: int,
    batch_tokens: int,
    advance: Callable[[int], None] = lambda n: None,
) -> list[str]:
    """Generate the most likely continuation of each question, token by token, until the end-of-text token.

    An item of a cloze prompt with `Answer.recalled` generates its right answer, if that has at most `max_new_tokens`
    tokens.

    Args:
        model: the model.
        encoder: writes the prompts.
        items: the items to ask.
        max_new_tokens: the most tokens to generate for each item.
        batch_tokens: the most tokens of a padded batch, new ones included; a batch has at least one item. If padding
            changes what the model generates, only questions of the same length share a batch.
        advance: called with the number of items of each finished batch.

    Returns:
        The generated texts in the order of the items, without special tokens and surrounding white space.

    Raises:
        DivergedError: a prediction is not finite.
    """
    prompts = [_prompt(encoder, item) for item in items]
    generated = [""] * len(items)
    for indices in _batches(model, [len(prompt) for prompt in prompts], max_new_tokens, batch_tokens):
        new = _continued(model, [prompts[i] for i in indices], [items[i].id for i in indices], max_new_tokens)
        for index, text in zip(indices, model.tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            generated[index] = text.strip()
        advance(len(indices))
    return generated


def _batches(
    model: LanguageModel, lengths: Sequence[int], max_new_tokens: int, batch_tokens: int
) -> Iterator[list[int]]:
    """Yield the indices of the prompts of each batch."""
    groups = [list(range(len(lengths)))]
    if len(set(lengths)) > 1 and not takes_left_padding(model):
        log.info(
            "%s generates other text after left padding: only questions of the same length share a batch",
            model.architecture,
        )
        groups = [
            [i for i, own in enumerate(lengths) if own == length] for length in sorted(set(lengths), reverse=True)
        ]
    for group in groups:
        yield from (
            [group[i] for i in batch]
            for batch in batches_by_length([lengths[i] + max_new_tokens for i in group], batch_tokens)
        )


@torch.no_grad()
def takes_left_padding(model: LanguageModel) -> bool:
    """Probe whether a text is continued beside a longer one as it is alone.

    Scans and recurrences read padding as if it were text, and are not.
    """
    short, long = (isolation.made_up(model.num_embeddings, length, seed=length) for length in PROBE)
    (alone, beside), (own, other) = zip(*(_probed(model, some) for some in ([short], [short, long])), strict=True)
    for step in range(PROBE_NEW):
        if not isolation.same(beside[step], alone[step], rounded=model.is_rounded):
            return False
        # Rounding has decided between two equally likely tokens. After different tokens there is nothing to compare.
        if own[step] != other[step]:
            break
    return True


def _probed(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], list[int]]:
    """The logits of each new token of the first prompt, and the tokens. Shape of the logits: [1, vocabulary] each."""
    ids, mask = (tensor.to(model.device) for tensor in _padded_left(prompts, _pad_id(model)))
    with _plain_greedy(model, PROBE_NEW) as config, model.autocast() if model.is_rounded else nullcontext():
        config.eos_token_id, config.output_logits, config.return_dict_in_generate = None, True, True
        output = model.network.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [logits[:1] for logits in output.logits], output.sequences[0, ids.shape[1] :].tolist()


def _prompt(encoder: Encoder, item: Item) -> tuple[int, ...]:
    """The tokens before the answer, exactly those after which the answer is trained and scored."""
    # A question tokenised alone may end in other tokens: some tokenizers join a template's last space to the answer's
    # first word.
    text = encoder.encode(item)
    return text.ids[: text.labels("answer")[0]]


def _continued(
    model: LanguageModel, prompts: Sequence[Sequence[int]], ids: Sequence[str], max_new_tokens: int
) -> Tensor:
    """The new tokens after each prompt, filled up with padding. Shape: [prompts, at most max_new_tokens]."""
    tokens, mask = (tensor.to(model.device) for tensor in _padded_left(prompts, _pad_id(model)))
    with _plain_greedy(model, max_new_tokens) as config, model.autocast():
        whole = model.network.generate(
            input_ids=tokens,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_RefuseDiverged(ids)]),
        )
    return whole[:, tokens.shape[1] :]


def _pad_id(model: LanguageModel) -> int:
    """A token id for padding. The attention mask hides it: any token will do if the tokenizer has none for padding."""
    known = (model.tokenizer.pad_token_id, model.tokenizer.eos_token_id, 0)
    # Some tokenizers were given a padding token that has no row in their model's embeddings.
    return next(token for token in known if token is not None and token < model.num_rows)


def _padded_left(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, padded on the left. Shape of both: [prompts, longest]."""
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return tokens, mask


@contextmanager
def _plain_greedy(model: LanguageModel, max_new_tokens: int) -> Iterator[GenerationConfig]:
    """Within the block, the model generates greedily and stops at the tokenizer's end-of-text token only.

    Many models ship a generation configuration with sampling, a repetition penalty or a minimum length, and `generate`
    takes from it whatever its argument leaves open. It is therefore replaced, and restored on leaving the block.
    """
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        pad_token_id=_pad_id(model),
        eos_token_id=model.tokenizer.eos_token_id,
    )
    # Both, since PEFT overwrites the base's configuration with the adapter's.
    owners: list[Any] = [model.network, model.network.get_base_model()]
    before = [owner.generation_config for owner in owners]
    for owner in owners:
        owner.generation_config = config
    try:
        yield config
    finally:
        for owner, own in zip(owners, before, strict=True):
            owner.generation_config = own


class _RefuseDiverged(LogitsProcessor):
    """Raises an error if logits are not finite, and changes none. Without it, the argmax of NaN would be an answer.

    Args:
        ids: the id of each row's item, for the message.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # The maximum is NaN if any logit is, while single logits may be -inf for impossible tokens.
        finite = scores.amax(-1).isfinite().tolist()
        if not all(finite):
            raise DivergedError(
                f"item {self.ids[finite.index(False)]}: the model's predictions are not finite: it diverged."
            )
        return scores
