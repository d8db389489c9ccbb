"""Run folders with invented answers, as a benchmark's runs leave them."""

import json

import numpy as np

from duolearn_cli.files import write_json

NUM_FACTS = 24


def leave_run(folder, forgotten, kept, *, ks=0.1, auc=0.5, shift=0.0, status="finished", seed=0, overrides=()):
    """A run whose unlearned model misses each forget fact with one chance and knows each retain fact with another."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"seed: {seed}\n")
    if status == "finished":
        leave_results(folder, forgotten, kept, ks, auc, seed, shift)
    error = "DivergedError: unlearning diverged" if status == "diverged" else None
    info = {"status": "failed" if status == "diverged" else status, "error": error, "overrides": list(overrides)}
    write_json(folder / "run.json", info)  # last, as in a real run


def leave_results(folder, forgotten, kept, ks, auc, seed, shift=0.0):
    rng = np.random.default_rng([seed, round(100 * forgotten), round(100 * kept)])
    rows = []
    for side, chance in (("forget", 1 - forgotten), ("retain", kept)):
        for fact in range(NUM_FACTS):
            item = {"id": f"{side}{fact}", "fact": f"{side}{fact}", "split": f"{side}_train", "scores": [0, 0, 0, 0]}
            item |= {"heldout": False, "pair": fact if side == "forget" else None}
            rows += answered(item, bool(rng.random() < chance), rng, shift)
    for fact in range(NUM_FACTS):
        item = {"id": f"unseen{fact}", "fact": f"unseen{fact}", "split": "forget_unseen", "scores": [0, 0, 0, 0]}
        rows += answered(item | {"heldout": False, "pair": fact}, False, rng, 0.0)
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [row["correct"] for row in rows if row["model"] == "unlearned" and row["split"] != "forget_unseen"]
    after, retained = np.mean(own[:NUM_FACTS]), np.mean(own[NUM_FACTS:])
    scores = {
        "forgetting_rate": estimate(1 - after),
        "chance_corrected_forgetting": estimate((1 - after) / 0.75),
        "knowledge_preservation": estimate(retained),
        "mia_auc": estimate(auc),
        "mia_score": estimate(1 - 2 * abs(auc - 0.5)),
        "retain_accuracy": estimate(retained),
        "forget_accuracy": estimate(after),
        "invalid_rate": estimate(0.0),
    }
    models = {
        "unlearned": {"scores": scores, "gold": {"forget": {"ks": ks, "ks_same": 0.2, "nll_distance": {"value": ks}}}},
        "gold": {"scores": {name: estimate(0.9) for name in scores}},
        "target": {"scores": {"retain_accuracy": estimate(1.0)}, "gold": {"forget": {"nll_distance": {"value": 1.0}}}},
    }
    metrics = {"models": models, "cost": {"seconds": 3.0}, "change": {"fraction": 0.01}, "flags": [f"flag of {ks}"]}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def estimate(value):
    return {"value": float(value), "low": value - 0.2, "high": value + 0.2, "n": NUM_FACTS, "higher_is_better": None}


def answered(item, is_right, rng, shift):
    """An item's rows: the target knows it, the unlearned model has it right or not, gold is like the latter."""
    losses = {"target": 0.1, "unlearned": rng.normal(3, 1) - shift, "gold": rng.normal(3, 1)}
    return [
        item | {"model": model, "correct": model == "target" or (model == "unlearned" and is_right), "nll": float(nll)}
        for model, nll in losses.items()
    ]
