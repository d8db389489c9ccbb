"""Build the `tiny` model and its tokenizer from a seed: python scripts/build_tiny.py [--out FOLDER] [--steps N].

The model is taught the *language* of minimed, none of its facts: how questions are worded (every template, with real
and made-up subjects), which kind of answer each asks for, and that the answer depends on the subject, not on the
wording. Real subjects get a fresh random answer of the right kind each time; made-up subjects keep theirs.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from duolearn_cli.data.readers.minimed import FOLDER

SEED, VOCABULARY, EOS, PAD = 0, 4096, "<|end|>", "<|pad|>"
MADE_UP_PER_TABLE, REAL_SHARE = 12, 0.3
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wo xy zi bra cle dro fle gri plo stu tre"


def tables() -> list[dict]:
    return [
        table for path in sorted(FOLDER.glob("*.yaml")) for table in yaml.safe_load(path.read_text("utf-8"))["tables"]
    ]


def made_up_subject(xs: list[str], rng: random.Random) -> str:
    """A name that no book knows: a coined word, often with words of real subjects of the table around it."""
    coined = "".join(rng.choice(SYLLABLES.split()) for _ in range(rng.randint(2, 3)))
    words = rng.choice(xs).split()
    if len(words) > 1 and rng.random() < 0.7:
        words[rng.randrange(len(words) - 1)] = coined
        return " ".join(words)
    return coined.capitalize() if words[0][0].isupper() else coined


def text(template: str, x: str, y: str) -> str:
    question = template.replace("{x}", x)
    return f"Question: {question[0].upper()}{question[1:]}\nAnswer: {y}"


def samples(rng: random.Random) -> Iterator[str]:
    """An endless stream of texts: one of a table's templates about a real or a made-up subject."""
    sources = tables()
    weights = [len(table["rows"]) for table in sources]
    made_up = {}
    for table in sources:
        xs = [row["x"] for row in table["rows"]]
        answers = sorted({row["y"] for row in table["rows"]} | set(table.get("distractors") or ()))
        made_up[table["id"]] = (
            [(made_up_subject(xs, rng), rng.choice(answers)) for _ in range(MADE_UP_PER_TABLE)],
            xs,
            answers,
        )
    while True:
        table = rng.choices(sources, weights)[0]
        known, xs, answers = made_up[table["id"]]
        x, y = (rng.choice(xs), rng.choice(answers)) if rng.random() < REAL_SHARE else rng.choice(known)
        yield text(rng.choice([*table["train"], *table["heldout"]]), x, y)


def build_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [
        text(template, row["x"], row["y"])
        for table in tables()
        for row in table["rows"]
        for template in (*table["train"], *table["heldout"])
    ]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[EOS, PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, steps: int, batch: int = 96, peak: float = 3e-3
) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / 200, 0.5 * (1 + math.cos(math.pi * s / steps)) + 0.02)
    )
    stream, started = samples(random.Random(SEED)), time.time()
    for step in range(steps):
        texts = [next(stream) for _ in range(batch)]
        encoded = tokenizer([f"{t}{EOS}" for t in texts], padding=True, return_tensors="pt")
        labels = encoded.input_ids.masked_fill(encoded.attention_mask == 0, -100)
        loss = model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("duolearn_cli/assets/tiny"))
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args()
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(arguments.out)
    build_model(tokenizer, arguments.steps).to(torch.bfloat16).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
