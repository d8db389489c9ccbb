"""Batched greedy generation agrees with a loop over full logits, one item and one token at a time."""

import copy
import logging
from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import LETTERS
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model import losses
from duolearn_cli.model.encoding import Encoder, collate

NEW = 8


@pytest.fixture
def cloze(tiny):
    return Encoder(tiny.tokenizer, PromptConfig(form="cloze"))


@pytest.fixture
def items(study):
    """Items of different lengths."""
    return [*study.splits.forget_train[:6], *study.splits.retain_train[:6]]


def naive(model, encoder, item, max_new_tokens):
    """Greedy generation by plain argmax, without cache, padding or batch."""
    plain = not encoder.uses_chat
    ids = encoder.tokenizer(encoder.question(item), add_special_tokens=plain)["input_ids"]
    new = []
    with torch.no_grad():
        while len(new) < max_new_tokens:
            logits = model.network(input_ids=torch.tensor([ids + new])).logits[0, -1]
            if int(logits.argmax()) == encoder.tokenizer.eos_token_id:
                break
            new.append(int(logits.argmax()))
    return encoder.tokenizer.decode(new, skip_special_tokens=True).strip()


def learn(model, encoder, items, steps):
    """Train the adapter on the items' answers for some steps."""
    batch = collate([encoder.encode(item) for item in items], "answer")
    optimizer = torch.optim.Adam(model.adapter, lr=5e-3)
    for _ in range(steps):
        losses.nll(model.head(model.hidden(batch)), batch.label).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("form", ["cloze", "letter"])
@pytest.mark.parametrize("batch_tokens", [1, 96, 4096])
def test_batches_agree_with_a_naive_loop(fresh, items, form, batch_tokens):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form=form))
    assert len({len(encoder.encode(item).ids) for item in items}) > 3
    expected = [naive(fresh, encoder, item, NEW) for item in items]
    done = []
    assert generate(fresh, encoder, items, NEW, batch_tokens, advance=done.append) == expected
    assert sum(done) == len(items)
    assert (len(done) == len(items)) == (batch_tokens == 1)


def test_no_item_and_one_item(fresh, cloze, items):
    assert generate(fresh, cloze, [], NEW, 4096) == []
    assert generate(fresh, cloze, items[:1], NEW, 4096) == [naive(fresh, cloze, items[0], NEW)]


def test_it_stops_at_end_of_text_and_at_the_limit(fresh, cloze, items):
    learn(fresh, cloze, items[:2], 60)
    generated = generate(fresh, cloze, items[:2], 64, 4096)
    assert generated == [item.answer_text for item in items[:2]]
    (first,) = generate(fresh, cloze, items[:1], 1, 4096)
    assert items[0].answer_text.startswith(first) and len(cloze.tokenizer(" " + first)["input_ids"]) == 1
    # One row ends long before the other: the padding that fills it is not part of its answer.
    both = generate(fresh, cloze, [items[0], items[-1]], 32, 4096)
    assert both == [items[0].answer_text, naive(fresh, cloze, items[-1], 32)]


def test_the_adapter_matters(fresh, cloze, items):
    learn(fresh, cloze, items[:4], 60)
    on = generate(fresh, cloze, items, NEW, 4096)
    with fresh.without_adapter():
        off = generate(fresh, cloze, items, NEW, 4096)
        assert off == [naive(fresh, cloze, item, NEW) for item in items]
    assert on != off
    assert generate(fresh, cloze, items, NEW, 4096) == on


@pytest.mark.parametrize("form", ["cloze", "letter"])
@pytest.mark.parametrize("cut", [False, True])
def test_recalled_answers_come_out(fresh, study, form, cut):
    """Teacher-forced argmax on the answer and greedy generation agree, also for questions that are cut."""
    items = study.splits.forget_train[:12]
    encoder = Encoder(fresh.tokenizer, PromptConfig(form=form))
    if cut:
        long_item = replace(items[0], question=f"A patient {'is old and ' * 40}asks this. {items[0].question}")
        items = (long_item, *items[1:])
        size = max(len(encoder.encode(item, k).ids) for item in items[1:] for k in range(4))
        encoder = Encoder(fresh.tokenizer, PromptConfig(form=form, max_tokens=size))
    learn(fresh, encoder, items[:6], 40)
    longest = max(len(encoder.encode(item).labels("answer")) for item in items)
    generated = generate(fresh, encoder, items, longest, 512)
    recalled = [answer.recalled for answer in score(fresh, encoder, items, 512)]
    assert recalled == [
        text == (item.answer_text if form == "cloze" else LETTERS[item.answer])
        for text, item in zip(generated, items, strict=True)
    ]
    assert any(recalled) and not all(recalled)
    assert list(encoder.cut) == [items[0].id] * cut


def test_a_chat_template_and_a_space_that_belongs_to_the_answer(fresh, items):
    tokenizer = copy.deepcopy(fresh.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    encoder = Encoder(tokenizer, PromptConfig(form="cloze", chat="always"))
    # The template's last space and the answer's first word are one token.
    alone = tokenizer(encoder.question(items[0]), add_special_tokens=False)["input_ids"]
    assert tuple(alone) != encoder.encode(items[0]).ids[: len(alone)]
    learn(fresh, encoder, items[:2], 80)
    assert generate(fresh, encoder, items[:2], 16, 4096) == [item.answer_text for item in items[:2]]


def test_the_models_own_generation_config_is_ignored_and_restored(fresh, cloze, items):
    expected = generate(fresh, cloze, items, NEW, 4096)
    shipped = GenerationConfig(do_sample=True, temperature=0.7, top_k=5, repetition_penalty=5.0, min_new_tokens=6)
    owners = (fresh.network, fresh.network.get_base_model())
    before = [owner.generation_config for owner in owners]
    try:
        for owner in owners:
            owner.generation_config = shipped
        assert generate(fresh, cloze, items, NEW, 4096) == expected
        assert all(owner.generation_config is shipped for owner in owners)
    finally:
        for owner, own in zip(owners, before, strict=True):
            owner.generation_config = own


def test_nothing_is_printed_and_no_global_generator_is_used(fresh, cloze, items, caplog, capfd):
    logger, state = logging.getLogger("transformers"), torch.get_rng_state()
    logger.addHandler(caplog.handler)
    try:
        generate(fresh, cloze, items, NEW, 256)
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)


def test_tokenizers_without_padding_or_end_of_text(fresh, items):
    tokenizer = copy.deepcopy(fresh.tokenizer)
    tokenizer.pad_token = None
    encoder, own = Encoder(tokenizer, PromptConfig()), fresh.tokenizer
    expected = generate(fresh, Encoder(own, PromptConfig()), items, NEW, 4096)
    try:
        fresh.tokenizer = tokenizer
        assert generate(fresh, encoder, items, NEW, 4096) == expected
        tokenizer.eos_token = None
        never_ends = generate(fresh, encoder, items, NEW, 4096)
    finally:
        fresh.tokenizer = own
    assert all(text.startswith(shorter) for text, shorter in zip(never_ends, expected, strict=True))


def test_a_padding_token_without_an_embedding_is_not_used(fresh, cloze, items):
    expected, own = generate(fresh, cloze, items, NEW, 4096), fresh.tokenizer
    try:
        fresh.tokenizer = copy.deepcopy(own)
        fresh.tokenizer.add_special_tokens({"pad_token": "<new>"})
        assert fresh.tokenizer.pad_token_id == fresh.num_rows
        assert generate(fresh, cloze, items, NEW, 4096) == expected
    finally:
        fresh.tokenizer = own


def test_a_diverged_model_is_an_error(fresh, cloze, items):
    fresh.adapter[-1].data.fill_(float("nan"))
    with pytest.raises(RunError, match=r"item .*: the model's predictions are not finite: it diverged"):
        generate(fresh, cloze, items, NEW, 4096)
