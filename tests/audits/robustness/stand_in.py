"""Helpers for the tests of attacks: a laboratory without a run folder, rows, and a model's whole state."""

from __future__ import annotations

from types import SimpleNamespace

from omegaconf import OmegaConf

from duolearn_cli.config.robustness import RobustnessConfig
from duolearn_cli.data.items import Item
from duolearn_cli.model.encoding import Encoder


def everything(model):
    """Copies of all weights and buffers, by name."""
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def laboratory(model, study, form="cloze"):
    """The parts of a laboratory, and of a loaded model, that attacks use."""
    config = OmegaConf.merge(study.config, {"prompt": {"form": form}})
    reduced = SimpleNamespace(config=config, splits=study.splits, target=study.target)
    encoder = Encoder(model.tokenizer, config.prompt)
    return SimpleNamespace(name="unlearned", model=model, encoder=encoder, study=reduced)


def settings(**values):
    return OmegaConf.merge(OmegaConf.structured(RobustnessConfig), values)


def item(name, fact="", *, heldout=False, options=4, answer=0):
    texts = tuple(f"{name} option {place}" for place in range(options))
    return Item(name, f"what of {name}?", texts, answer, fact=fact, heldout=heldout)


def row(model, name, fact, correct, attack="none", variant="none", side="forget", heldout=False, used=False, repeat=0):
    """A row of robustness.jsonl."""
    return {
        "model": model,
        "attack": attack,
        "variant": variant,
        "side": side,
        "id": name,
        "fact": fact,
        "heldout": heldout,
        "used": used,
        "repeat": repeat,
        "correct": correct,
        "chance": 0.25,
        "nll": 1.0,
    }
