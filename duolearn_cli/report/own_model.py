"""The report's part about a run whose target was given, not learned (``learn.skip``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolearn_cli.report.measures import cell
from duolearn_cli.report.tables import Table


def sentence(metrics: Mapping[str, Any]) -> str:
    """Return what a reader of the result must know; "" for a run that learned its target."""
    own = metrics.get("own_model")
    if not own:
        return ""
    chosen = ((metrics.get("data") or {}).get("known_facts") or {}).get("forget")
    known = chosen or own["known"]["forget"]
    told = f" Before unlearning, the model knew {known['known']} of {known['facts']} facts to forget"
    told += "; the others were left out." if chosen else "."
    missing = " There is no gold: figures that need it have no value, and forgetting is measured from chance."
    covers = " Privacy covers what unlearning tells about the records, not what the given model was trained on."
    return told + missing * (own["gold"] is None) + covers * ("account" in metrics)


def base_rate_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of what the given model knew and what may be expected without knowledge; no rows without it."""
    own = metrics.get("own_model")
    if not own:
        return Table("", (), ())
    models = [name for name in ("target", "gold", "unlearned") if name in own["base_rates"]["unseen"]]
    known = [
        (f"{side} facts that the target knew (right in every trained phrasing)", own["known"][side]["share"])
        for side in ("forget", "retain")
    ]
    rates = {
        "held-out phrasings of forget facts that it did not know": own["base_rates"]["unknown"],
        "facts of the same concepts in no training": own["base_rates"]["unseen"],
    }
    rows = [(label, *(cell(one, 100, 1) if name == "target" else "" for name in models)) for label, one in known]
    rows += [("chance (1 / number of options)", *(f"{100 * own['base_rates']['chance']:.1f}" for _ in models))]
    rows += [(label, *(cell(by_model[name], 100, 1) for name in models)) for label, by_model in rates.items()]
    return Table("The given model: what it knew, and base rates (%)", ("", *models), tuple(rows))
