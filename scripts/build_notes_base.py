"""Build the base model of mininotes from a seed: python scripts/build_notes_base.py [--out FOLDER] [--steps N].

The model is taught how notes are written and how a fact about a patient is looked up: it learns notes and cards of
other made-up patients, whose names are in no shipped world. It has never read of a patient of `dataset=mininotes`.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from duolearn_cli.data.readers.mininotes import questions
from duolearn_cli.data.readers.mininotes_text import TWO_OF_THREE, notes
from duolearn_cli.data.readers.mininotes_world import TAUGHT, Patient, patients, table

SEED, VOCABULARY, EOS, PAD = 0, 1536, "<|end|>", "<|pad|>"
# Far from any seed that somebody would choose for the data set.
WORLD = 987_654
NAME_PARTS = 6_000  # how often each end of a name is in the tokenizer's corpus


@dataclass(frozen=True)
class Texts:
    """What the base reads: whole notes, and cards as pairs of a prompt and an answer."""

    notes: Sequence[str]
    cards: Sequence[tuple[str, str]]


def texts_about(people: Sequence[Patient]) -> Texts:
    """Return all notes about `people`, and all cards and probes."""
    written, cards = [], []
    for person in people:
        documents = notes(person, WORLD, TWO_OF_THREE)
        written += [document.text for document in documents]
        items = [item for item in questions(person, documents, WORLD) if not item.continues]
        cards += [(f"Question: {item.question}\nAnswer:", f" {item.answer_text}") for item in items]
    return Texts(written, cards)


def build_tokenizer(texts: Texts) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[EOS, PAD], initial_alphabet=alphabet, show_progress=False
    )
    # Merges are learned by frequency, so those within a name's parts come before those across them.
    (first, ends), (last, more_ends) = (table("names")[part] for part in ("first", "last"))
    parts = [" ".join(["", *first]) * 20 * NAME_PARTS, " ".join(["", *last]) * 5 * NAME_PARTS]
    parts += [*ends, *more_ends] * NAME_PARTS
    tokenizer.train_from_iterator([*parts, *texts.notes, *(prompt + answer for prompt, answer in texts.cards)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def new_model(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


Row = tuple[list[int], int]  # token ids, and the number of the first token to predict


def batches(
    tokenizer: PreTrainedTokenizerFast, texts: Texts, sizes: Sequence[int], rng: random.Random
) -> Iterator[tuple[list[Row], list[Row]]]:
    """Yield as many notes, predicted whole, and cards, of which the answer is predicted, as `sizes` says."""
    written = [(tokenizer(text).input_ids, 1) for text in texts.notes]
    prompts = [tokenizer(prompt).input_ids for prompt, _ in texts.cards]
    answers = [[*tokenizer(answer).input_ids, tokenizer.eos_token_id] for _, answer in texts.cards]
    cards = [(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    streams = [endless(rows, size, rng) for rows, size in zip((written, cards), sizes, strict=True)]
    yield from zip(*streams, strict=True)


def endless(rows: Sequence[Row], batch: int, rng: random.Random) -> Iterator[list[Row]]:
    """Yield batches: all rows in a new order, then all again."""
    waiting: list[Row] = []
    while True:
        while len(waiting) < batch:
            waiting += rng.sample(rows, len(rows))
        yield [waiting.pop() for _ in range(batch)]


def loss_of(model: LlamaForCausalLM, rows: Sequence[Row], pad: int) -> Tensor:
    """Return the mean nll of the tokens to predict (nats)."""
    width = max(len(ids) for ids, _ in rows)
    padded = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
    place = torch.arange(width)[None]
    first, lengths = (
        torch.tensor(numbers)[:, None] for numbers in zip(*((at, len(ids)) for ids, at in rows), strict=True)
    )
    # Padding stands on the right, so causal attention never reads it.
    return model(input_ids=padded, labels=padded.masked_fill((place < first) | (place >= lengths), -100)).loss


def teach(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: tuple[Texts, Texts],
    arguments: argparse.Namespace,
) -> None:
    """Train all weights on known patients, whose texts come back, and on passing ones, who are met once or twice."""
    rng, pad, steps = random.Random(SEED), tokenizer.pad_token_id, arguments.steps
    passing = [round(size * arguments.passing) for size in (arguments.notes, arguments.cards)]
    sizes = (arguments.notes - passing[0], arguments.cards - passing[1]), passing
    streams = [batches(tokenizer, own, size, rng) for own, size in zip(texts, sizes, strict=True) if any(size)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.peak, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / 30, 0.5 * (1 + math.cos(math.pi * s / steps)) + 0.02)
    )
    started = time.process_time()
    for step in range(steps):
        read = [next(stream) for stream in streams]
        in_notes = loss_of(model, [row for note_rows, _ in read for row in note_rows], pad)
        in_cards = loss_of(model, [row for _, card_rows in read for row in card_rows], pad)
        (in_notes + in_cards).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            spent = time.process_time() - started
            print(f"step {step} notes {in_notes:.3f} cards {in_cards:.3f} {spent:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("duolearn_cli/assets/mininotes"))
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--passing", type=float, default=0.4, help="share of texts about patients met once or twice")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--notes", type=int, default=8, help="notes a step")
    parser.add_argument("--cards", type=int, default=128, help="cards a step")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--peak", type=float, default=4e-3)
    arguments = parser.parse_args()
    tokenizer = build_tokenizer(texts_about(patients(160, WORLD, TAUGHT)))
    tokenizer.save_pretrained(arguments.out)
    model = new_model(tokenizer, arguments.width, arguments.layers)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    people = patients(1000, WORLD, TAUGHT)
    known, passing = texts_about(people[: arguments.patients]), texts_about(people[arguments.patients :])
    teach(model, tokenizer, (known, passing), arguments)
    model.to(torch.bfloat16).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
