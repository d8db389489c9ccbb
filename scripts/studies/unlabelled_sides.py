"""What becomes of questions whose subject is missing.

    python scripts/studies/unlabelled_sides.py MEDMCQA_FILE [OVERRIDE...]

The target is surgery. First a copy of the file without its subjects, as a user's own unlabelled data; then the file
with `imperfect.missing_subjects` of its training questions unlabelled. Counts the questions that lost their subject by
the side that they enter: those of surgery by the file's own labels + others. Overrides apply to every row.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.sides import Doubt
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.study import Study

SUBJECT = "Surgery"
ALL = [
    "prompt.form=letter",
    "split.shuffled_copies=false",
    "split.max_forget=null",
    "split.max_retain=null",
    "split.near_duplicates=ignore",
    "labels.conflicts=ignore",
]
FAULTS = ("0.2", "0.4", "0.6", "1")


def study(path: Path, *overrides: str) -> Study:
    """Everything up to the model, without limits on the number of items."""
    command = ["+forget=surgery", "dataset=medmcqa", f"dataset.path={path}", *ALL, *overrides]
    return prepare(cast(RunConfig, compose("unlearn", command)))


def row(
    name: str,
    lost: Collection[str],
    surgery: Collection[str],
    sides: Sequence[Sequence[Item]],
    doubts: Sequence[Doubt],
) -> str:
    """One line: of the questions that lost their subject, surgery's and others' in forget, retain, neither.

    The last cell counts those in neither that would be kept if they did not mention the target.
    """
    entered = [{item.id for item in side} & set(lost) for side in sides]
    entered.append(set(lost) - entered[0] - entered[1])
    entered.append({doubt.id for doubt in doubts if doubt.outcome == "mentions_target"})
    cells = [f"{len(side & set(surgery))} + {len(side - set(surgery))}" for side in entered]
    return f"| {name} | {len(set(lost) & set(surgery))} + {len(set(lost) - set(surgery))} | {' | '.join(cells)} |"


def main() -> None:
    source, overrides = Path(sys.argv[1]), sys.argv[2:]
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    surgery = {entry["id"] for entry in rows if entry["subject_name"] == SUBJECT}
    print("| subjects missing | questions (surgery + others) | forget | retain | neither | for mentioning the target |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "unlabelled.jsonl"
        kept = [{key: value for key, value in entry.items() if key != "subject_name"} for entry in rows]
        copy.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        for name, more in {"all, guessed": "labels.max_guessed=1", "all, by concepts": "forget.by=concepts"}.items():
            done = study(copy, more, *overrides)
            splits = done.splits
            sides = [*splits.forget_train, *splits.forget_unseen], [*splits.retain_train, *splits.retain_unseen]
            print(row(name, [item.id for item in done.loaded.items], surgery, sides, done.filled))
    for share in FAULTS:
        done = study(source, f"imperfect.missing_subjects={share}", "labels.max_guessed=1", *overrides)
        lost = [doubt.id for doubt in done.request.doubts]
        print(
            row(
                f"{share} of those trained on",
                lost,
                surgery,
                (done.request.forget, done.request.retain),
                done.request.doubts,
            )
        )


if __name__ == "__main__":
    main()
