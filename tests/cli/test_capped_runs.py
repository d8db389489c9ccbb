"""Whole runs of models with scaled or capped logits, with several methods."""

import json
from pathlib import Path

import pytest

from duolearn_cli.cli.commands import unlearn
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ModelError
from tests.small_models import CAPPED, SCALED, random_base, write_folder

RUN = [
    "split.max_forget=6",
    "split.max_retain=8",
    "learn.epochs=1",
    "unlearn.epochs=1",
    "unlearn.batch_size=4",
    "evaluation.max_items=3",
    "evaluation.generate_items=2",
    "evaluation.new_tokens=2",
    "evaluation.report=false",
    "prompt.max_tokens=128",
    "runtime.device=cpu",
]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["duolearn", "npo", "rmu"])
@pytest.mark.parametrize(("family", "more"), [CAPPED, *SCALED])
def test_a_run_from_learning_to_metrics(family, more, method, tiny, tmp_path):
    size = {"vocab_size": len(tiny.tokenizer), "initializer_range": 0.1}
    folder = write_folder(random_base(family, more | size), tmp_path / "model")
    where = [f"model.path={folder}", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    config = compose("unlearn", ["+forget=surgery", "model=local", f"method={method}", *where, *RUN])
    metrics = Path(unlearn.run(config, Invocation())) / "metrics.json"
    assert set(json.loads(metrics.read_text())["models"]) == {"base", "target", "gold", "unlearned"}


@pytest.mark.slow
def test_packed_texts_beyond_the_window_are_refused_before_anything_is_learned(tiny, tmp_path):
    family, more = CAPPED
    size = {"vocab_size": len(tiny.tokenizer), "sliding_window": 8}
    folder = write_folder(random_base(family, more | size), tmp_path / "model")
    where = [f"model.path={folder}", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    config = compose("unlearn", ["+forget=surgery", "model=local", "unlearn.packing=true", *where, *RUN])
    with pytest.raises(ModelError, match=r"window of 8 tokens, and a text has \d+: .*unlearn\.packing=false"):
        unlearn.run(config, Invocation())
    assert not list((tmp_path / "cache" / "models").glob("target-*"))
