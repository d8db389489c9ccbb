"""Let a model answer in its own words: greedy continuations of the questions, in batches."""

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

# Lengths of two made-up prompts, and how many tokens are said after them: some models go wrong at the second only.
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
    """What the model says after each question, in the items' order: always the most likely token, until end-of-text.

    At most `max_new_tokens` tokens each, decoded without special tokens and without white space around them. Where
    `Answer.recalled` holds for a cloze item and the answer has no more tokens than that, its answer comes out. A padded
    batch holds at most `batch_tokens` tokens, new ones included (but at least one item); where padding would change
    what a model says, only questions of one length share a batch. `advance` is told the number of items of each
    finished batch.

    Raises:
        RunError: a prediction is not finite.
    """
    prompts = [_prompt(encoder, item) for item in items]
    found = [""] * len(items)
    for indices in _batches(model, [len(prompt) for prompt in prompts], max_new_tokens, batch_tokens):
        new = _continued(model, [prompts[i] for i in indices], [items[i].id for i in indices], max_new_tokens)
        for index, text in zip(indices, model.tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            found[index] = text.strip()
        advance(len(indices))
    return found


def _batches(
    model: LanguageModel, lengths: Sequence[int], max_new_tokens: int, batch_tokens: int
) -> Iterator[list[int]]:
    """Indices of prompts that are continued together."""
    groups = [list(range(len(lengths)))]
    if len(set(lengths)) > 1 and not takes_left_padding(model):
        log.info("%s says something else after padding: questions of one length a batch", model.architecture)
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
    """Whether a text is continued beside a longer one as it is alone: scans and recurrences take padding for text."""
    short, long = (isolation.made_up(model.num_embeddings, length, seed=length) for length in PROBE)
    (alone, beside), (own, other) = zip(*(_probed(model, some) for some in ([short], [short, long])), strict=True)
    for step in range(PROBE_NEW):
        if not isolation.same(beside[step], alone[step], rounded=model.is_rounded):
            return False
        if own[step] != other[step]:  # rounding has decided between two likely tokens: they say no more
            break
    return True


def _probed(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], list[int]]:
    """Logits [1, vocabulary] of each new token of the first prompt, and the tokens."""
    ids, mask = (tensor.to(model.device) for tensor in _padded_left(prompts, _pad_id(model)))
    with _plain_greedy(model, PROBE_NEW) as config, model.autocast() if model.is_rounded else nullcontext():
        config.eos_token_id, config.output_logits, config.return_dict_in_generate = None, True, True
        found = model.network.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [logits[:1] for logits in found.logits], found.sequences[0, ids.shape[1] :].tolist()


def _prompt(encoder: Encoder, item: Item) -> tuple[int, ...]:
    """The tokens before the answer's first, exactly those after which the answer is learned and scored.

    A question tokenised alone could end in other tokens: some join a template's last space to the answer's first word.
    """
    text = encoder.encode(item)
    return text.ids[: text.labels("answer")[0]]


def _continued(
    model: LanguageModel, prompts: Sequence[Sequence[int]], ids: Sequence[str], max_new_tokens: int
) -> Tensor:
    """The new tokens after each prompt. Shape: [prompts, at most max_new_tokens]."""
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
    """A token to fill rows with; the mask hides it, so any will do where the tokenizer has none."""
    known = (model.tokenizer.pad_token_id, model.tokenizer.eos_token_id, 0)
    # Some tokenizers were given a token for padding of which their model knows nothing.
    return next(token for token in known if token is not None and token < model.num_rows)


def _padded_left(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Tokens and mask, every prompt at the right end of its row. Shapes: [prompts, longest] both."""
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return tokens, mask


@contextmanager
def _plain_greedy(model: LanguageModel, max_new_tokens: int) -> Iterator[GenerationConfig]:
    """Greedy search by the tokenizer's end-of-text alone, for as long as the context lasts.

    Many models ship a repetition penalty, a least length or sampling in their own configuration, and `generate` takes
    from there whatever the one it is given leaves open: both are replaced, and put back.
    """
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        pad_token_id=_pad_id(model),
        eos_token_id=model.tokenizer.eos_token_id,
    )
    # PEFT writes the adapter's configuration over the base's.
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
    """Changes no logits [rows, vocabulary]; the most likely token of something not a number would be an answer too."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # A maximum passes on what is not a number, and lets single tokens be impossible.
        finite = scores.amax(-1).isfinite().tolist()
        if not all(finite):
            raise DivergedError(
                f"item {self.ids[finite.index(False)]}: the model's predictions are not finite: it diverged."
            )
        return scores
