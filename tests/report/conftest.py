"""A run folder as `duolearn unlearn` leaves it, with invented numbers."""

import json
import math

import pytest
import yaml


def estimate(value, half=0.05, n=100, better=None):
    bounds = {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}
    return {"value": value, **bounds, "n": n, "higher_is_better": better}


def split(accuracy, better):
    return {
        "accuracy": estimate(accuracy, better=better),
        "nll": estimate(2 - accuracy),
        "invalid_rate": estimate(0.1, better=False),
    }


def model(forget, retain, **scores):
    return {
        "splits": {
            "forget_train": split(forget, False),
            "forget_heldout": split(forget - 0.02, False),
            "retain_train": split(retain, True),
            "retain_heldout": split(retain - 0.02, True),
        },
        "subjects": {
            "Anatomy": estimate(retain, n=120),
            "Surgery": estimate(forget, n=96),
            "Skin|ENT": estimate(retain, 0.2, n=12),
        },
        "scores": {
            "forget_accuracy": estimate(forget - 0.02, better=False),
            "retain_accuracy": estimate(retain - 0.02, better=True),
            "invalid_rate": estimate(0.123, better=False),
            "mia_auc": estimate(0.555),
            "mia_score": estimate(0.89, better=True),
            **scores,
        },
    }


def levels(preservation, forgetting):
    return {
        "1": {"preservation": estimate(preservation, n=60), "score": estimate(preservation, n=60)},
        "4": {
            "preservation": estimate(preservation - 0.1, n=80),
            "forgetting": estimate(forgetting, n=90),
            "score": estimate(0.87, n=170),
        },
    }


def change():
    modules = {"q_proj": {"norm": 3.0, "parameters": 1000}, "up_proj": {"norm": 4.0, "parameters": 24}}
    layers = [
        {"layer": 0, "norm": 5.0, "parameters": 1024, "modules": modules},
        {"layer": 1, "norm": 1.5, "parameters": 7, "modules": {"q_proj": {"norm": 1.5, "parameters": 7}}},
    ]
    return {"parameters": 1031, "fraction": 0.0078125, "norm": 5.22015325, "layers": layers}


def means(conflict):
    return {"conflict": conflict, "cosine": -0.1234, "opposed": 0.1666, "removed": 0.0321}


@pytest.fixture
def metrics():
    return {
        "schema": 1,
        "duolearn": "0.1.0",
        "forget": "surgery",
        "model": "tiny",
        "dataset": "minimed",
        "method": "duolearn",
        "seed": 0,
        "privacy": "none",
        "models": {
            "base": model(0.26, 0.27),
            "target": model(0.95, 0.94),
            "gold": model(0.31, 0.93),
            "unlearned": model(
                0.29,
                0.91,
                forgetting_rate=estimate(0.731, better=True),
                chance_corrected_forgetting=estimate(math.nan, None, better=True),
                knowledge_preservation=estimate(0.968, 0.02, better=True),
                hmta=estimate(0.87, better=True),
            )
            | {"levels": levels(0.95, 0.9)},
        },
        "flags": ["AUC is below 0.5 for gold."],
        "cost": {
            "seconds": 83.25,
            "tokens": 123456,
            "trainable_parameters": 4096,
            "trainable_fraction": 0.031,
            "peak_memory_bytes": None,
        },
        "change": change(),
        "geometry": {
            "steps": 40,
            **means(0.375),
            "layers": [{"layer": layer, **means(0.25 + layer / 4)} for layer in (0, 1)],
        },
        "data": {
            "forget_train": 104,
            "retain_train": 316,
            "rejected": {"no right answer": 3},
            "duplicates": 2,
        },
    }


@pytest.fixture
def history():
    learn = [{"stage": "learn", "step": s, "loss": 3 / s} for s in range(1, 30)]
    retrain = [{"stage": "retrain", "step": s, "loss": 2.5 / s} for s in range(1, 25)]
    steps = [
        {
            "stage": "unlearn",
            "step": s,
            "forget_loss": 1 / s,
            "preserve_loss": 0.1,
            "target": 0.5 + s / 10,
            "memorised": None if s > 20 else 0.3 + s / 8,
            "general_medical": 0.6 + math.sin(s) / 50,
            "neutral": 1.1 + math.cos(s) / 50,
            "cosine": -0.1,
            "cosine_by_layer": [-0.1 + s / 100, -0.3],
            "opposed": 0.1,
            "conflict": float(s % 2),
            "removed": 0.2,
            "removed_by_layer": [0.1, None if s < 3 else 0.2],
            "learning_rate": 5e-4,
        }
        for s in range(1, 41)
    ]
    quick = [
        {"stage": "unlearn", "step": s, "forget_accuracy": 0.95 - s / 60, "retain_accuracy": 0.94 - s / 1000}
        for s in (0, 10, 20, 30, 40)
    ]
    return [*learn, *retrain, *steps, *quick]


@pytest.fixture
def write_run(metrics, history):
    """Return a function that writes a run folder; keyword arguments replace whole files' contents."""

    def write(folder, metrics=metrics, history=history, overrides=("+forget=surgery", "seed=0"), status="running"):
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "command": "unlearn",
            "seed": metrics["seed"],
            "forget": {"name": "surgery", "concepts": ["surgery"], "subjects": []},
            "privacy": {"name": "none", "epsilon": None, "delta": None},
            "method": {"_target_": "duolearn_cli.methods.duolearn.DuoLearn", "beta": 1.0},
        }
        run = {
            "schema": 1,
            "command": "unlearn",
            "status": status,
            "created": "2026-11-23T18:12:38+00:00",
            "signature": "c0ffee",
            "device": "cpu",
            "versions": {"python": "3.11.7", "torch": "2.9.0"},
            "seeds": {"seed": 0, "learn": 0},
            "overrides": list(overrides),
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "run.json").write_text(json.dumps(run))
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
        return folder

    return write
