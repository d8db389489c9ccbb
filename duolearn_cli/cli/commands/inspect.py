"""duolearn inspect: show one item as unlearning sees it, with tokens coloured by class and weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, prepared
from duolearn_cli.config.components import component
from duolearn_cli.data.items import Item
from duolearn_cli.data.tally import WHY
from duolearn_cli.errors import DataError, nearest
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from duolearn_cli.model.encoding import Encoded
    from duolearn_cli.report.tokens import TokenView


def run(config: DictConfig, invocation: Invocation) -> str:
    """Print the item that `inspect.item` names, by default the first forget item. No run folder is written."""
    display = Display()
    study = prepared(config, display)
    item, is_forget = find_item(study, config.inspect.item)
    wants_scores = config.inspect.scores
    views = _scored(study, item, is_forget, display) if wants_scores else _unscored(study, item, is_forget)
    _show(display, study, item, is_forget, views)
    return ""


def find_item(study: Study, name: str | None) -> tuple[Item, bool]:
    """Return the item with the id `name`, and whether it is a forget item.

    An item of the request is returned as unlearning gets it.

    Raises:
        DataError: there is no such item; the message has the nearest id.
    """
    by_id = {item.id: (item, item.fact_id in study.forget_facts) for item in study.items}
    for split, items in study.splits.by_name().items():
        by_id |= {item.id: (item, split.startswith("forget")) for item in items}
    for items, is_forget in ((study.request.forget, True), (study.request.retain, False)):
        by_id |= {item.id: (item, is_forget) for item in items}
    if name is None:
        return study.request.forget[0], True
    if name in by_id:
        return by_id[name]
    if outcome := next((doubt.outcome for doubt in study.filled if doubt.id == name), None):
        raise DataError(f"item={name}: it is neither forgotten nor kept: {WHY[outcome]}.")
    raise DataError(f"item={name}: there is no such item{nearest(name, by_id)}; `duolearn data export` lists them all.")


def token_views(
    study: Study, text: Encoded, is_forget: bool, weight: float, scores: dict[int, float] | None = None
) -> list[TokenView]:
    """Return the view of every token of a text.

    Args:
        weight: the weight of the item, which multiplies those of its tokens.
        scores: the dual-purpose score (nats) by position; None: not computed.
    """
    from duolearn_cli.report.tokens import TokenView

    kinds, concepts, weights = study.label(text, is_forget)
    views: list[TokenView] = []
    written = 0
    for position, (start, end) in enumerate(text.offsets):
        concept = study.hierarchy[name] if (name := concepts[position]) else None
        views.append(
            TokenView(
                _shown(text.text, written, start, end),
                kinds[position],
                weights[position] * weight,
                concept and concept.name,
                concept and concept.level,
                (scores or {}).get(position),
            )
        )
        written = max(written, end)
    return views


def _shown(text: str, written: int, start: int, end: int) -> str:
    """Return the text of a token, from where the last one ended: spaces between tokens go to the next one."""
    if end <= written:
        return ""
    if text[written:start].strip():  # words that were cut out of a long question
        return f" ... {text[start:end]}"
    return text[min(start, written) : end]


def _unscored(study: Study, item: Item, is_forget: bool) -> list[TokenView]:
    """Return the views of an item's tokens, without loading a model."""
    from duolearn_cli.model.loading import load_encoder
    from duolearn_cli.model.weights import find_weights

    weights = find_weights(study.config.model, study.config.cache_dir)
    text = load_encoder(weights, study.config).encode(item)
    return token_views(study, text, is_forget, study.request.weights.get(item.id, 1.0))


def _scored(study: Study, item: Item, is_forget: bool, display: Display) -> list[TokenView]:
    """Return the views of an item's tokens with scores under the target model, which is learned unless cached."""
    from duolearn_cli.pipeline.examples import answer_form, examples
    from duolearn_cli.pipeline.laboratory import Laboratory
    from duolearn_cli.pipeline.run_folder import Run

    target = Laboratory.open(study, display, Run(Path()), is_main=False).load("target")
    method = component(study.config.method, study.config.plugins)
    form = answer_form(target, method)
    (example,) = examples(target, [item], is_forget, "text", method.attention, form)
    values = (example.reference.target_nll - example.formed_nll).tolist()
    scores = dict(zip(example.text.labels("text"), values, strict=True))
    return token_views(study, example.text, is_forget, example.weight, scores)


def _show(display: Display, study: Study, item: Item, is_forget: bool, views: list[TokenView]) -> None:
    from duolearn_cli.report.tokens import coloured, legend, token_table

    side = "to forget" if is_forget else "to keep"
    display.stage(f"{item.id}: {item.subject or 'unlabelled'}{f' / {item.topic}' if item.topic else ''}, {side}")
    if not display.plain:
        display.show(coloured(views))
        display.show(legend())
    display.show(token_table(views))
