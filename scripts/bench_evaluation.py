"""What an evaluation costs: `python scripts/bench_evaluation.py FILE.json REPEATS [OVERRIDE...]`.

Times scoring items with everything that one pass yields against one plain forward of the same model over the same
texts in the same padded batches (all logits, nothing read), interleaved, so that a busy machine slows both alike; and
the least that scoring needs, its answers without attacks' moments and token classes left in, for comparison. Prints
medians and ratios. Overrides are those of `duolearn unlearn`: the model, the data, how many items.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from duolearn_cli.report.tables import Table

ITEMS = 64


def passes(overrides: list[str]) -> dict[str, Callable[[], None]]:
    """The passes to compare, over the first `ITEMS` forget and retain items."""
    import torch
    from rich.console import Console

    from duolearn_cli.commands.common import prepared
    from duolearn_cli.composition import compose
    from duolearn_cli.data.encoding import batches_by_length, collate
    from duolearn_cli.protocol import Laboratory
    from duolearn_cli.report.terminal import Display
    from duolearn_cli.run import Run

    study = prepared(compose("unlearn", overrides))
    lab = Laboratory.open(study, Display(Console(file=io.StringIO())), Run(Path()), is_main=False)
    lab.load("base")
    items = [*study.splits.forget_train[: ITEMS // 2], *study.splits.retain_train[: ITEMS // 2]]
    letters = lab.encoder.prompt.form == "letter"
    texts = [lab.encoder.encode(i, k) for i in items for k in ([i.answer] if letters else range(len(i.options)))]
    size = study.config.evaluation.batch_tokens

    def forward() -> None:
        with torch.no_grad(), lab.model.autocast():
            for indices in batches_by_length([len(text.ids) for text in texts], size):
                batch = collate([texts[i] for i in indices], "answer").to(lab.model.device)
                lab.model.network(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)

    return {
        "one plain forward": forward,
        "answers": lambda: [lab.score(items), None][1],
        "answers, attacks and token classes": lambda: [lab.score(items, is_forget=True), None][1],
    }


def main(path: str, repeats: str, *overrides: str) -> None:
    """Time, print, write."""
    found = passes(list(overrides))
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(1 + int(repeats)):
        for name, run in found.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    # The first round warms up.
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    first = medians["one plain forward"]
    rows = tuple((name, f"{value:.3f}", f"{value / first:.2f}") for name, value in medians.items())
    print(Table(f"{ITEMS} items, medians of {repeats}", ("Pass", "seconds", "ratio"), rows).markdown())
    ratios = {name: value / first for name, value in medians.items()}
    Path(path).write_text(json.dumps({"overrides": overrides, "seconds": seconds, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
