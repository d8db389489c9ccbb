"""Measure what a base learns of mininotes: python scripts/studies/notes_base_study.py [--model FOLDER] [--patients N].

It learns all notes and cards of the world as `duolearn learn` does, and prints accuracies of base and target: cards,
probes in other words, and beginnings of notes to continue. Options are ranked by mean log-probability.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from duolearn_cli.config.schema import LearnConfig, ModelConfig, PromptConfig, RuntimeConfig
from duolearn_cli.data.documents import cut_out
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.readers.mininotes import MiniNotes
from duolearn_cli.evaluation.perplexity import encode_text, perplexity
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from duolearn_cli.training.finetune import fine_tune


def accuracies(model: LanguageModel, encoder: Encoder, items: Sequence[Item]) -> dict[str, float]:
    groups = {
        "cards": [item for item in items if not item.heldout],
        "probes": [item for item in items if item.heldout and not item.continues],
        "continued": [item for item in items if item.continues],
    }
    figures = {}
    for name, group in groups.items():
        answers = score(model, encoder, group, 4096)
        figures[name] = round(statistics.fmean(a.prediction == a.answer for a in answers), 3)
        if name == "probes":
            for subject in sorted({str(answer.subject) for answer in answers}):
                own = [answer.prediction == answer.answer for answer in answers if answer.subject == subject]
                figures[subject] = round(statistics.fmean(own), 3)
    return figures


def without(world: Loaded, subject: str) -> Loaded:
    """Return the world without the facts of a subject: what gold learns after a request to forget them."""
    gone = {item.fact for item in world.items if item.subject == subject}
    documents = [
        replace(one, text=cut_out(one.text, [s.clause for s in one.spans if s.clause and s.fact in gone]), spans=())
        for one in world.documents
    ]
    return Loaded(tuple(i for i in world.items if i.fact not in gone), documents=tuple(documents))


def learn(model: LanguageModel, encoder: Encoder, world: Loaded, settings: LearnConfig) -> float:
    """Learn notes and cards; return the CPU seconds."""
    texts = [encoder.encode(item) for item in world.items if not item.heldout]
    texts += [encode_text(model.tokenizer, document.text, 512) for document in world.documents]
    losses: list[float] = []
    started = time.process_time()
    fine_tune(model, texts, settings, lambda figures: losses.append(figures["loss"]), mixed=True)
    print("loss", [round(loss, 2) for loss in losses[:: max(1, len(losses) // 12)]], flush=True)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mininotes", help="mininotes, tiny, or the folder of a base")
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--redundancy", default="two_of_three")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=float, default=64)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--without", help="leave the facts of a subject out, as gold does")
    arguments = parser.parse_args()
    world = MiniNotes(arguments.patients, arguments.world, arguments.redundancy).load()
    path = None if arguments.model in ("tiny", "mininotes") else str(Path(arguments.model))
    config = ModelConfig(name=Path(arguments.model).name, embedded=path is None, path=path)
    config.adapter.rank, config.adapter.alpha = arguments.rank, arguments.alpha
    model = load_model(find_weights(config, None), config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)
    encoder = Encoder(model.tokenizer, PromptConfig(form="cloze"))
    figures = {"settings": vars(arguments), "base": accuracies(model, encoder, world.items)}
    print(json.dumps(figures), flush=True)
    settings = LearnConfig(epochs=arguments.epochs, batch_size=arguments.batch, learning_rate=arguments.rate)
    learned = without(world, arguments.without) if arguments.without else world
    seconds = learn(model, encoder, learned, settings)
    texts = [document.text for document in world.documents]
    nll = sum(one.nll for one in perplexity(model, model.tokenizer, texts, 4096, 512))
    print(json.dumps({"target": accuracies(model, encoder, world.items), "CPU s": round(seconds), "notes nll": nll}))


if __name__ == "__main__":
    main()
