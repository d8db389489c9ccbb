"""Signs of a broken model: rows that are in the results where a warning is about them."""

from __future__ import annotations

from duolearn_cli.evaluation.measures.measure import Formula, Measure


def _calibration(side: str, figure: str) -> Formula:
    return lambda evidence: evidence.calibration(side).get(figure)


SIGNS: tuple[Measure, ...] = (
    Measure(
        "retain_entropy",
        "Entropy of the options, retain items",
        "Of the options' probabilities, as a share of the largest possible; 100 %: all are equally likely.",
        _calibration("retain", "entropy"),
        at=("calibration", "retain", "entropy"),
        tables=("warning",),
    ),
    *(
        measure
        for side in ("forget", "retain")
        for measure in (
            Measure(
                f"{side}_position_bias",
                f"Position bias, {side} items",
                "Total variation between the places that are answered and those of the right answers.",
                _calibration(side, "position_bias"),
                at=("calibration", side, "position_bias"),
                higher_is_better=False,
                tables=("warning",),
            ),
            # Of texts in the model's own words: `pipeline.assessment` makes it.
            Measure(
                f"{side}_degenerate",
                f"Degenerate texts, {side} items",
                "Share of the answers in own words that say nothing, or one thing over and over.",
                at=("written", side, "degenerate"),
                higher_is_better=False,
                tables=("warning",),
            ),
        )
    ),
)
