"""Score texts with models as anybody loads them: by transformers and PEFT alone, in a process without this project.

Used as a program: ``python plain_loading.py JOBS ANSWERS``. JOBS is a list of ``{"folder", "base", "texts"}``; base is
empty for a model that is whole. A text is ``{"ids", "labels"}``. ANSWERS receives, by job and text, the mean
log-probability of the labelled tokens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any


def scores(folder: str, base: str, texts: list[dict[str, list[int]]], arguments: dict[str, str]) -> list[float]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = AutoModelForCausalLM.from_pretrained(base or folder, dtype=torch.float32, **arguments)
        model = PeftModel.from_pretrained(model, folder) if base else model
        assert AutoTokenizer.from_pretrained(folder).decode(texts[0]["ids"])
    found = []
    with torch.no_grad():
        for text in texts:
            logp = model.eval()(input_ids=torch.tensor([text["ids"]]), use_cache=False).logits[0].double()
            logp = logp.log_softmax(-1)
            found.append(float(sum(logp[i - 1, text["ids"][i]] for i in text["labels"])) / len(text["labels"]))
    return found


def plain_scores(jobs: list[dict[str, Any]], scratch: Path, python: str = sys.executable) -> list[list[float]]:
    """Run this file in a process of its own, to which the project is not known."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "jobs.json").write_text(json.dumps(jobs))
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    command = [python, str(Path(__file__).resolve()), "jobs.json", "answers.json"]
    done = subprocess.run(command, cwd=scratch, env=known, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads((scratch / "answers.json").read_text())


def main(jobs: Path, answers: Path) -> None:
    found = [
        scores(job["folder"], job["base"], job["texts"], job.get("arguments", {}))
        for job in json.loads(jobs.read_text())
    ]
    assert not any(name.startswith("duolearn") for name in sys.modules), "the project was imported"
    answers.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
